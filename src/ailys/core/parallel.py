"""Independent replicates on several workers, with the same result for any number of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import numpy as np

from .randomness import Seed, spawn

__all__ = ["replicate"]

T = TypeVar("T")


def replicate(
    function: Callable[..., T], n: int, *args: Any, rng: Seed = None, n_jobs: int | None = None, **kwargs: Any
) -> list[T]:
    """``[function(generator_i, *args, **kwargs) for i in range(n)]`` on joblib's workers.

    Parameters
    ----------
    function : called with its own generator first; picklable when ``n_jobs`` is not 1
    n : number of replicates
    rng : generator or seed: each replicate gets its own stream spawned from it, so the results
        depend neither on the number of workers nor on their order
    n_jobs : workers, as in joblib; None takes the surrounding ``joblib.parallel_config``, which also
        moves the work to a cluster (``joblib.parallel_config("dask")``)

    Examples
    --------
    >>> replicate(lambda rng: int(rng.integers(10)), 3, rng=0) == replicate(lambda rng: int(rng.integers(10)), 3, rng=0)
    True
    """
    return list(_results(function, n, args, kwargs, rng, n_jobs))


def _results(
    function: Callable[..., T], n: int, args: tuple[Any, ...], kwargs: dict[str, Any], rng: Seed, n_jobs: int | None
) -> Iterator[T]:
    from joblib import Parallel, delayed

    if n_jobs is not None and n_jobs > n:
        n_jobs = max(n, 1)  # more workers than work would only be started
    streams: list[np.random.Generator] = spawn(rng, n)
    yield from Parallel(n_jobs=n_jobs)(delayed(function)(stream, *args, **kwargs) for stream in streams)
