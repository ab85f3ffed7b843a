"""Replicates: the same numbers for any number of workers, here or on a cluster."""

import joblib
import numpy as np
import pytest

from ailys.core.parallel import replicate
from ailys.core.randomness import as_generator, spawn


def mean_of(rng, size):
    return float(rng.standard_normal(size).mean())


def test_the_result_does_not_depend_on_the_number_of_workers():
    alone = replicate(mean_of, 8, 100, rng=5, n_jobs=1)
    assert replicate(mean_of, 8, 100, rng=5, n_jobs=2) == alone
    assert len(set(alone)) == 8


def test_dask_takes_the_same_call():
    distributed = pytest.importorskip("distributed", reason="the extra 'distributed' is not installed")
    with (
        distributed.LocalCluster(n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None) as cluster,
        distributed.Client(cluster),
        joblib.parallel_config("dask"),
    ):
        assert replicate(mean_of, 6, 50, rng=5) == replicate(mean_of, 6, 50, rng=5, n_jobs=1)


def test_streams_are_those_of_the_generator_whoever_asks():
    one, two = spawn(7, 3), spawn(np.random.default_rng(7), 3)
    assert [g.integers(10**9) for g in one] == [g.integers(10**9) for g in two]


@pytest.mark.parametrize("wrong", [-1, 1.5, "seed", True])
def test_a_seed_that_is_none_is_refused(wrong):
    with pytest.raises(ValueError, match="Generator, a whole number"):
        as_generator(wrong)
