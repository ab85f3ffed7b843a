"""The answer of `quantize_chain`: rounded factors, exact error, exact bits, guarantee."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..butterfly import ButterflyOperator, Chain
from ..core.answer import Answer, readable
from ..core.guarantee import Guarantee
from .bits import BitCount
from .formats import Codebook, Format, IntFormat
from .packing import Code, code_of
from .rank_one import native

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from scipy.sparse.linalg import LinearOperator

__all__ = ["QuantizedChain"]

Array = np.ndarray


@dataclass(frozen=True, eq=False)
class QuantizedChain(Answer):
    """``X_1 ... X_L`` replaced by ``scale * Xh_1 ... Xh_L`` with entries in the formats.

    Attributes
    ----------
    factors : tuple of (a, b, c, d) arrays, float64 or complex128
    scale : real factor of the product
    formats : format of each factor
    chain : patterns of the factors
    error : relative Frobenius error of the product of the factors
    error_rtn : that of rounding the given factors entry by entry
    error_kind : "exact" (up to rounding), "upper" where rounding may hide how much smaller the error is, or "estimate"
        from random vectors for large chains whose entries are sums of several paths
    bits : exact count of the stored bits
    method : the method whose answer this is (for "auto": the best one)
    excess : the error is at most this many times the smallest one possible for these formats and this scale, or None
        where that is not known
    perm, shape : column permutation and shape of the matrix, as in `ailys.butterfly.ButterflyFactorization`
    errors : relative errors of all methods tried
    """

    factors: tuple[Array, ...]
    scale: float
    formats: tuple[Format, ...]
    chain: Chain
    error: float
    error_rtn: float
    error_kind: str
    method: str
    excess: float | None
    perm: Array | None
    shape: tuple[int, int]
    errors: Mapping[str, float]

    # -- size and error ----------------------------------------------------------------------------

    @property
    def codes(self) -> tuple[Code, ...]:
        """How the entries of each factor are written."""
        return tuple(code_of(x, fmt) for x, fmt in zip(self.factors, self.formats, strict=True))

    @property
    def bits(self) -> BitCount:
        """Stored bits: entries, scale (64), codes, permutation (64 an entry), the values of codebooks (64 each)."""
        tables = {fmt for fmt in self.formats if isinstance(fmt, Codebook) and not isinstance(fmt, IntFormat)}
        stored = (0 if self.perm is None else self.perm.size) + sum(len(fmt.values) for fmt in tables)
        total = BitCount(0, 0, 0, 64 + 64 * stored)
        for x, code in zip(self.factors, self.codes, strict=True):
            total = total + code.count(x.size, x.dtype.kind == "c")
        return total

    @property
    def bits_per_weight(self) -> float:
        """All bits over the number of stored entries."""
        return self.bits.total / self.chain.n_params

    def facts(self) -> Mapping[str, Any]:
        """Errors, method, bits."""
        names = list(dict.fromkeys(str(fmt) for fmt in self.formats))
        return {
            "shape": f"{self.shape[0]} x {self.shape[1]}",
            "n_factors": len(self.factors),
            "n_params": self.chain.n_params,
            "formats": ", ".join(names),
            "method": self.method,
            "error": self.error,
            "error_rtn": self.error_rtn,
            "error_kind": self.error_kind,
            "bits": self.bits.total,
            "bits_mantissa": self.bits.mantissa,
            "bits_exponent": self.bits.exponent,
            "bits_sign": self.bits.sign,
            "bits_header": self.bits.header,
            "bytes": self.bits.bytes,
            "bits_per_weight": self.bits_per_weight,
        }

    @property
    def guarantee(self) -> Guarantee | None:
        """The exact error; for two factors also that no other factors of the formats come closer."""
        if self.error_kind not in ("exact", "upper"):
            return None
        values = {"error": self.error, "error_rtn": self.error_rtn, "bits": float(self.bits.total)}
        source = "docs, quantization, section 'What is guaranteed'"
        assumptions = ("exact arithmetic: rounding adds at most a millionth of the error, and 1e-13",)
        naive = f"rounding entry by entry gives {self.error_rtn:.4g}"
        size = f"{readable(self.bits.total)} bits are all that is stored"
        if self.excess is not None:
            best = (
                "no other factors in these formats, with this scale, are closer"
                if self.excess <= 1
                else f"at most {self.excess:.3f} times the smallest for these formats and this scale"
            )
            text = f"relative error {self.error:.4g}: {best}; {naive}; {size}"
            kind = "optimal" if self.excess <= 1 else "error-bound"
            source = f"Gribonval, Mary, Riccietti 2023; {source}"
            return Guarantee(kind, text, max(1.0, self.excess), values, assumptions, source)
        if self.error_kind == "upper":
            text = f"the relative error is at most {self.error:.4g}; {naive}; {size}"
            rounding = ("the rounding of double precision, which is added to the error",)
            return Guarantee("error-bound", text, self.error, values, rounding, source)
        text = f"the relative error is {self.error:.4g}, exactly; {naive}; {size}"
        return Guarantee("exact-error", text, self.error, values, assumptions, source)

    # -- what it is used for -----------------------------------------------------------------------

    def as_linear_operator(self) -> ButterflyOperator:
        """A SciPy ``LinearOperator`` that multiplies fast (factors in double precision)."""
        scaled = (self.factors[0] * self.scale, *self.factors[1:])
        return ButterflyOperator(scaled, self.chain, perm=self.perm, shape=self.shape)

    def matvec(self, X: Array) -> Array:
        """The product with a vector (N,) or with the columns of a matrix (N, batch).

        Raises
        ------
        ValueError
            Vectors of another length.
        """
        return np.asarray(self.as_linear_operator() @ np.asarray(X))

    @property
    def H(self) -> LinearOperator:
        """The conjugate transpose, as an operator."""
        return self.as_linear_operator().H

    def toarray(self) -> Array:
        """The dense (M, N) matrix."""
        return self.matvec(np.eye(self.shape[1]))

    def astype_native(self) -> tuple[Array, ...]:
        """The factors in the NumPy or ml_dtypes types of their formats, without loss.

        Raises
        ------
        ValueError
            A factor is complex, or its format is none of NumPy's or ml_dtypes'.
        """
        return tuple(native(x, fmt) for x, fmt in zip(self.factors, self.formats, strict=True))

    def save(self, path: str | Path) -> Path:
        """Write the packed factors to a safetensors file; an existing file is replaced.

        Raises
        ------
        OSError
            The path cannot be written; a file that is there stays as it was.
        """
        from .storage import save

        return save(self, Path(path))

    @classmethod
    def load(cls, path: str | Path) -> QuantizedChain:
        """Read what `save` wrote, to the bit.

        Raises
        ------
        FileNotFoundError, ValueError
            If there is no such file, or it is cut short, not a quantized chain, or of a newer version.
        """
        from .storage import load

        return load(Path(path))

    def plot(self, ax: Axes | None = None) -> Axes:
        """Exponents of the entries of each factor, and the error against that of plain rounding."""
        from .plots import plot_chain

        return plot_chain(self, ax)
