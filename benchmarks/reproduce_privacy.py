"""Rank errors of the methods for private quantiles, every cell of the table they were chosen by; ``docs/measured/privacy-errors.json``.

Each cell is the mean, over levels and 20 runs, of the number of records between the released value and the quantile. Every run draws its
own data. A second table shows how much the data alone move such a mean, a third one the cells outside with ten
times the runs.

    python benchmarks/reproduce_privacy.py [errors data longer] [--rows 0 1 ...] [--runs 20] [--jobs 2]
"""

import argparse
import json
import time
from functools import partial
from pathlib import Path

import numpy as np

from ailys.core.parallel import replicate
from ailys.privacy import quantiles
from ailys.privacy.research import jointexp, rank_error

HERE = Path(__file__).parents[1] / "docs" / "measured"
METHODS = ("indexp", "recexp", "jointexp", "raw", "tree", "histogram")
TITLES = ("IndExp", "RecExp", "JointExp", "JointExp without dither", "tree", "histogram")


def gauss(rng, n):
    return np.round(rng.normal(0, 5, n), 3)


def incomes(rng, n):
    x = np.round(np.exp(rng.normal(10, 0.8, n)), -2)
    x[rng.random(n) < 0.3] = 0
    return np.clip(x, 0, 500_000)


def stays(rng, n):
    return np.minimum(rng.geometric(0.15, n) - 1, 365).astype(float)


def atoms(rng, n):
    return np.repeat([0, 1, 2, 5, 10], np.array([30, 30, 20, 15, 5]) * n // 100).astype(float)


def visits(rng, n):
    from statsmodels.datasets import randhie

    return randhie.load_pandas().data["mdvis"].to_numpy(float)


GAUSS = {"bounds": (-100, 100), "resolution": "0.001"}
INCOMES = {"bounds": (0, 500_000), "resolution": 100}
STAYS = {"bounds": (0, 365), "resolution": 1}
# name, law, records, levels, column, epsilon, {method: the figure to meet}
ROWS = [
    ("Gauss", gauss, 10_000, 10, GAUSS, "1", {"indexp": 19.2, "recexp": 11.1, "jointexp": 5.7, "raw": 5.9, "tree": 39, "histogram": 818}),
    ("Gauss", gauss, 10_000, 100, GAUSS, "1", {"indexp": 172, "recexp": 28.5, "jointexp": 18.4, "raw": 18.8, "tree": 41, "histogram": 648}),
    ("Gauss", gauss, 1000, 100, GAUSS, "1", {"indexp": 211, "recexp": 23.2, "jointexp": 101, "raw": 89, "tree": 38, "histogram": 357}),
    ("incomes", incomes, 1000, 10, INCOMES, "1", {"indexp": 28, "recexp": 12.5, "jointexp": 6.3, "raw": 152, "tree": 16, "histogram": 31}),
    ("incomes", incomes, 10_000, 10, INCOMES, "1", {"indexp": 10.8, "recexp": 5.9, "jointexp": 1.5, "tree": 14, "histogram": 20}),
    ("incomes", incomes, 10_000, 5, INCOMES, "1", {"raw": 763}),
    ("incomes", incomes, 10_000, 20, INCOMES, "1", {"raw": 1741}),
    ("incomes", incomes, 10_000, 100, INCOMES, "0.1", {"indexp": 3296, "recexp": 221, "jointexp": 2809, "tree": 174, "histogram": 351}),
    ("length of stay", stays, 10_000, 10, STAYS, "1", {"indexp": 1.6, "recexp": 0.39, "jointexp": 0.10, "tree": 0.36, "histogram": 0.08}),
    ("length of stay", stays, 10_000, 5, STAYS, "1", {"raw": 251}),
    ("length of stay", stays, 1000, 100, STAYS, "1", {"indexp": 374, "recexp": 8.9, "jointexp": 225, "tree": 4.9, "histogram": 0.57}),
    ("five atoms", atoms, 10_000, 20, {"bounds": (0, 20), "resolution": 1}, "1", {"indexp": 5.0, "recexp": 0.98, "jointexp": 0.45, "raw": 4207}),
    ("RAND visits", visits, 20_190, 99, {"bounds": (0, 100), "resolution": 1}, "1", {"indexp": 24, "recexp": 0.63, "jointexp": 0.18, "tree": 0.15, "histogram": 0.02}),
]  # fmt: skip


def one_error(rng, method, law, n, m, column, epsilon):
    x, p = law(rng, n), np.arange(1, m + 1) / (m + 1)
    return error_of(rng, x, p, method, column, epsilon)


def error_of(rng, x, p, method, column, epsilon):
    if method == "raw":
        values = jointexp(x, p, bounds=column["bounds"], epsilon=float(epsilon), neighbours="replace", rng=rng)
    else:
        answer = quantiles(x, p, neighbours="replace", epsilon=epsilon, method=method, unsafe_rng=rng, **column)
        values = answer.values
    return float(rank_error(x, p, values).mean())


def digits(value):
    return f"{value:.0f}" if value >= 99.5 else f"{value:.1f}" if value >= 9.95 else f"{value:.2f}"


def errors(rows, runs, jobs):
    table = []
    for place in rows:
        name, law, n, m, column, epsilon, expected = ROWS[place]
        row = {"column": name, "records, levels": f"{n}, {m}", "epsilon": epsilon}
        for method, title in zip(METHODS, TITLES, strict=True):
            if method not in expected:
                row[title] = "-"
                continue
            found = np.array(replicate(one_error, runs, method, law, n, m, column, epsilon, rng=place, n_jobs=jobs))
            mean, error, wanted = found.mean(), found.std(ddof=1) / np.sqrt(runs), expected[method]
            mark = "" if abs(mean / wanted - 1) <= 0.3 else " **<**" if mean < wanted else " **>**"
            row[title] = f"{digits(mean)} ± {digits(error)} ({wanted:g}){mark}"
        table.append(row)
        print(row, flush=True)
    return table


def one_set(rng, method, law, n, m, column, epsilon):
    x, p = law(rng, n), np.arange(1, m + 1) / (m + 1)
    return float(np.mean([error_of(rng, x, p, method, column, epsilon) for _ in range(10)]))


def data(rows, runs, jobs):
    """Means of ten runs on one data set, over 40 data sets of the lengths of stay: what the data alone do."""
    table = []
    for place in (8,):
        name, law, n, m, column, epsilon, expected = ROWS[place]
        for method, title in zip(METHODS, TITLES, strict=True):
            if method not in expected:
                continue
            work = partial(one_set, method=method, law=law, n=n, m=m, column=column, epsilon=epsilon)
            found = np.sort(replicate(work, 2 * runs, rng=place, n_jobs=jobs))
            table.append(
                {"column": name, "records, levels": f"{n}, {m}", "method": title, "data sets": len(found), "smallest": digits(found[0]),
                 "median": digits(float(np.median(found))), "mean ± standard error": f"{digits(found.mean())} ± {digits(found.std(ddof=1) / np.sqrt(len(found)))}", "largest": digits(found[-1]), "to meet": f"{expected[method]:g}"}
            )  # fmt: skip
            print(table[-1], flush=True)
    return table


# row and method of the cells that 20 runs put outside
OUTSIDE = [(0, "recexp"), (0, "histogram"), (8, "recexp"), (8, "jointexp"), (8, "histogram"), (10, "histogram"), (11, "recexp"),
           (12, "jointexp"), (12, "tree"), (12, "histogram")]  # fmt: skip


def longer(rows, runs, jobs):
    """The cells outside again, with ten times the runs; how much a mean of 20 of them moves by chance."""
    table = []
    for place, method in OUTSIDE:
        name, law, n, m, column, epsilon, expected = ROWS[place]
        found = np.array(
            replicate(one_error, 10 * runs, method, law, n, m, column, epsilon, rng=place + 100, n_jobs=jobs)
        )
        means = found.reshape(10, runs).mean(axis=1)
        table.append(
            {"column": name, "records, levels": f"{n}, {m}", "method": TITLES[METHODS.index(method)], f"mean of {10 * runs} runs": digits(found.mean()),
             "standard error": digits(found.std(ddof=1) / np.sqrt(found.size)), "runs without any error": f"{100 * np.mean(found == 0):.0f} %",
             f"means of {runs} runs": f"{digits(means.min())} to {digits(means.max())}", "to meet": f"{expected[method]:g}"}
        )  # fmt: skip
        print(table[-1], flush=True)
    return table


WORK = {"errors": errors, "data": data, "longer": longer}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tables", nargs="*", choices=list(WORK), default=list(WORK))
    parser.add_argument("--rows", type=int, nargs="*", default=list(range(len(ROWS))), help="of the first table")
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--jobs", type=int, default=1)
    options = parser.parse_args()
    for name in options.tables or list(WORK):
        start = time.perf_counter()
        table = WORK[name](options.rows, options.runs, options.jobs)
        if options.runs >= 20 and len(options.rows) == len(ROWS):
            text = json.dumps({"table": table}, indent=1)
            (HERE / f"privacy-{name}.json").write_text(text + "\n", "utf-8")
        print(f"{name}: {time.perf_counter() - start:.0f} s", flush=True)


if __name__ == "__main__":
    main()
