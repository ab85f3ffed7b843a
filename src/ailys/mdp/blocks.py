"""The passes over an endless discounted process, on blocks of states: a thread for each block.

Every state is computed from the values before the pass, whoever computes it, and minima and maxima do not depend on their
order: the numbers are the same to the bit for any number of threads.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

from . import _planning_kernels as kernels
from .model import TabularMDP

__all__ = ["Blocks"]


class _Block:
    """States ``low .. high - 1``, and the rows of their actions of the policy, each in a place where the longest one fits."""

    def __init__(self, mdp: TabularMDP, low: int, high: int) -> None:
        A = mdp.n_actions
        self.low, self.high = low, high
        counts = np.diff(mdp.indptr[low * A : high * A + 1])
        longest = counts[::A].copy()
        for action in range(1, A):
            np.maximum(longest, counts[action::A], out=longest)
        ends = np.cumsum(longest)
        begin, length, gain = ends - longest, np.zeros(high - low, np.int32), np.empty(high - low)
        states, mass = np.empty(ends[-1], mdp.next_state.dtype), np.empty(ends[-1])
        self.laid = begin, length, states, mass, gain


class Blocks:
    """A model cut into blocks of about equally many outcomes.

    Parameters
    ----------
    mdp : endless, discounted
    reward : (S * A,) expected reward of each row
    n_jobs : threads, as in joblib
    """

    def __init__(self, mdp: TabularMDP, reward: np.ndarray, n_jobs: int) -> None:
        S, A = mdp.n_states, mdp.n_actions
        threads = 1
        if n_jobs != 1:
            from joblib import effective_n_jobs

            threads = min(effective_n_jobs(n_jobs), S)
        shares = np.arange(1, threads) * mdp.n_outcomes / threads
        cuts = np.unique([0, *np.searchsorted(mdp.indptr[::A], shares).tolist(), S])
        self.mdp, self.reward = mdp, reward
        self.factor = np.full(len(reward), mdp.discount)
        self.parts = [_Block(mdp, int(low), int(high)) for low, high in pairwise(cuts)]
        self._pool = ThreadPoolExecutor(len(self.parts)) if len(self.parts) > 1 else None

    def __enter__(self) -> Blocks:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown()

    def _run(self, work: Callable[[_Block], Any]) -> list[Any]:
        return [work(part) for part in self.parts] if self._pool is None else list(self._pool.map(work, self.parts))

    def backup(
        self, value: np.ndarray, after: np.ndarray, policy: np.ndarray, tie: float, relative: float, keep: bool
    ) -> tuple[float, float, float]:
        """``after = T value`` and the policy that is greedy for ``value``, ties kept as they are where ``keep`` is true.

        Returns the smallest and the largest change, and the largest modulus of ``after``.
        """
        mdp, A = self.mdp, self.mdp.n_actions

        def work(part: _Block) -> tuple[float, float, float]:
            here = slice(part.low, part.high)
            return kernels.backup_and_lay(  # type: ignore[no-any-return]
                mdp.indptr, mdp.next_state, mdp.prob, self.reward, self.factor, A, part.low, value, after[here], policy[here],
                tie, relative, keep, *part.laid,
            )  # fmt: skip

        least, most, size = zip(*self._run(work), strict=True)
        return min(least), max(most), max(size)

    def sweep(self, value: np.ndarray, after: np.ndarray, most: int, enough: float) -> tuple[np.ndarray, np.ndarray]:
        """At most ``most`` times ``T_policy`` for the policy of the last backup; the values, and a buffer.

        Ends when the changes are equal in all states up to ``enough``. Plain (Jacobi) sweeps carry constants over, so the
        midpoint of MacQueen's bounds can be added; Gauss-Seidel sweeps do not, and lose more by that than they gain
        where states mix well.
        """
        if self._pool is None:  # no way through Python between two sweeps
            (part,) = self.parts
            count = kernels.sweeps(*part.laid, self.mdp.discount, value, after, most, enough)
            return (value, after) if count % 2 == 0 else (after, value)
        for _ in range(most):
            low, high = zip(*self._run(partial(self._swept, value, after)), strict=True)
            value, after = after, value
            if max(high) - min(low) <= enough:
                break
        return value, after

    def _swept(self, value: np.ndarray, after: np.ndarray, part: _Block) -> tuple[float, float]:
        return kernels.sweep(*part.laid, self.mdp.discount, value, part.low, after[part.low : part.high])  # type: ignore[no-any-return]
