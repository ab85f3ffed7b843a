"""The front of the Cliff with six of its policies: ``docs/images/cliff-front.svg``.

python benchmarks/reproduce_mdp.py [--epsilon 0.1] [--out docs/images/cliff-front.svg]
"""

import argparse
from pathlib import Path

from ailys.core.figures import save_figure, style
from ailys.mdp import entrm_front
from ailys.mdp.envs import Cliff
from ailys.mdp.plots import plot_front_story

PLACE = Path(__file__).parents[1] / "docs" / "images" / "cliff-front.svg"
BETAS = (0.2, 0.0, -0.03, -0.12, -0.35, -0.5)

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epsilon", type=float, default=0.1)
    parser.add_argument("--out", type=Path, default=PLACE)
    given = parser.parse_args()
    cliff = Cliff()
    with style():
        front = entrm_front(cliff.to_mdp(), -0.6, 0.3, given.epsilon)
        save_figure(plot_front_story(cliff, front, BETAS), given.out)
    print(f"{given.out}: {front.n_policies} policies, {front.guarantee.statement}")
