"""Private quantiles against OpenDP, python-dp, diffprivlib and the published FFT recursion of JointExp: rank error and time.

All contestants of a group get the same column, bounds, levels, budget (epsilon in total) and neighbours (add_remove). Peers that
release one quantile a call get their share of epsilon for each. ``rank_error`` is the mean over levels and runs, in records. diffprivlib
needs an older scikit-learn: install it into a folder of its own and name that folder in AILYS_DIFFPRIVLIB; it runs in its own
process. Peers that are not there are left out.
"""

import json
import os
import subprocess
import sys
import time

import numpy as np
import pytest

from ailys.privacy import quantiles
from ailys.privacy.research import rank_error

CPU = pytest.mark.benchmark(timer=time.process_time, warmup=False)
EPSILON = 1.0


def visits():
    sets = pytest.importorskip("statsmodels.datasets")
    return sets.randhie.load_pandas().data["mdvis"].to_numpy(dtype=float)


def incomes(n, rng):
    x = np.round(np.exp(rng.normal(10, 0.8, n)), -2)
    x[rng.random(n) < 0.3] = 0.0
    return np.clip(x, 0, 500_000)


# column, bounds, resolution, number of levels
CASES = {
    "RAND visits, 19 levels": lambda rng: (visits(), (0, 100), "1", 19),
    "incomes with zeros, n = 10 000, 10 levels": lambda rng: (incomes(10_000, rng), (0, 500_000), "100", 10),
    "Gauss, n = 10 000, 10 levels": lambda rng: (rng.normal(0, 5, 10_000), (-100, 100), "0.01", 10),
}


def ailys_contestant(method):
    def make(bounds, resolution, p):
        def run(x, seed):
            return quantiles(
                x,
                p,
                bounds=bounds,
                resolution=resolution,
                neighbours="add_remove",
                epsilon=EPSILON,
                method=method,
                n_hint=len(x),
            ).values

        return run

    return make


def fft_contestant(bounds, resolution, p):
    """The recursion of Gillenwater, Joseph and Kulesza 2021: Toeplitz products by FFT, tables over run lengths, doubles."""
    gaps = np.diff(np.r_[0, p, 1])
    eta = EPSILON / (4 * (1 - gaps.min()))
    m = len(p)

    def run(x, seed):
        rng = np.random.default_rng(seed)
        n = len(x)
        edges = np.r_[bounds[0], np.sort(np.clip(x, *bounds)), bounds[1]]
        w = np.diff(edges)
        t, ranks, size = gaps * n, np.arange(n + 1), 2 * n + 2
        alpha = np.zeros((m, n + 1, m))
        alpha[0, :, 0] = np.exp(-eta * np.abs(ranks - t[0])) * w
        alpha[0] /= max(alpha[0].max(), 1e-300)
        for j in range(1, m):
            kernel = np.exp(-eta * np.abs(ranks - t[j]))
            kernel[0] = 0.0
            moved = np.fft.irfft(np.fft.rfft(alpha[j - 1].sum(axis=1), size) * np.fft.rfft(kernel, size), size)[: n + 1]
            alpha[j, :, 0] = np.maximum(moved, 0) * w
            for k in range(1, j + 1):
                alpha[j, :, k] = alpha[j - 1, :, k - 1] * w / (k + 1) * np.exp(-eta * t[j])
            alpha[j] /= max(alpha[j].max(), 1e-300)
        found, j, last = [], m - 1, n
        step = t[m]
        while j >= 0:
            weights = alpha[j] * np.exp(-eta * np.abs(last - ranks - step))[:, None]
            if j < m - 1:
                weights[last:] = 0.0
            flat = np.cumsum(weights.ravel())
            if flat[-1] <= 0:
                flat = np.cumsum(np.ones(weights.size))
            i, k = divmod(int(np.searchsorted(flat, rng.random() * flat[-1])), m)
            k = min(k, j)
            found += list(edges[i] + w[i] * rng.random(k + 1))
            step, last = t[j - k], i
            j -= k + 1
        return np.sort(found)

    return run


def opendp_contestant(bounds, resolution, p):
    dp = pytest.importorskip("opendp.prelude")
    dp.enable_features("contrib", "idealized-numerics")
    step = float(resolution)
    candidates = np.arange(bounds[0], bounds[1] + step / 2, step)
    if len(candidates) > 20_001:
        candidates = np.linspace(*bounds, 20_001)
    space = dp.vector_domain(dp.atom_domain(T=float, nan=False)), dp.symmetric_distance()
    made = []

    def build(grid, q, scale):
        return space >> dp.m.then_private_quantile(dp.max_divergence(), grid, q, scale)

    for q in map(float, p):  # the scale does not depend on the candidates
        scale = dp.binary_search_param(lambda s, q=q: build([0.0, 1.0], q, s), d_in=1, d_out=EPSILON / len(p), T=float)
        made.append(build(candidates.tolist(), q, scale))

    def run(x, seed):
        data = x.tolist()
        return np.sort([one(data) for one in made])

    return run


def python_dp_contestant(bounds, resolution, p):
    laplacian = pytest.importorskip("pydp.algorithms.laplacian")

    def run(x, seed):
        data, out = x.tolist(), []
        for q in p:
            out.append(
                laplacian.Percentile(
                    epsilon=EPSILON / len(p), percentile=float(q), lower_bound=float(bounds[0]), upper_bound=float(bounds[1]),
                    dtype="float",
                ).quick_result(data)
            )  # fmt: skip
        return np.sort(out)

    return run


DIFFPRIVLIB = """
import json, sys, time, warnings
warnings.simplefilter("ignore")
import numpy as np
from diffprivlib.tools import quantile
task = json.load(sys.stdin)
x, p, out, best = np.array(task["x"]), task["p"], [], 1e9
for seed in range(task["runs"]):
    start = time.process_time()
    out.append(sorted(float(quantile(x, q, epsilon=task["epsilon"] / len(p), bounds=tuple(task["bounds"]), random_state=100 * seed + k)) for k, q in enumerate(p)))
    best = min(best, time.process_time() - start)
print(json.dumps({"seconds": best, "values": out}))
"""


def elsewhere(x, bounds, p, runs):
    """diffprivlib's values and its least CPU time, measured in its own process."""
    folder = os.environ.get("AILYS_DIFFPRIVLIB")
    if not folder:
        pytest.skip("AILYS_DIFFPRIVLIB does not name a folder with diffprivlib")
    task = json.dumps({"x": x.tolist(), "p": list(map(float, p)), "epsilon": EPSILON, "bounds": bounds, "runs": runs})
    done = subprocess.run(
        [sys.executable, "-c", DIFFPRIVLIB], input=task, env={**os.environ, "PYTHONPATH": folder}, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    report = json.loads(done.stdout)
    return report["seconds"], [np.array(v) for v in report["values"]]


CONTESTANTS = {
    "ailys, auto": ailys_contestant("auto"),
    "ailys, JointExp": ailys_contestant("jointexp"),
    "JointExp by FFT": fft_contestant,
    "OpenDP": opendp_contestant,
    "python-dp": python_dp_contestant,
    "diffprivlib": None,
}


@CPU
@pytest.mark.parametrize("contestant", list(CONTESTANTS))
@pytest.mark.parametrize("case", list(CASES))
def test_quantiles(benchmark, case, contestant):
    benchmark.group = f"private quantiles: {case}"
    x, bounds, resolution, m = CASES[case](np.random.default_rng(0))
    p, runs = np.arange(1, m + 1) / (m + 1), 10
    if contestant == "diffprivlib":
        seconds, values = elsewhere(x, bounds, p, runs)
        clock = iter([0.0, seconds])
        benchmark._timer = lambda: next(clock)
        benchmark.pedantic(lambda: None, rounds=1)
    else:
        run = CONTESTANTS[contestant](bounds, resolution, p)
        values, seeds = [], iter(range(1000))
        benchmark.pedantic(lambda: values.append(run(x, next(seeds))), rounds=runs, warmup_rounds=1)
    # released on the unit of the column, by everybody
    step = float(resolution)
    errors = [rank_error(x, p, np.round(np.round(v / step) * step, 9)) for v in values]
    truth = np.quantile(x, p, method="inverted_cdf")
    benchmark.extra_info["rank_error"] = float(np.mean(errors))
    benchmark.extra_info["largest_rank_error"] = float(np.max(errors))
    benchmark.extra_info["value_error"] = float(np.mean([np.abs(v - truth).mean() for v in values]))


SIZES = {
    "n = 10 000, m = 10": (10_000, 10),
    "n = 100 000, m = 10": (100_000, 10),
    "n = 1 000 000, m = 100": (1_000_000, 100),
}


@CPU
@pytest.mark.parametrize("contestant", ["ailys, JointExp", "JointExp by FFT"])
@pytest.mark.parametrize("case", list(SIZES))
def test_joint(benchmark, case, contestant):
    benchmark.group = f"JointExp with sorting: {case}"
    n, m = SIZES[case]
    if contestant == "JointExp by FFT" and n * m * m * 8 > 2e9:
        pytest.skip("needs more than 2 GB: tables of n m^2 doubles")
    x, p, bounds = np.random.default_rng(0).normal(0, 5, n), np.arange(1, m + 1) / (m + 1), (-100, 100)
    run = CONTESTANTS[contestant](bounds, "0.001", p)
    seeds = iter(range(100))
    rounds = 5 if contestant.startswith("ailys") else 1
    benchmark.pedantic(lambda: run(x, next(seeds)), rounds=rounds, warmup_rounds=rounds // 5)
