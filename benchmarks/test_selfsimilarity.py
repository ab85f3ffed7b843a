"""Wavelet transforms, exponents, bootstraps and syntheses; against PyWavelets and pymultifracs, in one run.

Within a group all contestants treat the same signal; the first one is ours. A copy of the signal is the floor of a transform.
pymultifracs estimates each channel alone; ours does that and the eigenvalues in the same call. Install the peers with the
``bench`` extra.
"""

import time

import numpy as np
import pytest
import pywt

from ailys.selfsimilarity import (
    OperatorFractionalBrownianMotion,
    estimate_hurst,
    fractional_brownian_motion,
    wavelet_coefficients,
)

CPU = pytest.mark.benchmark(timer=time.process_time, warmup=False)
SHAPES = {"6 x 2^16": (6, 2**16), "6 x 2^20": (6, 2**20), "64 x 2^16": (64, 2**16)}
SIGNALS = {}


def signal(shape):
    if shape not in SIGNALS:
        SIGNALS.clear()
        SIGNALS[shape] = np.cumsum(np.random.default_rng(0).standard_normal(SHAPES[shape]), axis=1)
    return SIGNALS[shape]


def with_pywt(x):
    wavelet, a, details = pywt.Wavelet("db2"), x, []
    while x.shape[1] >= 7 * 2 ** (len(details) + 1):
        m = (a.shape[1] - 4) // 2 + 1
        low, high = pywt.dwt(a, wavelet, mode="zero", axis=-1)
        a = low[:, 1 : 1 + m]
        details.append(high[:, 1 : 1 + m])
    return details


def with_pymultifracs(x):
    mf = pytest.importorskip("pymultifracs")
    return mf.wavelet_analysis(x.T, wt_name="db2")


def exponents_with_pymultifracs(x):
    mf = pytest.importorskip("pymultifracs")
    transform = mf.wavelet_analysis(x.T, wt_name="db2")
    return np.squeeze(np.asarray(mf.mfa(transform, [(5, 10)], weighted="Nj", q=[2], estimates="s").structure.slope)) / 2


TRANSFORMS = {
    "ailys": wavelet_coefficients,
    "PyWavelets": with_pywt,
    "pymultifracs": with_pymultifracs,
    "NumPy copy": np.copy,
}


@CPU
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("contestant", TRANSFORMS)
def test_transform(benchmark, shape, contestant):
    # the copy is no peer: it is the floor
    benchmark.group = f"{'a copy of the signal, the floor' if contestant == 'NumPy copy' else 'transform'}: {shape}"
    x = signal(shape)
    benchmark.pedantic(TRANSFORMS[contestant], (x,), rounds=5, warmup_rounds=1)


ESTIMATES = {
    "ailys": lambda x: estimate_hurst(x, octaves=(5, 9 if len(x) > 20 else 10)),
    "pymultifracs": exponents_with_pymultifracs,
}


@CPU
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("contestant", ESTIMATES)
def test_estimate(benchmark, shape, contestant):
    benchmark.group = f"exponents: {shape}"
    x = signal(shape)
    found = benchmark.pedantic(ESTIMATES[contestant], (x,), rounds=5, iterations=3, warmup_rounds=1)
    if contestant == "pymultifracs" and len(x) < 20:
        assert np.abs(found - estimate_hurst(x, octaves=(5, 10), method="univariate").hurst).max() < 1e-8


@CPU
@pytest.mark.parametrize(("shape", "contestant"), [("6 x 2^16", "ailys"), ("6 x 2^20", "ailys")])
def test_bootstrap(benchmark, shape, contestant):
    benchmark.group = f"500 bootstrap replicates, octaves 5 to 10: {shape}"
    x = signal(shape)
    benchmark.pedantic(lambda: estimate_hurst(x, octaves=(5, 10), n_bootstrap=500, rng=0), rounds=3, warmup_rounds=1)


@CPU
@pytest.mark.parametrize(
    ("case", "contestant"), [("6 x 2^16, again", "ailys"), ("6 x 2^16, first", "ailys"), ("one channel, 2^20", "ailys")]
)
def test_synthesis(benchmark, case, contestant):
    benchmark.group = f"synthesis: {case}"
    model = OperatorFractionalBrownianMotion([0.4, 0.5, 0.6, 0.7, 0.8, 0.9], 0.3)
    work = {
        "6 x 2^16, again": lambda: model.sample(2**16, rng=0),
        "6 x 2^16, first": lambda: OperatorFractionalBrownianMotion(model.hurst, model.sigma).sample(2**16, rng=0),
        "one channel, 2^20": lambda: fractional_brownian_motion(0.7, 2**20, rng=0),
    }[case]
    benchmark.pedantic(work, rounds=3, warmup_rounds=1)
