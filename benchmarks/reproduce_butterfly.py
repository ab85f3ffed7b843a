"""Published experiments on butterfly factorization, run again: numbers and figures for the user page.

    OPENBLAS_NUM_THREADS=1 python benchmarks/reproduce_butterfly.py

writes docs/images/butterfly-figures.json and docs/images/butterfly-figures.svg. Settings follow the code
published with Le, Zheng, Riccietti, Gribonval 2025 (their figures 3, 4 and 5), at the sizes named here.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import time
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import scipy.linalg
from matplotlib.figure import Figure

from ailys.butterfly import Chain, butterfly
from ailys.core.figures import PALETTE, save_figure, style

DOCS = Path(__file__).parent.parent / "docs"


def exactness() -> dict[str, float]:
    """Hadamard and Fourier matrices: relative errors."""
    errors = {}
    for k in range(9, 13):
        errors[f"Hadamard {2**k}, dyadic"] = butterfly(scipy.linalg.hadamard(2**k), "dyadic").relative_error
    for k in range(6, 11):
        errors[f"Fourier {2**k}, dyadic"] = butterfly(np.fft.fft(np.eye(2**k)), "dyadic", perm="bitrev").relative_error
        errors[f"Fourier {2**k}, Monarch"] = butterfly(
            np.fft.fft(np.eye(2**k)), Chain.monarch(2**k), perm="bitrev"
        ).relative_error
    return errors


def against_gradients(k: int) -> dict[str, object]:
    """Error against time on the Hadamard matrix: ours, and Adam (100 steps) followed by L-BFGS (20)."""
    import torch

    from ailys.butterfly import ks_matmul

    torch.set_num_threads(1)
    torch.manual_seed(0)
    n = 2**k
    H = scipy.linalg.hadamard(n).astype(float)
    target = torch.tensor(H)
    butterfly(H, "dyadic")
    start = time.process_time()
    ours = butterfly(H, "dyadic", order="left")
    seconds = time.process_time() - start
    factors = [torch.nn.Parameter(torch.randn(*p, dtype=torch.float64) / 2**0.5) for p in Chain.dyadic(n)]
    norm = float(np.linalg.norm(H))

    def loss():
        y = torch.eye(n, dtype=torch.float64)
        for x in reversed(factors):
            y = ks_matmul(y, x)
        return ((y - target) ** 2).sum()

    loss().backward()  # the first one allocates
    path = [(0.0, loss().item() ** 0.5 / norm)]
    begin = time.process_time()
    adam = torch.optim.Adam(factors, lr=0.1)
    for _ in range(100):
        adam.zero_grad()
        value = loss()
        value.backward()
        adam.step()
        path.append((time.process_time() - begin, value.item() ** 0.5 / norm))
    lbfgs = torch.optim.LBFGS(factors, max_iter=20, line_search_fn="strong_wolfe")

    def closure():
        lbfgs.zero_grad()
        value = loss()
        value.backward()
        path.append((time.process_time() - begin, value.item() ** 0.5 / norm))
        return value

    lbfgs.step(closure)
    return {"n": n, "ours": [seconds, ours.relative_error], "gradient": path}


def least_square_chain(n: int, rank: int) -> Chain:
    """The four-factor chain with equal row and column splits and fewest parameters."""
    k = n.bit_length() - 1
    splits = [s for s in itertools.product(range(1, k), repeat=4) if sum(s) == k]
    chains = [Chain.from_splits([2**e for e in s], [2**e for e in s], rank) for s in splits]
    return min(chains, key=lambda chain: chain.n_params)


def white_noise() -> list[dict[str, float]]:
    """Members of a class plus noise: error over noise, against the law sqrt(1 - dim / N^2)."""
    rows = []
    for n, rank in itertools.product((128, 256, 512, 1024), (1, 2, 4)):
        chain = least_square_chain(n, rank)
        for noise in (0.01, 0.03, 0.1, 0.3):
            ratios = []
            for seed in range(10 if n <= 512 else 3):
                rng = np.random.default_rng(seed)
                X = np.eye(n)
                for p in reversed(chain.patterns):
                    from ailys.butterfly import ks_matmul

                    X = ks_matmul(X, rng.standard_normal(tuple(p)))
                Z = rng.standard_normal((n, n))
                Z *= noise * np.linalg.norm(X) / np.linalg.norm(Z)
                ratios.append(butterfly(X + Z, chain, order="left").error / np.linalg.norm(Z))
            rows.append(
                {
                    "n": n,
                    "rank": rank,
                    "noise": noise,
                    "law": float(np.sqrt(1 - chain.dim / n**2)),
                    "mean": float(np.mean(ratios)),
                    "least": float(np.min(ratios)),
                    "most": float(np.max(ratios)),
                    "seeds": len(ratios),
                }
            )
    return rows


def bounds(k: int = 9) -> list[dict[str, float]]:
    """A Hadamard matrix whose rows 0 and n/2 are spoiled on their first half: error and bounds."""
    n, rows = 2**k, []
    for eps in 10.0 ** np.arange(-6, 0):
        rng = np.random.default_rng(0)
        H = scipy.linalg.hadamard(n).astype(float)
        norm = np.linalg.norm(H)
        spoiled = rng.standard_normal((2, n // 2))
        spoiled *= eps * norm / np.linalg.norm(spoiled)
        A = H.copy()
        A[[0, n // 2], : n // 2] = spoiled
        answer = butterfly(A, "dyadic", order="left")
        E = answer.split_errors
        weights = 2.0 ** np.arange(len(E) - 1, -1, -1)
        rows.append(
            {
                "eps": float(eps),
                "error": answer.error / norm,
                "lower_bound": answer.lower_bound / norm,
                "sqrt_sum": answer.a_priori_bound / norm,
                "without_orthonormalisation": float(np.sum(weights * E)) / norm,
            }
        )
    return rows


def peak_memory() -> dict[str, float]:
    """Resident memory while a matrix of order 8192 in single precision is factorized, in multiples of the matrix."""
    script = """
import numpy as np
from ailys.butterfly import butterfly
from ailys.tour.runner import peak_memory
rng = np.random.default_rng(0)
butterfly(rng.standard_normal((64, 64)).astype(np.float32), "dyadic")
A = rng.standard_normal((8192, 8192), dtype=np.float32)
before = peak_memory()
answer = butterfly(A, "dyadic")
print(before, peak_memory(), A.nbytes, sum(x.nbytes for x in answer.factors))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    before, peak, matrix, factors = (int(word) for word in done.stdout.split())
    return {"before": before, "peak": peak, "matrix": matrix, "factors": factors}


def draw(results: dict) -> None:
    """The three figures of the user page."""
    with style():
        figure = Figure(figsize=(10.5, 3.3), layout="constrained")
        left, middle, right = figure.subplots(1, 3)
        run = results["gradients"][0]
        times, errors = zip(*run["gradient"], strict=True)
        left.loglog(np.array(times[1:]), errors[1:], color=PALETTE[0], label="Adam, then L-BFGS")
        left.loglog(*run["ours"], "o", color=PALETTE[1], label="ailys")
        left.set(xlabel="CPU seconds", ylabel="relative error", title=f"Hadamard matrix of order {run['n']}")
        left.legend(loc="center left")
        rows = [r for r in results["noise"] if r["noise"] == 0.1]
        for rank, colour in zip((1, 2, 4), PALETTE, strict=False):
            part = [r for r in rows if r["rank"] == rank]
            middle.semilogx([r["n"] for r in part], [r["law"] for r in part], "--", color=colour, linewidth=1)
            middle.plot([r["n"] for r in part], [r["mean"] for r in part], "o", color=colour, label=f"rank {rank}")
        middle.set(xlabel="order", ylabel="error / noise", title="member of the class + 10 % noise")
        middle.set_xticks([128, 256, 512, 1024], ["128", "256", "512", "1024"])
        middle.minorticks_off()
        middle.legend()
        eps = [r["eps"] for r in results["bounds"]]
        for name, label, line in (
            ("without_orthonormalisation", "bound without orthonormalisation", ":"),
            ("sqrt_sum", "a-priori bound", "--"),
            ("error", "error", "o-"),
            ("lower_bound", "lower bound", "x"),
        ):
            right.loglog(eps, [r[name] for r in results["bounds"]], line, label=label)
        right.set(
            xlabel="size of the spoiled part", ylabel="relative error", title="spoiled Hadamard matrix, order 512"
        )
        right.legend(fontsize=8)
        save_figure(figure, DOCS / "images" / "butterfly-figures.svg")


def main() -> None:
    results = {
        "exactness": exactness(),
        "gradients": [against_gradients(9), against_gradients(10)],
        "noise": white_noise(),
        "bounds": bounds(),
        "memory": peak_memory(),
    }
    draw(results)
    (DOCS / "images" / "butterfly-figures.json").write_text(json.dumps(results, indent=1) + "\n")
    worst = max(abs(r["mean"] / r["law"] - 1) for r in results["noise"] if r["noise"] <= 0.1)
    print("largest relative error of an exact matrix:", max(results["exactness"].values()))
    for run in results["gradients"]:
        print(f"order {run['n']}: ours {run['ours']}, gradient after 1, 10, 100 steps and at the end",
              [run["gradient"][i] for i in (1, 10, 100, -1)])  # fmt: skip
    print(f"law of the noise: largest deviation of a mean up to 10 % noise {100 * worst:.2f} %")
    print("bounds at .01:", next(r for r in results["bounds"] if abs(r["eps"] - 0.01) < 1e-12))
    print("memory:", results["memory"])


if __name__ == "__main__":
    main()
