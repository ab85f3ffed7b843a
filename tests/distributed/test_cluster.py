"""The same calls on a cluster of two workers, each a process of its own: the same numbers, whatever happens to a worker."""

import os
import signal
import threading
import time

import joblib
import numpy as np
import pytest

from ailys.core.parallel import replicate

from .workloads import READY

distributed = pytest.importorskip("distributed", reason="the extra 'distributed' is not installed")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def client():
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


def workers(client):
    """Process ids of the workers."""
    return client.run(os.getpid)


@pytest.mark.parametrize("work", READY, ids=lambda work: work.__name__)
def test_a_cluster_gives_the_numbers_of_one_machine(client, work):
    here = work(1)
    with joblib.parallel_config("dask", client=client):
        there = work(None)
    for one, other in zip(here, there, strict=True):
        assert np.array_equal(one, other)


def slow_mean(rng, folder):
    """A replicate that says where it ran, and takes a while."""
    with open(os.path.join(folder, f"{os.getpid()}"), "a") as seen:
        seen.write(".")
    time.sleep(0.05)
    return float(rng.standard_normal(1000).mean())


def test_the_work_is_done_by_both_workers_and_not_here(client, tmp_path):
    with joblib.parallel_config("dask", client=client):
        there = replicate(slow_mean, 24, str(tmp_path), rng=0)
    assert {int(name) for name in os.listdir(tmp_path)} == set(workers(client).values())
    assert there == replicate(slow_mean, 24, str(tmp_path), rng=0, n_jobs=1)


def test_a_worker_killed_in_the_middle_loses_nothing(client, tmp_path):
    victim = next(iter(workers(client).values()))

    def kill():
        while not (tmp_path / f"{victim}").exists():  # it has begun
            time.sleep(0.01)
        time.sleep(0.2)
        os.kill(victim, signal.SIGKILL)

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    with joblib.parallel_config("dask", client=client):
        there = replicate(slow_mean, 40, str(tmp_path), rng=1)
    killer.join(timeout=10)
    assert not killer.is_alive()
    assert victim not in workers(client).values()
    assert there == replicate(slow_mean, 40, str(tmp_path), rng=1, n_jobs=1)


@pytest.mark.parametrize("work", READY, ids=lambda work: work.__name__)
def test_the_work_survives_a_killed_worker(client, work):
    here = work(1)
    client.wait_for_workers(2, timeout=60)
    victim = next(iter(workers(client).values()))
    killer = threading.Timer(0.05, os.kill, (victim, signal.SIGKILL))
    killer.start()
    with joblib.parallel_config("dask", client=client):
        there = work(None)
    killer.join()
    for one, other in zip(here, there, strict=True):
        assert np.array_equal(one, other)
