"""Valid command lines for tests/robustness; the contract stands in tests/robustness/discovery.py."""

import numpy as np

from ailys.butterfly import butterfly
from ailys.quantization import quantize_chain


def _chain(folder):
    answer = butterfly(np.random.default_rng(0).standard_normal((8, 8)), "dyadic")
    np.savez(folder / "factors.npz", *answer.factors)
    answer.save(folder / "F.safetensors")
    return answer


def rank_one(folder):
    rng = np.random.default_rng(0)
    np.save(folder / "x.npy", rng.standard_normal(6))
    np.save(folder / "y.npy", rng.standard_normal(5))
    return [
        ["x.npy", "y.npy", "--bits", "3", "--out", "v.npz", "--plot", "lam.png"],
        ["x.npy", "y.npy", "--bits", "int4", "--free-scale", "--json"],
    ]


def chain(folder):
    _chain(folder)
    return [
        ["factors.npz", "--bits", "3", "--method", "beam", "--beam", "4", "--out", "q.safetensors", "--plot", "q.svg"],
        ["F.safetensors", "--bits", "e4m3", "--no-scale", "--json"],
    ]


def curve(folder):
    _chain(folder)
    return [
        ["factors.npz", "--bits", "2:3", "--methods", "rtn,left_to_right", "--plot", "c.png"],
        ["F.safetensors", "--bits", "2,3", "--json"],
    ]


def inspect(folder):
    quantize_chain(_chain(folder), 3).save(folder / "q.safetensors")
    return [["q.safetensors", "--plot", "q.png"], ["q.safetensors", "--json"]]


SAMPLES = {"rank-one": rank_one, "chain": chain, "curve": curve, "inspect": inspect}
