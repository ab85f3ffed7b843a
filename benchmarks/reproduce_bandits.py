"""Published tables of the bandit literature, measured again: ``docs/images/bandits-tables.json`` and a figure.

Table 1 of Garivier and Kaufmann (2016): mean number of draws to name the best of four and of five Bernoulli arms, delta = 0.1,
heuristic threshold for all methods; the same with proved thresholds; regret in the low-reward scenario of Garivier and Cappé
(2011); type-I errors of tests that are watched; the ratio of the stopping time to its bound as delta goes to 0.

    python benchmarks/reproduce_bandits.py [--runs 3000] [--jobs 2]
"""

import argparse
import json
import time
import warnings
from functools import partial
from pathlib import Path

import numpy as np

import ailys.bandits as b
from ailys.bandits._evidence_kernels import trial_until, z_test_rejects
from ailys.core.claim import clopper_pearson
from ailys.core.figures import PALETTE, save_figure, style

PUBLISHED = {  # Table 1: Track-and-Stop (D), Chernoff-Racing, KL-LUCB, KL-Racing
    "mu1": {"D-tracking": 4052, "Chernoff-Racing": 4516, "KL-LUCB": 8437, "KL-Racing": 9590},
    "mu2": {"D-tracking": 1406, "Chernoff-Racing": 3078, "KL-LUCB": 2716, "KL-Racing": 3334},
}
MEANS = {"mu1": [0.5, 0.45, 0.43, 0.4], "mu2": [0.3, 0.21, 0.2, 0.19, 0.18]}
METHODS = {
    "D-tracking": b.DTracking,
    "C-tracking": b.CTracking,
    "Chernoff-Racing": b.ChernoffRacing,
    "KL-LUCB": b.KLLUCB,
    "KL-Racing": b.KLRacing,
    "T3C": b.T3C,
    "EB-TCI": b.EBTCI,
}
LOW = [0.1] + 3 * [0.05] + 3 * [0.02] + 3 * [0.01]
HERE = Path(__file__).parents[1] / "docs" / "images"


def table_1(runs, jobs, threshold="heuristic", methods=METHODS):
    rows = []
    for problem, means in MEANS.items():
        for name, method in methods.items():
            start = time.perf_counter()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                result = b.simulate_identification(
                    {name: method}, means, 0.1, n_replicates=runs, threshold=threshold, rng=2016, n_jobs=jobs
                )
            row = result.table()[0]
            rows.append(
                {"problem": problem, "threshold": threshold, "published": PUBLISHED[problem].get(name), "lower_bound": result.lower_bound,
                 "seconds": time.perf_counter() - start, **row}
            )  # fmt: skip
            print(
                problem,
                name,
                f"{row['mean']:.0f} ± {row['standard_error']:.0f}",
                f"{100 * row['error_rate']:.1f} %",
                flush=True,
            )
    return rows


def regret(runs, jobs):
    policies = {
        "KL-UCB, c = 0": b.KLUCB, "KL-UCB, c = 3": partial(b.KLUCB, c=3.0), "UCB, sigma = 1/2": b.UCB, "Thompson": b.Thompson,
        "IMED": b.IMED, "MOSS": partial(b.MOSS, horizon=10_000), "KL-UCB++": partial(b.KLUCBpp, horizon=10_000),
        "KL-UCB-switch": b.KLUCBSwitch, "Bayes-UCB": b.BayesUCB,
    }  # fmt: skip
    result = b.simulate(policies, LOW, 10_000, runs, rng=2011, n_jobs=jobs)
    errors = result.regret[:, :, -1].std(axis=1, ddof=1) / np.sqrt(runs)
    rows = [
        {"policy": n, "regret": float(m), "standard_error": float(e)}
        for n, m, e in zip(policies, result.mean[:, -1], errors, strict=True)
    ]
    for row in rows:
        print(row["policy"], f"{row['regret']:.1f} ± {row['standard_error']:.1f}", flush=True)
    return rows, result


def watched(runs):
    keys = np.random.default_rng(48).integers(0, 2**63, runs, dtype=np.uint64)
    cases = {
        "label e-process, p = .1": lambda k: trial_until(np.array([0.1, 0.1]), 0.5, 0.1, 0.05, False, k, 20_000)[1],
        "label e-process, p = .5": lambda k: trial_until(np.array([0.5, 0.5]), 0.5, 0.1, 0.05, False, k, 20_000)[1],
        "label e-process, adaptive allocation": lambda k: trial_until(
            np.array([0.1, 0.1]), 0.0, 0.1, 0.05, False, k, 20_000
        )[1],
        "one-sided, equal arms": lambda k: trial_until(np.array([0.1, 0.1]), 0.5, 0.1, 0.05, True, k, 20_000)[1],
        "one-sided, second arm worse": lambda k: trial_until(np.array([0.12, 0.1]), 0.5, 0.1, 0.05, True, k, 20_000)[1],
        "z-test looked at after every pair from 20 on": lambda k: z_test_rejects(
            np.array([0.1, 0.1]), k, 20, 5000, 1.96
        ),
    }
    rows = []
    for name, trial in cases.items():
        wrong = sum(trial(key) for key in keys)
        lower, upper = clopper_pearson(int(wrong), runs, 0.975)
        rows.append({"test": name, "rate": wrong / runs, "lower": lower, "upper": upper, "runs": runs})
        print(name, f"{100 * wrong / runs:.1f} % [{100 * lower:.1f}, {100 * upper:.1f}]", flush=True)
    return rows


def small_delta(runs, jobs):
    rows = []
    for exponent in (1, 2, 5, 10, 20):
        result = b.simulate_identification(
            {"D-tracking": b.DTracking}, MEANS["mu2"], 10.0**-exponent, n_replicates=runs, rng=20, n_jobs=jobs
        )
        ratio = result.mean[0] / (result.characteristic_time * exponent * np.log(10))
        rows.append(
            {
                "delta": f"1e-{exponent}",
                "mean": float(result.mean[0]),
                "ratio": float(ratio),
                "wrong": int(result.wrong.sum()),
            }
        )
        print(rows[-1], flush=True)
    return rows


def figure(rows, result):
    from matplotlib.figure import Figure

    with style():
        drawing = Figure(figsize=(10, 3.6), layout="constrained")
        left, right = drawing.subplots(1, 2)
        first = [row for row in rows if row["problem"] == "mu1"]
        y = np.arange(len(first))
        left.barh(y, [row["mean"] for row in first], color=PALETTE[0], alpha=0.7, label="measured")
        known = [(i, row["published"]) for i, row in enumerate(first) if row["published"]]
        left.plot([v for _, v in known], [i for i, _ in known], "D", color=PALETTE[1], label="published")
        left.axvline(first[0]["lower_bound"], color=PALETTE[2], linestyle="--", label="lower bound")
        left.set_yticks(y, [row["policy"] for row in first])
        left.set_xlabel("mean number of draws, first instance")
        left.legend(fontsize=8)
        from ailys.bandits.plots import plot_regret

        plot_regret(result, right)
        save_figure(drawing, HERE / "bandits-tables.svg")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3000)
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    for name, method in METHODS.items():  # compiled kernels are loaded before the clock starts
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            b.simulate_identification({name: method}, [0.9, 0.1], 0.1, n_replicates=1, threshold="heuristic", rng=0)
    start = time.perf_counter()
    rows = table_1(options.runs, options.jobs)
    seconds = time.perf_counter() - start
    print(f"Table 1: {seconds:.0f} s")
    report = {"table_1": rows, "table_1_seconds": seconds, "runs": options.runs, "jobs": options.jobs}
    some = {"D-tracking": b.DTracking}
    report["proved"] = [
        row
        for t in ("mixture", "garivier-kaufmann", "kaufmann-koolen")
        for row in table_1(options.runs // 10, options.jobs, t, some)
    ]
    report["regret"], result = regret(1000, options.jobs)
    report["watched"] = watched(2000)
    report["small_delta"] = small_delta(200, options.jobs)
    (HERE / "bandits-tables.json").write_text(json.dumps(report, indent=1) + "\n", "utf-8")
    figure(rows, result)


if __name__ == "__main__":
    main()
