"""Rounding of many columns, and of many rank-one matrices, at once: what the chain methods are made of.

A `Rounder` knows a format. ``columns`` gives each column its own best scaling and says what that leaves for the
next factor; ``pairs`` treats each matrix ``col row^T`` by the best pair of vectors.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ._codebook_kernels import codebook_columns, codebook_pairs
from ._complex_kernels import complex_columns, complex_pairs
from ._sweep_kernels import FINE, sweep_columns, sweep_pairs
from .formats import Codebook, FloatFormat, Format
from .scaling import MAX_BREAKPOINTS, OCTAVES, best_scaling

__all__ = ["Rounder"]

Array = np.ndarray
_LONG = 3e4  # steps times entries of a column beyond which the search by slabs is faster
_FEW = 1 << 14  # columns below which a second thread does not pay
_BUDGET = 1 << 18  # complex candidates for one column; beyond, evenly spaced ones
_SCALES = 13  # scales of a grid that are compared, a quarter of an octave apart


@dataclass(frozen=True)
class Rounder:
    """Rounding to one format on real or complex columns, on ``n_jobs`` threads."""

    fmt: Format
    is_complex: bool
    n_jobs: int | None = None

    @property
    def grid(self) -> Array | None:
        """The values of a codebook or an integer grid; None for floats, whose range is settled at the end."""
        return self.fmt.levels if isinstance(self.fmt, Codebook) else None

    @property
    def t(self) -> int:
        """Significant bits of a float format."""
        assert isinstance(self.fmt, FloatFormat)
        return self.fmt.t

    @property
    def _stride(self) -> int:
        return max(1, int((OCTAVES + 1) * 2.0 ** (2 * self.t - 1) // _BUDGET)) | 1

    def _by_slabs(self, length: int) -> bool:
        return length > 4 and length**2 * 2.0 ** (min(self.t, FINE) - 1) > _LONG

    def entrywise(self, x: Array) -> tuple[Array, float]:
        """Plain rounding; grids are scaled such that the largest entry meets the largest value."""
        if self.grid is not None:
            scale = float(np.abs(x).max() / np.abs(self.grid).max())
            if scale == 0.0:  # a grid without zero gives the zero matrix by its scale
                return self.fmt.nearest(x), float(0.0 in self.grid)
            return self.fmt.nearest(x / scale), scale
        if x.dtype.kind == "c":
            return self.fmt.nearest(x.real) + 1j * self.fmt.nearest(x.imag), 1.0
        return self.fmt.nearest(x), 1.0

    def columns(self, cols: Array, weights: Array) -> tuple[Array, Array, Array]:
        """Rounded columns (n, b), factors ``mu`` of the rows of the next factor, energies ``sum_b w hat^2``."""
        hats, mus, energies = np.zeros_like(cols), np.zeros(len(cols), cols.dtype), np.zeros(len(cols))
        if self.grid is not None:
            both = not np.array_equal(self.grid, -self.grid[::-1])
            self._run(codebook_columns, (cols, weights), (self.grid, both), (hats, mus, energies))
        elif self.is_complex:
            self._run(complex_columns, (cols, weights), (self.t, OCTAVES, self._stride), (hats, mus, energies))
        elif not self._by_slabs(cols.shape[1]):
            self._run(sweep_columns, (cols, weights), (self.t,), (hats, mus, energies))
        else:
            nothing = np.empty(0)
            for i in np.flatnonzero(cols.any(axis=1)):
                one = _long(cols[i], nothing, weights[i], nothing, self.t, 0)
                hats[i], mus[i] = one.x_hat, one.mu
                energies[i] = weights[i] @ one.x_hat**2
        if self.grid is None:  # the largest entry of each column in [1, 2): small exponents
            peak = np.maximum(np.abs(hats.real), np.abs(hats.imag)).max(axis=1)
            power = np.ldexp(1.0, 1 - np.frexp(peak)[1])
            power[peak == 0] = 1.0
            hats, mus, energies = hats * power[:, None], mus / power, energies * power**2
        return hats, mus, energies

    def pairs(self, cols: Array, weights: Array, rows: Array, other: Rounder) -> tuple[Array, Array, float]:
        """Rounded columns (n, b) and rows (n, c), and the scale of their products."""
        if (self.grid is None) != (other.grid is None):
            hats, mus, _ = self.columns(cols, weights)
            row_hats, scale = other.entrywise(mus[:, None] * rows)
            return hats, row_hats, scale
        if self.grid is not None:
            return self._grid_pairs(cols, weights, rows, other)
        hats, row_hats = np.zeros_like(cols), np.zeros_like(rows)
        if self.is_complex:
            stride = max(self._stride, other._stride)
            self._run(complex_pairs, (cols, weights, rows), (self.t, other.t, OCTAVES, stride), (hats, row_hats))
        elif not self._by_slabs(cols.shape[1]):
            self._run(sweep_pairs, (cols, weights, rows), (self.t, other.t), (hats, row_hats))
        else:
            ones = np.ones(rows.shape[1])
            for i in np.flatnonzero(cols.any(axis=1) & rows.any(axis=1)):
                one = _long(cols[i], rows[i], weights[i], ones, self.t, other.t)
                hats[i], row_hats[i] = one.x_hat, one.y_hat
        return hats, row_hats, 1.0

    def _grid_pairs(self, cols: Array, weights: Array, rows: Array, other: Rounder) -> tuple[Array, Array, float]:
        """Grids have a largest value: the scale of the products is searched."""
        grid, row_grid = self.grid, other.grid
        assert grid is not None
        assert row_grid is not None
        both = not (np.array_equal(grid, -grid[::-1]) and np.array_equal(row_grid, -row_grid[::-1]))
        _, mus, _ = self.columns(cols, weights)
        largest = float(np.abs(mus[:, None] * rows).max() / np.abs(row_grid).max()) or 1.0
        best: tuple[float, Array, Array, float] | None = None
        for quarter in range(_SCALES):
            scale = largest * 2.0 ** (-quarter / 4)
            hats, row_hats = np.zeros_like(cols), np.zeros_like(rows)
            self._run(codebook_pairs, (cols, weights, rows / scale), (grid, row_grid, both), (hats, row_hats))
            gap = cols[:, :, None] * rows[:, None, :] - scale * hats[:, :, None] * row_hats[:, None, :]
            loss = float(np.sum(weights[:, :, None] * gap**2))
            if best is None or loss < best[0]:
                best = loss, hats, row_hats, scale
        assert best is not None
        return best[1:]

    def _run(
        self, kernel: Callable[..., Any], inputs: tuple[Array, ...], extra: tuple[Any, ...], outputs: tuple[Array, ...]
    ) -> None:
        """The kernel on slices of the columns, on threads."""
        n = len(inputs[0])
        from joblib import Parallel, delayed, effective_n_jobs

        workers = effective_n_jobs(self.n_jobs)
        if workers == 1 or (n < _FEW and not self.is_complex):
            kernel(*inputs, *extra, *outputs)
            return
        ends = np.linspace(0, n, 4 * workers + 1).astype(int)
        slices = [slice(i, j) for i, j in itertools.pairwise(ends) if j > i]
        Parallel(n_jobs=workers, prefer="threads")(
            delayed(kernel)(*(x[s] for x in inputs), *extra, *(x[s] for x in outputs)) for s in slices
        )


def _long(x: Array, y: Array, wx: Array, wy: Array, t: int, ty: int) -> Any:
    """Long vectors by slabs; too many bits for that: evenly spaced scalings."""
    method = "exact" if (x.size + y.size) * 2.0 ** (max(t, ty) - 1) <= MAX_BREAKPOINTS and t <= FINE else "sampled"
    shift = 2.0 ** -np.frexp(np.abs(x).max())[1]
    found = best_scaling(x * shift, y, wx, wy, t, ty, method, MAX_BREAKPOINTS)
    return found._replace(x_hat=found.x_hat / shift)
