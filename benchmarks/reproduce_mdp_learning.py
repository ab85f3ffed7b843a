"""Deep agents on a small cliff, audited exactly, and on CartPole; episodes that BPI-UCRL needs: ``docs/images/mdp-learning.json``.

python benchmarks/reproduce_mdp_learning.py [--parts episodes deep cartpole] [--steps 12000] [--runs 20] [--seeds 1]

Parts that are not run keep their rows in the file.
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

# those of the RL Zoo for QR-DQN, with 20 quantiles in the place of 10: a tenth of the law is then two of them
CARTPOLE = {
    "learning_rate": 2.3e-3, "buffer_size": 100_000, "learning_starts": 1000, "batch_size": 64, "gamma": 0.99, "train_freq": 256,
    "gradient_steps": 128, "target_update_interval": 10, "exploration_fraction": 0.16, "exploration_final_eps": 0.04, "device": "cpu",
    "policy_kwargs": {"net_arch": [256, 256], "n_quantiles": 20},
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


def cartpole(steps, seeds, played=100):
    """Rows: seed, risk, mean return, its standard error, mean of the worst tenth of the episodes; 500 is the most.

    Everything is played after training, on weights that do not change; the episodes of a seed start alike for all risks.
    """
    from stable_baselines3.common.env_util import make_vec_env

    rows = []
    for seed in seeds:
        agent = RiskSensitiveQRDQN("MlpPolicy", make_vec_env("CartPole-v1", seed=seed), seed=seed, **CARTPOLE)
        start, wall = time.process_time(), time.perf_counter()
        agent.learn(steps)
        seconds, wall = time.process_time() - start, time.perf_counter() - wall
        for risk in ("mean", "cvar:0.5", "cvar:0.25", "cvar:0.1", "wang:-0.75"):
            agent.risk = risk
            returns = play(agent, make_vec_env("CartPole-v1", n_envs=played, seed=10_000 + seed))
            rows.append(
                {"seed": seed, "steps": steps, "risk": risk, "episodes": played, "mean": float(returns.mean()),
                 "standard_error": float(returns.std(ddof=1) / played**0.5), "worst_tenth": float(np.sort(returns)[: played // 10].mean()),
                 "full": int((returns == 500).sum()), "cpu_seconds": seconds, "wall_seconds": wall}
            )  # fmt: skip
            print(rows[-1], flush=True)
    return rows


def play(agent, envs):
    """(n_envs,) return of the first episode of each environment."""
    observed, returns, live = envs.reset(), np.zeros(envs.num_envs), np.ones(envs.num_envs, bool)
    while live.any():
        observed, reward, done, _ = envs.step(agent.predict(observed, deterministic=True)[0])
        returns += reward * live
        live &= ~done
    return returns


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
    parser.add_argument(
        "--parts", nargs="+", choices=("episodes", "deep", "cartpole"), default=["episodes", "deep", "cartpole"]
    )
    parser.add_argument("--steps", type=int, default=12_000, help="of the agents on the cliff")
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=1, help="agents on the cliff")
    parser.add_argument("--cartpole-steps", type=int, default=50_000)
    parser.add_argument("--cartpole-seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--out", type=Path, default=HERE / "mdp-learning.json")
    given = parser.parse_args()
    torch.set_num_threads(1)
    report = json.loads(given.out.read_text()) if given.out.exists() else {}
    if "episodes" in given.parts:
        report["episodes"] = episodes(given.runs)
    if "deep" in given.parts:
        report["deep"] = deep(given.steps, given.seeds)
    if "cartpole" in given.parts:
        again = [(given.cartpole_steps, seed) for seed in given.cartpole_seeds]
        kept = [row for row in report.get("cartpole", []) if (row["steps"], row["seed"]) not in again]
        report["cartpole"] = kept + cartpole(given.cartpole_steps, given.cartpole_seeds)
    given.out.write_text(json.dumps(report, indent=1) + "\n")
