"""Monte Carlo tables of multivariate self-similarity: bias, blocks, coverage, tests, modes, corrections; ``docs/measured/selfsimilarity-*.json``.

Each run draws an operator fractional Brownian motion, mixes it by a fresh random matrix (orthogonal, or with unit columns), and estimates.
All runs have their own stream, so the tables do not depend on the number of workers.

    python benchmarks/reproduce_selfsimilarity.py [bias reference coverage tests modes diagram single correction] [--scale 1] [--jobs 2]
"""

import argparse
import json
import time
import warnings
from functools import partial
from pathlib import Path

import numpy as np

from ailys.core.parallel import replicate
from ailys.selfsimilarity import (
    OperatorFractionalBrownianMotion,
    cluster_exponents,
    count_modes,
    equality_test,
    estimate_hurst,
    fractional_brownian_motion,
    log_scale_diagram,
    mixing_correction,
)
from ailys.selfsimilarity.equality import invariant_exponents
from ailys.selfsimilarity.wavelet import coefficient_counts

HERE = Path(__file__).parents[1] / "docs" / "measured"
# exponents, correlation, log2 n, octaves, runs
SETTINGS = {
    "A: .8 x 6, rho .5, (8, 11)": ([0.8] * 6, 0.5, 16, (8, 11), 400),
    "B: .6 x 3, .8 x 3, rho .5, (8, 11)": ([0.6] * 3 + [0.8] * 3, 0.5, 16, (8, 11), 400),
    "B': the same, (5, 10)": ([0.6] * 3 + [0.8] * 3, 0.5, 16, (5, 10), 400),
    "C: .4, .5, ..., .9, rho .3, (8, 11)": ([0.4, 0.5, 0.6, 0.7, 0.8, 0.9], 0.3, 16, (8, 11), 400),
    "D: .6 x 5, .7, rho .5, (8, 11)": ([0.6] * 5 + [0.7], 0.5, 16, (8, 11), 400),
    "E: .7 x 20, rho .3, (5, 9)": ([0.7] * 20, 0.3, 16, (5, 9), 60),
}
# the figures to meet: bias of the classical and of the corrected estimator, standard deviation of the corrected one
EXPECTED = {
    "A": ([-0.136, -0.073, -0.024, 0.021, 0.062, 0.0], [0.0] * 6, [0.051, 0.040, 0.034, 0.035, 0.035, 0.055]),
    "B": ([-0.099, -0.030, 0.027, -0.051, 0.018, -0.024], [0.004, 0.006, 0.015, -0.008, -0.004, -0.022], [0.054, 0.047, 0.046, 0.051, 0.047, 0.061]),
    "B'": ([-0.028, 0.002, 0.041, -0.018, 0.012, -0.039], [0.014, 0.018, 0.029, -0.014, -0.008, -0.039], [0.014, 0.011, 0.012, 0.014, 0.013, 0.016]),
    "C": ([-0.041, -0.037, -0.025, -0.012, 0.004, -0.035], [0.010, 0.002, 0.006, 0.011, 0.010, -0.037], [0.064, 0.058, 0.058, 0.058, 0.056, 0.055]),
}  # fmt: skip
UNIVARIATE_ON_C = [0.391, 0.295, 0.192, 0.094, -0.012, -0.109]


def orthogonal(rng, M):
    Q, R = np.linalg.qr(rng.standard_normal((M, M)))
    return Q * np.sign(np.diag(R))


def unit_columns(rng, M):
    W = rng.standard_normal((M, M))
    return W / np.linalg.norm(W, axis=0)


MIXINGS = {"orthogonal": orthogonal, "unit columns": unit_columns}


def one_run(rng, model, log2_n, octaves, mixing, n_bootstrap):
    """Estimates, hits of the intervals, p-value of chi2, number of clusters."""
    M = model.n_channels
    x = MIXINGS[mixing](rng, M) @ model.sample(2**log2_n, rng=rng)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = estimate_hurst(x, octaves=octaves, n_bootstrap=n_bootstrap, rng=rng)
    row = {
        "corrected": found.hurst,
        "classical": found.classical,
        "univariate": found.univariate,
        "error": found.standard_error,
    }
    if n_bootstrap:
        truth = np.sort(model.hurst)
        row["hit"] = (found.interval[:, 0] <= truth) & (truth <= found.interval[:, 1])
        row["p"] = equality_test(found).p_value
        row["clusters"] = cluster_exponents(found).n_clusters
        row["clusters by"] = cluster_exponents(found, correction="by").n_clusters
    return row


def runs_of(name, scale, jobs, mixing="orthogonal", n_bootstrap=0, runs=None):
    H, rho, log2_n, octaves, usual = SETTINGS[name]
    model = OperatorFractionalBrownianMotion(H, rho)
    model.embedding(2**log2_n)
    count = max(8, int((runs or usual) * scale))
    work = partial(one_run, log2_n=log2_n, octaves=octaves, mixing=mixing, n_bootstrap=n_bootstrap)
    rows = replicate(work, count, model, rng=2024, n_jobs=jobs)
    return np.array(H), {key: np.array([row[key] for row in rows]) for key in rows[0]}


def digits(values, places=3):
    values = np.atleast_1d(values)
    if values.size > 8:
        return f"{values.min():+.{places}f} ... {values.max():+.{places}f}"
    return " ".join(f"{v:+.{places}f}".replace("0.", ".") for v in values)


def plain(values, places=3):
    values = np.atleast_1d(values)
    if values.size > 8:
        return f"{values.min():.{places}f} ... {values.max():.{places}f}"
    return " ".join(f"{v:.{places}f}" for v in values)


def deviation(name, H, found):
    """Largest difference to the expected figures in units of the tolerance 4 sd / sqrt(R) + 0.003."""
    key = name.split(":")[0]
    if key not in EXPECTED:
        return None
    worst = 0.0
    for kind, expected in zip(("classical", "corrected"), EXPECTED[key][:2], strict=True):
        R = len(found[kind])
        tolerance = 4 * found[kind].std(axis=0, ddof=1) / np.sqrt(R) + 0.003
        worst = max(worst, float(np.max(np.abs(found[kind].mean(axis=0) - H - expected) / tolerance)))
    spread = found["corrected"].std(axis=0, ddof=1)  # its own error is sd / sqrt(2 R)
    tolerance = 4 * spread / np.sqrt(2 * len(found["corrected"])) + 0.003
    return max(worst, float(np.max(np.abs(spread - EXPECTED[key][2]) / tolerance)))


def bias(scale, jobs):
    table = []
    for name in SETTINGS:
        H, found = runs_of(name, scale, jobs)
        row = {
            "setting": name,
            "runs": len(found["corrected"]),
            "classical bias": digits(found["classical"].mean(axis=0) - H),
            "corrected bias": digits(found["corrected"].mean(axis=0) - H),
            "classical sd": plain(found["classical"].std(axis=0, ddof=1)),
            "corrected sd": plain(found["corrected"].std(axis=0, ddof=1)),
        }
        gap = deviation(name, H, found)
        row["largest difference to the expected figures / tolerance"] = "-" if gap is None else f"{gap:.2f}"
        table.append(row)
        if name.startswith("C"):
            table.append(
                {"setting": "each channel alone on C", "runs": len(found["univariate"]), "classical bias": digits(found["univariate"].mean(axis=0) - H),
                 "classical sd": plain(found["univariate"].std(axis=0, ddof=1))}
            )  # fmt: skip
        print(table[-1], flush=True)
    return table


def one_reference(rng, model, octaves, references):
    x = orthogonal(rng, model.n_channels) @ model.sample(2**16, rng=rng)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [estimate_hurst(x, octaves=octaves, reference_octave=j).hurst for j in references]


def reference(scale, jobs):
    """Blocks as large as the last octave of the line, or smaller ones of a later octave."""
    table, octaves = [], (7, 10)
    for name in list(SETTINGS)[:4:3]:
        H, rho = SETTINGS[name][:2]
        model, references = OperatorFractionalBrownianMotion(H, rho), (10, 11, 12)
        model.embedding(2**16)
        work = partial(one_reference, octaves=octaves, references=references)
        drawn = np.array(replicate(work, max(4, int(200 * scale)), model, rng=6, n_jobs=jobs))
        for place, j in enumerate(references):
            found = drawn[:, place]
            table.append(
                {"exponents": name.split(": ")[1].rsplit(", (", 1)[0], "octaves": str(octaves), "reference octave": f"{j} ({coefficient_counts(2**16)[j - 1]} coefficients)",
                 "runs": len(found), "bias": digits(found.mean(axis=0) - np.array(H)), "sd": plain(found.std(axis=0, ddof=1))}
            )  # fmt: skip
            print(table[-1], flush=True)
    return table


def coverage(scale, jobs):
    table = []
    for name, mixing in [(n, "orthogonal") for n in list(SETTINGS)[:5]] + [
        (n, "unit columns") for n in list(SETTINGS)[:4]
    ]:
        _, found = runs_of(name, scale, jobs, mixing, n_bootstrap=200, runs=200)
        table.append(
            {"setting": name, "mixing": mixing, "runs": len(found["p"]), "coverage of 95 % intervals": plain(found["hit"].mean(axis=0), 2),
             "mean bootstrap sd / true sd": plain(found["error"].mean(axis=0) / found["corrected"].std(axis=0, ddof=1), 2),
             "chi2 test rejects at 5 %": f"{np.mean(found['p'] <= 0.05):.3f}",
             "clusters found (1, 2, 3, more)": " ".join(str(int(np.sum(found["clusters"] == k))) for k in (1, 2, 3)) + f" {int(np.sum(found['clusters'] > 3))}"}
        )  # fmt: skip
        print(table[-1], flush=True)
    return table


def one_test(rng, model, mixing, simulations):
    """p-values of chi2 and monte_carlo, and the statistic of the invariant test."""
    x = MIXINGS[mixing](rng, model.n_channels) @ model.sample(2**14, rng=rng)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = estimate_hurst(x, octaves=(6, 9), n_bootstrap=200, rng=rng)
    simulated = (
        equality_test(found, method="monte_carlo", n_simulations=simulations, rng=rng, n_jobs=1).p_value
        if simulations
        else np.nan
    )
    return [equality_test(found).p_value, simulated, *invariant_exponents(found.spectra, found.weights, "motion")]


def invariant_p_values(statistics, null):
    """Those of `equality_test`; the law of the hypothesis is the same for every mixing, so it is drawn once for all runs."""
    p = []
    for row in statistics:
        every = np.diff(np.vstack([row, null]), axis=1)
        centred = every - every.mean(axis=0)
        distance = np.einsum("rk,rk->r", centred, np.linalg.solve(np.cov(every, rowvar=False), centred.T).T)
        p.append(np.mean(distance >= distance[0] * (1 - 1e-12)))
    return np.array(p)


def tests(scale, jobs):
    table = []
    cases = {
        ".8 x 6": ([0.8] * 6, 0.5),
        ".6 x 3, .75 x 3": ([0.6] * 3 + [0.75] * 3, 0.3),
    }
    for name, (H, rho) in cases.items():
        model = OperatorFractionalBrownianMotion(H, rho)
        hypothesis = OperatorFractionalBrownianMotion([float(np.mean(H))] * 6)
        null = np.array(
            replicate(partial(one_test, mixing="orthogonal", simulations=0), 199, hypothesis, rng=8, n_jobs=jobs)
        )[:, 2:]
        for mixing in MIXINGS:
            runs = max(4, int(120 * scale))
            rows = np.array(
                replicate(partial(one_test, mixing=mixing, simulations=99), runs, model, rng=7, n_jobs=jobs)
            )
            p = np.column_stack([rows[:, :2], invariant_p_values(rows[:, 2:], null)])
            rates = [f"{rate:.3f}" for rate in np.mean(p <= 0.05, axis=0)]
            table.append(
                {"exponents (n = 2^14, octaves 6 to 9)": name, "mixing": mixing, "runs": runs, "chi2": rates[0], "monte_carlo": rates[1], "invariant": rates[2]}
            )  # fmt: skip
            print(table[-1], flush=True)
    return table


# exponents of many channels, correlation, log2 n, octaves
MANY = [
    ([0.7] * 20, 0.3, 14, (4, 7)),
    ([0.6] * 10 + [0.8] * 10, 0.3, 14, (4, 7)),
    ([0.4] * 10 + [0.8] * 10, 0.2, 14, (4, 7)),
    ([0.3] * 7 + [0.6] * 7 + [0.9] * 6, 0.1, 14, (4, 7)),
]


def one_count(rng, model, mixing, log2_n, octaves):
    """Numbers of groups by neighbours, by critical bandwidths, by the dip."""
    x = MIXINGS[mixing](rng, model.n_channels) @ model.sample(2**log2_n, rng=rng)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = estimate_hurst(x, octaves=octaves, n_bootstrap=100, rng=rng)
    return [
        cluster_exponents(found).n_clusters,
        *(count_modes(found, method=m, rng=rng).n_modes for m in ("silverman", "dip")),
    ]


def modes(scale, jobs):
    """Numbers of groups of many exponents; the tests of neighbours beside the counts of modes."""
    table = []
    for H, rho, log2_n, octaves in MANY:
        model = OperatorFractionalBrownianMotion(H, rho)
        model.embedding(2**log2_n)
        for mixing in MIXINGS:
            work = partial(one_count, mixing=mixing, log2_n=log2_n, octaves=octaves)
            runs = max(4, int(40 * scale))
            found = np.array(replicate(work, runs, model, rng=9, n_jobs=jobs))
            groups = ", ".join(f"{h:g} x {np.sum(np.array(H) == h)}".replace("0.", ".") for h in sorted(set(H)))
            row = {"exponents": groups, "n, octaves": f"2^{log2_n}, {octaves}", "mixing": mixing, "runs": runs}
            for name, column in zip(("neighbours", "silverman"), found.T, strict=False):
                said = [int(np.sum(column == k)) for k in (1, 2, 3)] + [int(np.sum(column > 3))]
                row[f"{name}: 1, 2, 3, more"] = " ".join(map(str, said))
            row["dip: 1, more"] = f"{np.sum(found[:, 2] == 1)} {np.sum(found[:, 2] > 1)}"
            table.append(row)
            print(row, flush=True)
    return table


D = 0.35  # of the farima
LAWS = {
    "Gaussian": (None, False),
    "gamma, shape 2.5, covariance of the farima": (2.5, True),
    "gamma, shape 0.5, covariance of the farima": (0.5, True),
    "gamma, shape 2.5, a farima through quantiles": (2.5, False),
    "gamma, shape 0.5, a farima through quantiles": (0.5, False),
}


def farima_correlation(k):
    """Of a Gaussian farima(0, d, 0)."""
    from scipy.special import gammaln

    return np.exp(gammaln(k + D) - gammaln(k + 1 - D) - gammaln(D) + gammaln(1 - D))


def gaussian_correlation(shape, wanted):
    """Correlations of a Gaussian series whose image under the gamma quantiles has the correlations ``wanted``.

    The image has correlation sum_q c_q^2 rho^q / sum_q c_q^2, with c_q the Hermite coefficients of z -> F^-1(Phi(z)); all
    terms are positive, so this is inverted on [0, 1].
    """
    from scipy.special import ndtr
    from scipy.stats import gamma

    z, weight = np.polynomial.hermite_e.hermegauss(150)
    weight /= weight.sum()
    value = np.where(z > 0, gamma.isf(ndtr(-np.abs(z)), shape), gamma.ppf(ndtr(-np.abs(z)), shape))
    value -= weight @ value
    before, now, power = np.ones_like(z), z, [0.0]
    for q in range(1, 61):
        power.append((weight @ (value * now)) ** 2)
        before, now = now, (z * now - np.sqrt(q) * before) / np.sqrt(q + 1)
    rho = np.linspace(0, 1, 200_001)
    return np.interp(wanted, np.polynomial.polynomial.polyval(rho, np.array(power) / sum(power)), rho)


def one_diagram(rng, embedding, shape, n, simulations):
    """For each interval whether it covers, and its width; the estimate."""
    from scipy.special import ndtr
    from scipy.stats import gamma

    g = embedding.draw(1, n, rng)[0, 0]
    x = g if shape is None else gamma.ppf(ndtr(g), shape)
    row = []
    for kind in ("gaussian", "bootstrap", "parametric"):
        found = log_scale_diagram(x, octaves=(4, 10), interval=kind, n_replicates=simulations, rng=rng, n_jobs=1)
        row += [found.interval[0] <= 0.5 + D <= found.interval[1], found.interval[1] - found.interval[0]]
    return [*row, found.hurst]


def diagram(scale, jobs):
    from ailys.selfsimilarity.embedding import circulant_embedding

    n, table = 2**15, []
    for law, (shape, matched) in LAWS.items():
        correlation = partial(gaussian_correlation, shape) if matched else np.asarray
        embedding = circulant_embedding(lambda k, c=correlation: c(farima_correlation(k))[:, None, None], n)
        runs = max(4, int((120 if matched or shape is None else 40) * scale))
        rows = np.array(
            replicate(partial(one_diagram, shape=shape, n=n, simulations=60), runs, embedding, rng=3, n_jobs=jobs)
        )
        mean = rows.mean(axis=0)
        table.append(
            {"law of the noise": law, "runs": runs, "mean estimate": f"{mean[6]:.3f}", "its spread": f"{rows[:, 6].std(ddof=1):.3f}"}
            | {f"{kind}: coverage (width)": f"{mean[2 * i]:.2f} ({mean[2 * i + 1]:.3f})" for i, kind in enumerate(("formula", "bootstrap", "parametric"))}
        )  # fmt: skip
        print(table[-1], flush=True)
    return table


def one_motion(rng, H, octaves):
    x = fractional_brownian_motion(H, 2**13, rng=rng)
    found = [estimate_hurst(x, octaves=octaves, n_bootstrap=R, rng=rng) for R in (0, 200)]
    return [found[0].hurst[0], *(f.interval[0, 0] <= H <= f.interval[0, 1] for f in found), found[0].standard_error[0]]


def one_noise(rng, H, n):
    found = log_scale_diagram(fractional_brownian_motion(H, n, increments=True, rng=rng), interval="gaussian")
    return [found.hurst, found.interval[0] <= H <= found.interval[1], np.nan, found.alpha_sd / 2]


def single(scale, jobs):
    """One channel without any mixing: fine octaves, and octaves chosen by looking."""
    table, runs = [], max(4, int(500 * scale))
    cases = [("motion", H, 2**13, octaves) for H in (0.2, 0.5, 0.9) for octaves in ((3, 8), (4, 8), (5, 8))]
    cases += [("noise", H, n, None) for n in (2**10, 2**13, 2**15) for H in (0.55, 0.7, 0.85)]
    for process, H, n, octaves in cases:
        work = partial(one_motion, octaves=octaves) if process == "motion" else partial(one_noise, n=n)
        rows = np.array(replicate(work, runs, H, rng=len(table), n_jobs=jobs))
        mean = rows.mean(axis=0)
        table.append(
            {"signal": f"fractional Gaussian {process}" if process == "noise" else "fractional Brownian motion", "H": str(H), "n": f"2^{int(np.log2(n))}",
             "octaves": str(octaves) if octaves else "chosen by `choose_octaves`", "runs": runs, "bias": f"{mean[0] - H:+.3f}", "error of the formula / true spread": f"{mean[3] / rows[:, 0].std(ddof=1):.2f}",
             "coverage of the formula": f"{mean[1]:.2f}", "of the bootstrap": "-" if np.isnan(mean[2]) else f"{mean[2]:.2f}"}
        )  # fmt: skip
        print(table[-1], flush=True)
    return table


def one_correction(rng, model, mixing, octaves):
    x = MIXINGS[mixing](rng, model.n_channels) @ model.sample(2**14, rng=rng)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = estimate_hurst(x, octaves=octaves)
        return found.hurst, mixing_correction(found, rng=rng).hurst


def correction(scale, jobs):
    table = []
    cases = {
        ".8 x 6": ([0.8] * 6, 0.5),
        ".6 x 3, .8 x 3": ([0.6] * 3 + [0.8] * 3, 0.5),
        ".4, .5, ..., .9": ([0.4, 0.5, 0.6, 0.7, 0.8, 0.9], 0.3),
    }
    for name, (H, rho) in cases.items():
        model = OperatorFractionalBrownianMotion(H, rho)
        for mixing in MIXINGS:
            for octaves in ((6, 9), (3, 8)):
                work = partial(one_correction, mixing=mixing, octaves=octaves)
                drawn = np.array(replicate(work, max(4, int(40 * scale)), model, rng=5, n_jobs=jobs))
                error = np.sqrt(np.mean((drawn - np.array(H)) ** 2, axis=(0, 2)))
                bias = np.abs(drawn.mean(axis=0) - np.array(H)).max(axis=1)
                table.append(
                    {"exponents (n = 2^14)": name, "mixing": mixing, "octaves": str(octaves), "runs": len(drawn), "error as it is": f"{error[0]:.3f}",
                     "error with the simulated bias subtracted": f"{error[1]:.3f}", "largest bias as it is": f"{bias[0]:.3f}",
                     "largest bias, subtracted": f"{bias[1]:.3f}"}
                )  # fmt: skip
                print(table[-1], flush=True)
    return table


WORK = {
    "bias": bias,
    "reference": reference,
    "coverage": coverage,
    "tests": tests,
    "modes": modes,
    "diagram": diagram,
    "single": single,
    "correction": correction,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tables", nargs="*", choices=list(WORK), default=list(WORK))
    parser.add_argument("--scale", type=float, default=1.0, help="fraction of the runs")
    parser.add_argument("--jobs", type=int, default=1)
    options = parser.parse_args()
    for name in options.tables or list(WORK):
        start = time.perf_counter()
        table = WORK[name](options.scale, options.jobs)
        if options.scale >= 1:
            text = json.dumps({"table": table}, indent=1)
            (HERE / f"selfsimilarity-{name}.json").write_text(text + "\n", "utf-8")
        print(f"{name}: {time.perf_counter() - start:.0f} s", flush=True)


if __name__ == "__main__":
    main()
