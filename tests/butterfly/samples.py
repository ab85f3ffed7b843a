"""Valid command lines for tests/robustness; the contract stands in tests/robustness/discovery.py."""

import numpy as np
import scipy.linalg

from ailys.butterfly import butterfly


def _matrix(folder):
    np.save(folder / "A.npy", np.random.default_rng(0).standard_normal((8, 8)))


def _factorized(folder):
    butterfly(scipy.linalg.hadamard(8).astype(float) + 0.1 * np.eye(8), "dyadic", refine=1).save(
        folder / "F.safetensors"
    )


def factorize(folder):
    _matrix(folder)
    np.save(folder / "perm.npy", np.arange(8)[::-1])
    return [
        ["A.npy", "--chain", "dyadic", "--perm", "perm.npy", "--refine", "1", "--out", "F.safetensors", "--json"],
        ["A.npy", "--chain", "monarch", "--perm", "none,bitrev", "--order", "left"],
    ]


def apply(folder):
    _factorized(folder)
    np.save(folder / "x.npy", np.random.default_rng(1).standard_normal((8, 3)))
    return [
        ["F.safetensors", "x.npy", "--out", "y.npy"],
        ["F.safetensors", "x.npy", "--out", "y.npy", "--adjoint", "--json"],
    ]


def chains(folder):
    _matrix(folder)
    return [
        ["8x8", "--matrix", "A.npy", "--budget", "0.9", "--plot", "front.svg"],
        ["16x24", "--budget", "0.5", "--max-depth", "2", "--max-rank", "2", "--limit", "5"],
    ]


def show(folder):
    _factorized(folder)
    return [["F.safetensors", "--plot", "F.png"], ["F.safetensors", "--json"]]


SAMPLES = {"factorize": factorize, "apply": apply, "chains": chains, "show": show}
