"""Valid command lines for tests/robustness; the contract stands in tests/robustness/discovery.py."""

import numpy as np


def _signals(folder):
    x = np.cumsum(np.random.default_rng(0).standard_normal((2, 400)), axis=1)
    np.save(folder / "x.npy", x)
    np.savez(folder / "x.npz", x=x)
    rows = [f"{a:.6g},{b:.6g}" for a, b in x.T]
    (folder / "x.csv").write_text("\n".join(["left,right", *rows]) + "\n")


def estimate(folder):
    _signals(folder)
    return [
        ["x.npy", "--octaves", "2", "5", "--bootstrap", "20", "--plot", "e.png"],
        ["x.csv", "--octaves", "2", "5", "--columns", "left,right", "--standardize", "--json"],
        ["x.npz", "--columns", "x", "--method", "wavelet", "--process", "noise", "--weights", "uniform"],
    ]


def test(folder):
    _signals(folder)
    return [
        ["x.npy", "--octaves", "2", "4", "--bootstrap", "20"],
        ["x.csv", "--octaves", "2", "4", "--bootstrap", "0", "--test", "invariant", "--common-hurst", "0.5", "--simulations", "9", "--json"],
    ]  # fmt: skip


def cluster(folder):
    _signals(folder)
    return [
        ["x.npy", "--octaves", "2", "4", "--bootstrap", "20", "--plot", "c.svg"],
        [
            "x.csv",
            "--octaves",
            "2",
            "4",
            "--bootstrap",
            "20",
            "--pairs",
            "folded_normal",
            "--correction",
            "by",
            "--json",
        ],
    ]


def synthesize(folder):
    np.save(folder / "W.npy", np.array([[1.0, 1.0], [-1.0, 1.0]]))
    return [
        [
            "--hurst",
            "0.5",
            "--hurst",
            "0.6",
            "--out",
            "y.npy",
            "--n",
            "200",
            "--rho",
            "0.3",
            "--mixing",
            "W.npy",
            "--seed",
            "1",
        ],
        ["--hurst", "0.5", "--out", "y.npy", "--n", "64", "--increments", "--json"],
    ]


def diagram(folder):
    _signals(folder)
    return [
        ["x.npy", "--channel", "0", "--process", "motion", "--octaves", "2", "5", "--plot", "d.png"],
        ["x.csv", "--columns", "left", "--interval", "parametric", "--process", "motion", "--octaves", "2", "4", "--replicates", "20", "--json"],
    ]  # fmt: skip


def sliding(folder):
    _signals(folder)
    return [
        ["x.npy", "--window", "200", "--step", "100", "--octaves", "2", "4", "--bootstrap", "5", "--plot", "s.png"],
        ["x.csv", "--window", "200", "--step", "200", "--octaves", "2", "4", "--sampling-rate", "10", "--json"],
    ]


SAMPLES = {
    "estimate": estimate,
    "test": test,
    "cluster": cluster,
    "synthesize": synthesize,
    "diagram": diagram,
    "sliding": sliding,
}
