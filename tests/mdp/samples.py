"""Valid command lines for tests/robustness; the contract stands in tests/robustness/discovery.py."""

import numpy as np

from ailys.mdp import TabularMDP
from ailys.mdp.files import save_mdp

ROWS = ["s,a,s_next,p,r", "0,0,0,0.5,1", "0,0,1,0.5,-2", "0,1,0,1,0.25", "1,0,1,1,0", "1,1,0,0.5,0.5", "1,1,1,0.5,1"]


def _model(folder):
    (folder / "stock.csv").write_text("\n".join(ROWS) + "\n")
    outcomes = [[[(0.5, 0, 1.0), (0.5, 1, -2.0)], [(1.0, 0, 0.25)]], [[(1.0, 1, 0.0)], []]]
    save_mdp(TabularMDP.from_outcomes(outcomes, horizon=3), folder / "stock.npz")


def solve(folder):
    _model(folder)
    return [
        ["stock.csv", "--horizon", "3", "--risk", "cvar", "--alpha", "0.2", "--out", "actions.npy"],
        [
            "stock.npz",
            "--risk",
            "threshold",
            "--threshold",
            "0.5",
            "--method",
            "exact",
            "--out",
            "memory.npy",
            "--json",
        ],
        ["stock.csv", "--discount", "0.9"],
        ["stock.npz", "--risk", "entrm", "--beta", "-1"],
    ]


def front(folder):
    _model(folder)
    return [
        ["stock.csv", "--horizon", "2", "--beta-min", "-1", "--beta-max", "0.5", "--epsilon", "0.5", "--plot", "f.png"],
        ["stock.npz", "--json"],
    ]


def evaluate(folder):
    _model(folder)
    np.save(folder / "actions.npy", np.array([1, 0]))
    return [
        ["stock.csv", "actions.npy", "--horizon", "3", "--method", "bracket", "--n-atoms", "20", "--plot", "law.png"],
        ["stock.npz", "actions.npy", "--json"],
    ]


def cliff(folder):
    return [
        [
            "--beta",
            "-0.1",
            "--rows",
            "2",
            "--cols",
            "3",
            "--horizon",
            "5",
            "--fall",
            "-10",
            "--walks",
            "20",
            "--plot",
            "c.png",
        ]
    ]


def learn(folder):
    _model(folder)
    return [
        [
            "stock.csv",
            "--horizon",
            "1",
            "--episodes",
            "500",
            "--epsilon",
            "3",
            "--out",
            "actions.npy",
            "--plot",
            "l.png",
        ],
        ["stock.npz", "--learner", "q-learning", "--episodes", "20", "--json"],
        ["stock.npz", "--learner", "ucbvi", "--episodes", "20", "--stationary"],
    ]


SAMPLES = {"solve": solve, "front": front, "evaluate": evaluate, "cliff": cliff, "learn": learn}
