"""Deep agents on a small cliff, audited exactly, and episodes that BPI-UCRL needs: ``docs/images/mdp-learning.json``.

python benchmarks/reproduce_mdp_learning.py [--steps 12000] [--runs 20] [--seeds 1]
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch

from ailys.mdp import BPIUCRL, TabularMDP, solve
from ailys.mdp.deep import C51, RiskSensitiveQRDQN, audit
from ailys.mdp.envs import Cliff

HERE = Path(__file__).parents[1] / "docs" / "images"
OPTIONS = {
    "learning_rate": 5e-3, "buffer_size": 12_000, "learning_starts": 500, "batch_size": 64, "gamma": 1.0, "train_freq": 2,
    "gradient_steps": 1, "target_update_interval": 200, "exploration_fraction": 0.5, "exploration_final_eps": 0.05, "device": "cpu",
}  # fmt: skip


def deep(steps, seeds):
    """Rows: agent, risk, mean, CVaR, probability of a return of at most -20; linear networks on the cells."""
    env = Cliff(3, 5, fall=-20)
    mdp = env.to_mdp()
    rows = [{"agent": "best average", "mean": float(mdp.initial @ solve(mdp).value)}]
    for seed in range(seeds):
        agents = {
            "QR-DQN": RiskSensitiveQRDQN("MlpPolicy", env, policy_kwargs={"n_quantiles": 25, "net_arch": []}, seed=seed, **OPTIONS),
            "C51": C51(
                "MlpPolicy", env, v_min=-70, v_max=0, policy_kwargs={"net_arch": []}, seed=seed, **OPTIONS | {"learning_rate": 2e-2}
            ),
        }  # fmt: skip
        for name, agent in agents.items():
            start = time.process_time()
            agent.learn(steps)
            seconds = time.process_time() - start
            for risk in ("mean", "cvar:0.5", "cvar:0.25", "cvar:0.1"):
                agent.risk = risk
                law = audit(agent, mdp)
                rows.append(
                    {"agent": name, "seed": seed, "risk": risk, "mean": law.mean, "cvar": law.cvar(0.1), "at_most_minus_20": law.cdf(-20),
                     "cpu_seconds": seconds}
                )  # fmt: skip
                print(rows[-1], flush=True)
    return rows


def episodes(runs):
    """Mean number of episodes of BPI-UCRL on random problems (4 states, 2 actions, 3 stages), and its failures."""
    rows = []
    for stationary in (True, False):
        for epsilon in (0.5, 0.2, 0.1):
            needed, wrong = [], 0
            for seed in range(runs):
                rng = np.random.default_rng(seed)
                P = rng.dirichlet(np.full(4, 0.5), (4, 2))
                mdp = TabularMDP.from_arrays(P, rng.random((4, 2)), horizon=3)
                learner = BPIUCRL(epsilon, 0.1, stationary=stationary, rng=rng).fit(mdp, 10**6)
                needed.append(learner.n_episodes_)
                loss = learner._best - learner._exact(learner._fitted(), learner.policy_, 0.0)
                wrong += not (learner.converged_ and loss <= epsilon)
            rows.append(
                {
                    "stationary": stationary,
                    "epsilon": epsilon,
                    "episodes": float(np.mean(needed)),
                    "wrong": wrong,
                    "runs": runs,
                }
            )
            print(rows[-1], flush=True)
    return rows


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=12_000)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(1)
    report = {"episodes": episodes(given.runs), "deep": deep(given.steps, given.seeds)}
    (HERE / "mdp-learning.json").write_text(json.dumps(report, indent=1) + "\n")
