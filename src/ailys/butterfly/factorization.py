"""The answer of `butterfly`: factors, exact error, lower bound of the best error, guarantee."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.answer import Answer
from ..core.guarantee import Guarantee
from ._kernels import fingerprint
from .architecture import Chain
from .certificate import split_errors_of_stack
from .truncation import dense_of, product_array

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from .operator import ButterflyOperator
    from .weights import Weights

__all__ = ["ButterflyFactorization"]

_UNITS = 64  # an error below this many units of rounding of the norm is called exact


@lru_cache
def _unit_of_rounding(dtype: np.dtype) -> float:
    """Spacing of numbers at one in the type that the computation ran in."""
    return float(np.finfo(np.float64 if dtype in (np.float64, np.complex128) else np.float32).eps)


@dataclass(frozen=True)
class Target:
    """The matrix that was factorized, kept for the lower bound and for refinement.

    ``matrix`` is weighted, permuted, padded and divided by ``scale * weights.scale``; ``plain`` is only
    padded and divided by ``scale``. It may be the user's own array: when that has changed by the time the
    lower bound is asked for, an error is raised instead of a wrong certificate.
    """

    matrix: np.ndarray
    plain: np.ndarray
    weights: Weights
    columns: np.ndarray | None
    digest: tuple[int, ...]
    scale: float = 1.0

    @classmethod
    def watch(cls, matrix: np.ndarray, plain: np.ndarray, weights: Weights, columns: np.ndarray | None) -> Target:
        return cls(matrix, plain, weights, columns, _digests(matrix, plain))

    @property
    def error_scale(self) -> float:
        """What errors of ``matrix`` are multiplied by to be those of the user's matrix."""
        return self.scale * self.weights.scale

    def check(self) -> None:
        if _digests(self.matrix, self.plain) != self.digest:
            raise RuntimeError(
                "the matrix was changed after it was factorized, so the lower bound cannot be computed any more; "
                "ask for split_errors before changing it"
            )


def _digests(*matrices: np.ndarray) -> tuple[int, ...]:
    """A checksum of each distinct matrix."""
    distinct = {m.__array_interface__["data"][0]: m for m in matrices}
    return tuple(_digest(m) for m in distinct.values())


def _digest(matrix: np.ndarray) -> int:
    flat = matrix.ravel(order="K")
    words = flat.view(np.uint64 if flat.nbytes % 8 == 0 else np.uint32)
    return int(fingerprint(words))


@dataclass(frozen=True, eq=False, repr=False)
class ButterflyFactorization(Answer):
    """A matrix as a product of Kronecker-sparse factors, ``A[:, perm] ~ X_1 X_2 ... X_L``.

    Attributes
    ----------
    factors : tuple of (a, b, c, d) arrays
    chain : their patterns
    shape : shape of the matrix (smaller than ``chain.shape`` when it was padded)
    perm : the column permutation, or None
    order : how the product was taken apart
    centre : position of the factor that holds the scale; the factors on each side of it are
        orthonormal in every class
    error : Frobenius norm of the residual, in the weighted norm if ``weighted``
    norm : norm of the matrix, in the same norm
    step_errors : (L' - 1,) what each split of the reduced chain lost; for the orders "left" and "right"
        their squares (and that of ``outside``) add up to ``error ** 2``
    outside : norm of the part of the matrix off the support of the class
    """

    factors: tuple[np.ndarray, ...]
    chain: Chain
    shape: tuple[int, int]
    perm: np.ndarray | None
    order: str
    centre: int
    error: float
    norm: float
    step_errors: np.ndarray
    outside: float = 0.0
    weighted: bool = False
    sweeps: int = 0
    notes: tuple[str, ...] = ()
    _splits: np.ndarray | None = field(default=None, repr=False)
    _unweighted: float | None = field(default=None, repr=False)
    _target: Target | None = field(default=None, repr=False)

    # -- the error and its certificate -----------------------------------------------------------

    @property
    def relative_error(self) -> float:
        """``error / norm``, and 0 for the zero matrix."""
        return self.error / self.norm if self.norm > 0 else 0.0

    @property
    def scale_side(self) -> str:
        """Which end factor holds the scale, "left" or "right", or "inner"."""
        return {len(self.factors) - 1: "right", 0: "left"}.get(self.centre, "inner")

    @cached_property
    def split_errors(self) -> np.ndarray:
        """Distances ``E_l(A)`` to the two-factor class of each split (L - 1,): computed when asked for."""
        if self._splits is not None:
            return self._splits
        target = self._kept("the split errors cannot be computed")
        return np.asarray(target.error_scale * split_errors_of_stack(target.matrix[None], self.chain)[0])

    def _kept(self, otherwise: str) -> Target:
        if self._target is None:
            raise RuntimeError(f"the matrix was not kept, so {otherwise}")
        self._target.check()
        return self._target

    @property
    def _rounding(self) -> float:
        """What rounding may add to an error: 64 units of the last place (at most single precision's) of the norm."""
        return _UNITS * _unit_of_rounding(self.factors[0].dtype) * self.norm

    @property
    def lower_bound(self) -> float:
        """``max_l E_l(A)``: no matrix of the class is closer than this (up to rounding)."""
        top = float(self.split_errors.max()) if len(self.chain) > 1 else self.outside
        # rounding adds up over thousands of blocks: what is far above it can only be a fault
        if top > self.error * (1 + 1e-6) + 256 * self._rounding:
            raise RuntimeError(
                f"the lower bound {top:.6g} is above the error {self.error:.6g}: a fault in ailys, please report it"
            )
        return min(top, self.error)

    @property
    def ratio(self) -> float:
        """``error / lower_bound``: 1 means proved optimal."""
        if self.exact or self.error == 0:
            return 1.0
        return self.error / self.lower_bound if self.lower_bound > 0 else np.inf

    @property
    def exact(self) -> bool:
        """Whether the matrix is in the class, up to rounding (error below 64 eps times the norm)."""
        return self.error <= self._rounding

    @property
    def optimal(self) -> bool:
        """Whether no matrix of the class is closer: the error meets the lower bound (up to rounding).

        Always so for chains that reduce to one or two factors, unless the factors were rounded.
        """
        return self.error <= self.lower_bound * (1 + 1e-6) + self._rounding

    @property
    def _depth(self) -> int:
        chain = self.chain if self.chain.chainable else self.chain.T
        return len(chain.reduce()[0])

    @property
    def a_priori_bound(self) -> float:
        """``sqrt(sum_l E_l(A)^2)``, which the error of a run from one end cannot exceed."""
        if len(self.chain) == 1:
            return self.outside
        return float(np.sqrt(np.sum(np.square(self.split_errors))))

    @cached_property
    def unweighted_error(self) -> float:
        """Plain Frobenius norm of the residual (differs from ``error`` when weights were given)."""
        if not self.weighted:
            return self.error
        if self._unweighted is not None:
            return self._unweighted
        target = self._kept("the unweighted error cannot be computed")
        rows, cols = self.shape
        return target.scale * norm_of(target.plain[:rows, :cols] - self._dense(np.float64) / target.scale)

    @property
    def guarantee(self) -> Guarantee:
        """How far from the best possible error this one can be."""
        norm = "weighted Frobenius norm" if self.weighted else "Frobenius norm"
        values = {"error": self.error, "norm": self.norm, "n_params": float(self.n_params)}
        source = "Le, Zheng, Riccietti, Gribonval 2025; docs, butterfly, section 'What is guaranteed'"
        unit = _unit_of_rounding(self.factors[0].dtype)
        assumptions = (f"exact arithmetic: rounding adds about {unit:.1e} times the norm",)
        if self.exact:
            text = (
                f"the factors give back the matrix: relative error {self.relative_error:.1e}, at the level of rounding"
            )
            return Guarantee("exact", text, 0.0, values, assumptions, source)
        if self.optimal:
            text = f"no matrix of the class is closer: error {self.error:.4g} in {norm} is the smallest possible"
            return Guarantee("optimal", text, 1.0, values, assumptions, source)
        values |= {"lower_bound": self.lower_bound, "ratio": self.ratio}
        if self.error > self.a_priori_bound * (1 + 1e-6) + self._rounding or self._depth == 1:
            # the factors were rounded to a narrow type, or come from another order of splits
            text = f"the smallest possible error, in {norm}, is at least {self.lower_bound:.4g} and at most {self.error:.4g}"
            level = self.ratio if np.isfinite(self.ratio) else None
            return Guarantee("error-bound", text, level, values, assumptions, source)
        text = (
            f"the error, {self.error:.4g} in {norm}, is at most {self.ratio:.4g} times the smallest possible: "
            f"no matrix of the class is closer than {self.lower_bound:.4g}"
        )
        if self.order not in ("left", "right"):
            return Guarantee("error-bound", text, self.ratio, values, assumptions, source)
        level = float(np.sqrt(self._depth - 1))
        text += f" (and for every matrix at most sqrt(L-1) = {level:.3g} times)"
        return Guarantee("error-bound", text, level, values, assumptions, source)

    # -- what it is used for ---------------------------------------------------------------------

    @property
    def n_params(self) -> int:
        """Number of stored entries."""
        return self.chain.n_params

    def toarray(self) -> np.ndarray:
        """The dense (M, N) approximation, in the type of the factors."""
        return self._dense().astype(self.factors[0].dtype, copy=False)

    def _dense(self, least: type = np.float32) -> np.ndarray:
        """The dense approximation, computed in single precision at least, or in double."""
        factors = [x.astype(np.result_type(x.dtype, least), copy=False) for x in self.factors]
        dense = dense_of(product_array(factors, self.chain))
        if self.perm is not None:
            columns = np.empty_like(dense)
            columns[:, self.perm] = dense
            dense = columns
        return np.ascontiguousarray(dense[: self.shape[0], : self.shape[1]])

    def operator(self, plan: str = "auto") -> ButterflyOperator:
        """Fast products with the approximation, as a SciPy ``LinearOperator``.

        Raises
        ------
        ValueError
            An unknown plan, or "fused" for a chain whose blocks are not 2 x 2.
        """
        from .operator import ButterflyOperator

        return ButterflyOperator(self.factors, self.chain, perm=self.perm, shape=self.shape, plan=plan)

    def refine(self, A: np.ndarray, sweeps: int = 1) -> ButterflyFactorization:
        """Alternating optimisation: each sweep solves for every pair of neighbours; the error never grows.

        ``A`` is the matrix that was factorized. Returns a new answer.

        Parameters
        ----------
        A : (M, N) array
            the matrix that was factorized
        sweeps : int

        Raises
        ------
        ValueError
            Another matrix, a negative number of sweeps, or a weighted answer read from a file, which holds no weights.
        """
        from .refine import refine_answer

        return refine_answer(self, A, sweeps)

    # -- in and out ------------------------------------------------------------------------------

    def save(self, path: str | Path) -> Path:
        """Write factors, chain, permutation and certificate to a safetensors file.

        Raises
        ------
        OSError
            The path cannot be written; a file that is there stays as it was.
        """
        from .storage import save

        return save(self, Path(path))

    @staticmethod
    def load(path: str | Path) -> ButterflyFactorization:
        """Read a file written by `save`.

        Raises
        ------
        ValueError
            The file is not a butterfly factorization, or damaged.
        OSError
            The file cannot be read.
        """
        from .storage import load

        return load(Path(path))

    def plot(self, ax: Axes | None = None) -> Axes:
        """Split errors with the error and its bounds."""
        from .plots import plot_certificate

        return plot_certificate(self, ax)

    def __repr__(self) -> str:
        return (
            f"ButterflyFactorization(shape={self.shape}, chain='{self.chain}', n_params={self.n_params}, "
            f"relative_error={self.relative_error:.4g})"
        )

    def facts(self) -> Mapping[str, Any]:
        """Chain, sizes, error and certificate."""
        rows, cols = self.shape
        facts: dict[str, Any] = {
            "chain": str(self.chain),
            "shape": self.shape,
            "n_params": self.n_params,
            "fraction_of_dense": self.n_params / (rows * cols),
            "error": self.error,
            "relative_error": self.relative_error,
            "lower_bound": self.lower_bound,
            "ratio": self.ratio,
            "a_priori_bound": self.a_priori_bound,
            "optimal": self.optimal,
            "exact": self.exact,
            "order": self.order,
        }
        if self.weighted:
            facts["unweighted_error"] = self.unweighted_error
        if self.sweeps:
            facts["sweeps"] = self.sweeps
        if self.notes:
            facts["remarks"] = "; ".join(self.notes)
        return facts


def norm_of(residual: np.ndarray) -> float:
    """Frobenius norm, squared in double precision."""
    flat = np.ravel(residual)
    wide = np.result_type(flat.dtype, np.float64)
    return float(
        np.sqrt(sum(np.vdot(p, p).real for p in (c.astype(wide) for c in np.array_split(flat, 1 + flat.size // 2**20))))
    )


def rescaled(answer: ButterflyFactorization, scale: float, weight_scale: float) -> ButterflyFactorization:
    """The answer for ``scale`` times the matrix and ``weight_scale`` times the weights."""
    if scale == weight_scale == 1:
        return answer
    factors = list(answer.factors)
    centre = factors[answer.centre]
    wide = centre.astype(np.result_type(centre.dtype, np.float64))
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        scaled = (wide * scale).astype(centre.dtype)
        lost = norm_of(scaled.astype(wide.dtype) / scale - wide)
    if not lost <= _unit_of_rounding(centre.dtype) * norm_of(wide):
        what = "overflow" if scale > 1 else "vanish in"
        raise ValueError(f"the factors would {what} {centre.dtype}: multiply the matrix by {1 / scale:.0e} first")
    factors[answer.centre] = scaled
    both, target = scale * weight_scale, answer._target
    return replace(
        answer,
        factors=tuple(factors),
        error=both * answer.error,
        norm=both * answer.norm,
        outside=both * answer.outside,
        step_errors=both * answer.step_errors,
        _unweighted=None if answer._unweighted is None else scale * answer._unweighted,
        _splits=None if answer._splits is None else both * answer._splits,
        _target=None
        if target is None
        else replace(
            target,
            scale=scale * target.scale,
            weights=replace(target.weights, scale=weight_scale * target.weights.scale),
        ),
    )


def measured(answer: ButterflyFactorization) -> ButterflyFactorization:
    """The answer with the error of its own factors, from the dense residual, where the steps do not give it.

    So for padded matrices (zeroing the padded rows and columns of any matrix of the class stays in the
    class: the best error is that of the cropped matrix, and the lower bound holds), for factors in a
    narrower type than the computation, and for block weights, whose inverse may be far from exact.
    """
    target = answer._target
    assert target is not None
    narrow = answer.factors[0].dtype.itemsize < target.matrix.dtype.itemsize
    if not (narrow or target.weights.blocks or answer.shape != answer.chain.shape):
        return answer
    rows, cols = answer.shape
    residual = np.zeros(target.plain.shape, np.result_type(target.plain.dtype, np.float64))
    residual[:rows, :cols] = target.plain[:rows, :cols] - answer._dense(np.float64) / target.scale
    columns = target.columns
    weighted = target.weights.apply((residual if columns is None else residual[:, columns])[None], columns)
    return replace(answer, error=target.error_scale * norm_of(weighted))
