"""The front of the Cliff with six of its policies, and that of a store: ``docs/images/cliff-front.svg``, ``inventory-front.svg``.

python benchmarks/reproduce_mdp.py [--epsilon 0.1] [--out docs/images]
"""

import argparse
from pathlib import Path

from ailys.core.figures import save_figure, style
from ailys.mdp import entrm_front
from ailys.mdp.envs import Cliff, Inventory
from ailys.mdp.plots import plot_front_story, plot_stock_story

PLACE = Path(__file__).parents[1] / "docs" / "images"
BETAS = (0.2, 0.0, -0.03, -0.12, -0.35, -0.5)

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epsilon", type=float, default=0.1)
    parser.add_argument("--out", type=Path, default=PLACE, help="folder")
    given = parser.parse_args()
    cliff, store = Cliff(), Inventory().to_mdp()
    with style():
        front = entrm_front(cliff.to_mdp(), -0.6, 0.3, given.epsilon)
        save_figure(plot_front_story(cliff, front, BETAS), given.out / "cliff-front.svg")
        stock = entrm_front(store, -1.0, 0.1, given.epsilon)
        save_figure(plot_stock_story(store, stock), given.out / "inventory-front.svg")
    for name, answer in (("cliff", front), ("inventory", stock)):
        print(f"{name}: {answer.n_policies} policies, {answer.guarantee.statement}")
