"""Valid command lines for tests/robustness; the contract stands in tests/robustness/discovery.py."""

import numpy as np

from ailys.bandits import ABTest


def abtest(folder):
    rng = np.random.default_rng(0)
    rows = [f"{day},{arm},{int(rng.random() < 0.5)},0.5" for day, arm in enumerate(rng.choice(["new", "old"], 40))]
    (folder / "trial.csv").write_text("\n".join(["time,arm,y,p", *rows]) + "\n")
    return [
        ["trial.csv", "--arm", "arm", "--outcome", "y", "--time", "time", "--propensity", "p", "--control", "old", "--plot", "e.png"],
        ["trial.csv", "--arm", "arm", "--outcome", "y", "--alternative", "greater", "--skip-missing", "--json"],
    ]  # fmt: skip


def plan(folder):
    return [["--baseline", "0.1", "--lift", "0.3", "--replicates", "3", "--power", "0.7", "--seed", "1"]]


def simulate(folder):
    return [
        ["--means", ".1,.5", "--policy", "kl-ucb", "--horizon", "40", "--replicates", "2", "--plot", "r.svg"],
        [
            "--means",
            ".1,.5",
            "--policy",
            "ucb",
            "--family",
            "gaussian(1)",
            "--horizon",
            "40",
            "--replicates",
            "2",
            "--json",
        ],
    ]


def identify(folder):
    return [["--means", ".9,.1", "--delta", "0.1", "--replicates", "2", "--policy", "kl-lucb", "--plot", "i.svg"]]


def complexity(folder):
    return [["--means", ".5,.3,.2", "--delta", "0.1", "--epsilon", "0.05", "--plot", "w.png"]]


def discover(folder):
    return [["--budget", "15", "--margin", "0.15", "--delta", "0.1", "--plot", "d.png"]]


def graph(folder):
    np.save(folder / "W.npy", np.diag(np.ones(4), 1) + np.diag(np.ones(4), -1))
    np.save(folder / "mu.npy", np.array([0.9, 0.8, 0.6, 0.5, 0.4]))
    return [["W.npy", "--means", "mu.npy", "--smoothness", "1", "--sigma", "0.5", "--plot", "g.png"]]


def maximize(folder):
    (folder / "robustness_blackbox.py").write_text("def f(x):\n    return 1 - (x - 0.3) ** 2\n")
    return [
        ["robustness_blackbox:f", "--bounds", "0,1", "--budget", "20", "--plot", "m.png"],
        [
            "robustness_blackbox:f",
            "--bounds",
            "0,1",
            "--method",
            "doo",
            "--lipschitz",
            "2",
            "--epsilon",
            "0.5",
            "--budget",
            "50",
        ],
    ]


def _trial(folder):
    test = ABTest(["placebo", "drug"], rng=0)
    for outcome in (1, 0, 1):
        test.record(test.assign(), outcome)
    test.assign()
    test.to_json(folder / "trial.json")


def trial_new(folder):
    return [
        ["trial.json", "--arms", "placebo,drug", "--propensity", "0.4", "--seed", "1"],
        ["trial.json", "--arms", "a,b,c", "--adaptive", "--clip", "0.1,0.8", "--alpha", "0.1", "--json"],
    ]


def trial_next(folder):
    _trial(folder)
    return [["trial.json", "--json"]]


def trial_record(folder):
    _trial(folder)
    return [["trial.json", "--trial", "4", "--outcome", "yes"], ["trial.json", "--trial", "4", "--outcome", "missing"]]


def trial_status(folder):
    _trial(folder)
    return [["trial.json"]]


SAMPLES = {
    "abtest": abtest,
    "plan": plan,
    "simulate": simulate,
    "identify": identify,
    "complexity": complexity,
    "discover": discover,
    "graph": graph,
    "maximize": maximize,
    "trial new": trial_new,
    "trial next": trial_next,
    "trial record": trial_record,
    "trial status": trial_status,
}
