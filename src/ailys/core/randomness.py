"""Randomness: one generator in, independent streams out."""

from __future__ import annotations

import numpy as np

__all__ = ["Seed", "as_generator", "spawn"]

Seed = np.random.Generator | int | None


def as_generator(rng: Seed) -> np.random.Generator:
    """The generator given, one seeded by an integer, or a fresh one.

    Examples
    --------
    >>> int(as_generator(7).integers(100)) == int(as_generator(7).integers(100))
    True
    """
    if isinstance(rng, np.random.Generator):
        return rng
    if rng is None or (isinstance(rng, (int, np.integer)) and not isinstance(rng, bool) and rng >= 0):
        return np.random.default_rng(rng)
    raise ValueError(f"rng must be a numpy Generator, a whole number >= 0 or None; got {rng!r}")


def spawn(rng: Seed, n: int) -> list[np.random.Generator]:
    """``n`` independent generators; the same ones whoever uses them, in whatever order."""
    return list(as_generator(rng).spawn(n))
