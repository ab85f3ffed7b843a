"""`precision_bits_curve`: error against significant bits, and how many bits a method saves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.answer import Answer
from ..core.guarantee import Guarantee
from .chain import quantize_chain
from .formats import FloatFormat

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["PrecisionCurve", "precision_bits_curve"]


@dataclass(frozen=True, eq=False)
class PrecisionCurve(Answer):
    """Errors and bits of several methods at several numbers of significant bits.

    Attributes
    ----------
    ts : significant bits
    errors : method -> relative errors, one for each of ``ts``
    total_bits : method -> all stored bits, one for each of ``ts``
    """

    ts: tuple[int, ...]
    errors: Mapping[str, tuple[float, ...]]
    total_bits: Mapping[str, tuple[int, ...]]
    error_kind: str

    def facts(self) -> Mapping[str, Any]:
        """Slopes, and the bits saved at the middle of the range."""
        middle = self.ts[len(self.ts) // 2]
        facts: dict[str, Any] = {"ts": ", ".join(map(str, self.ts))}
        for name in self.errors:
            facts[f"slope_{name}"] = self.slope(name)
            if name != "rtn" and "rtn" in self.errors:
                facts[f"bits_saved_by_{name}_at_t_{middle}"] = self.bits_saved(middle, name)
                facts[f"total_bits_saved_by_{name}_at_t_{middle}"] = self.total_saved(middle, name)
        facts["curves"] = [
            {"method": name, "t": t, "error": error, "bits": bits}
            for name in self.errors
            for t, error, bits in zip(self.ts, self.errors[name], self.total_bits[name], strict=True)
        ]
        return facts

    @property
    def guarantee(self) -> Guarantee | None:
        """The errors are exact; slopes and savings are fits to them."""
        if self.error_kind != "exact":
            return None
        return Guarantee(
            "exact-error",
            "each error is that of the rounded factors themselves, exactly; savings are read off the curves",
            None,
            {f"slope_{name}": self.slope(name) for name in self.errors},
            ("exact arithmetic: rounding adds about 1e-14 of each error",),
            "docs, quantization, section 'What is guaranteed'",
        )

    @property
    def best_method(self) -> str:
        """The method with the smallest errors on the whole; "rtn" only if there is no other."""
        names = [name for name in self.errors if name != "rtn"] or list(self.errors)
        return min(names, key=lambda name: float(np.mean(np.log2(np.maximum(self.errors[name], 1e-16)))))

    def _method(self, method: str | None) -> str:
        if method is None:
            return self.best_method
        if method not in self.errors:
            raise ValueError(f"the curve has the methods {', '.join(self.errors)}; got {method!r}")
        return method

    def slope(self, method: str | None = None) -> float:
        """Slope of log2(error) in t by least squares; nan with fewer than two errors above rounding.

        Default: of `best_method`.

        Raises
        ------
        ValueError
            The curve does not have the method.
        """
        method = self._method(method)
        t, e = np.array(self.ts, float), np.array(self.errors[method])
        keep = e > 1e-14
        return float(np.polyfit(t[keep], np.log2(e[keep]), 1)[0]) if keep.sum() > 1 else float("nan")

    def bits_saved(self, t: int, method: str | None = None) -> float:
        """Significant bits that the method (default: `best_method`) needs less for the error that "rtn" has with ``t``.

        Interpolated in log2(error); nan if the curve does not reach that error.

        Parameters
        ----------
        t : int
            bits of rounding entry by entry whose error is to be met
        method : str

        Raises
        ------
        ValueError
            The curve does not have the method, "rtn", or the point ``t``.
        """
        method = self._method(method)
        return float(t - self._crossing(t, method, np.array(self.ts, float)))

    def total_saved(self, t: int, method: str | None = None) -> float:
        """The share of all stored bits (signs, exponents, fractions, headers) saved at the same error.

        Parameters
        ----------
        t, method
            as in `bits_saved`

        Raises
        ------
        ValueError
            The curve does not have the method, "rtn", or the point ``t``.
        """
        method = self._method(method)
        bits = np.array(self.total_bits[method], float)
        crossing = self._crossing(t, method, bits)  # refuses where there is no reference
        return float(1 - crossing / self.total_bits["rtn"][self.ts.index(t)])

    def _crossing(self, t: int, method: str, sizes: np.ndarray) -> float:
        """The size at which the curve of the method has the error of plain rounding with t."""
        if "rtn" not in self.errors or t not in self.ts:
            raise ValueError(f"the curve needs 'rtn' and t = {t} among its points; it has t = {self.ts}")
        wanted = self.errors["rtn"][self.ts.index(t)]
        e = np.array(self.errors[method])
        if not (e.min() <= wanted <= e.max()) or wanted <= 0 or e.min() <= 0:
            return float("nan")
        order = np.argsort(e)
        return float(np.interp(np.log2(wanted), np.log2(e[order]), sizes[order]))

    def plot(self, ax: Axes | None = None) -> Axes:
        """Error against t with the fitted slopes."""
        from .plots import plot_curve

        return plot_curve(self, ax)


def precision_bits_curve(
    factors: Any,
    ts: Sequence[int],
    methods: Sequence[str] = ("rtn", "pairwise", "left_to_right", "beam"),
    *,
    beam: int = 16,
    n_jobs: int | None = None,
) -> PrecisionCurve:
    """Quantize the same chain with several methods at several numbers of significant bits.

    Parameters
    ----------
    factors : what `quantize_chain` takes
    ts : significant bits
    methods : as in `quantize_chain`; "beam" is left out for complex factors

    Raises
    ------
    ValueError
        Empty or unknown ``ts`` and ``methods``, "beam" for complex factors, or factors that `quantize_chain` refuses.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> from ailys.butterfly import Chain
    >>> factors = [rng.standard_normal(tuple(p)) for p in Chain.dyadic(32)]
    >>> curve = precision_bits_curve(factors, range(2, 7), ("rtn", "left_to_right"))
    >>> bool(curve.bits_saved(6, "left_to_right") > 1)
    True
    """
    from .chain_input import chain_input

    if isinstance(methods, str) or not hasattr(methods, "__iter__"):
        raise ValueError(f"methods must be a list of names, as ['rtn', 'beam']; got {methods!r}")
    if isinstance(ts, str) or not hasattr(ts, "__iter__"):
        raise ValueError(f"ts must be a list of numbers of bits, as [2, 4, 8]; got {ts!r}")
    if isinstance(factors, Iterator):  # they are read once for each number of bits
        factors = list(factors)
    sizes = tuple(dict.fromkeys(FloatFormat(t).t for t in ts))
    if chain_input(factors).factors[0].dtype.kind == "c":
        methods = [name for name in methods if name != "beam"]
    if not sizes or not methods:
        raise ValueError("a curve needs a number of bits and a method ('beam' takes real factors only)")
    answers = {
        name: [quantize_chain(factors, t, method=name, beam=beam, n_jobs=n_jobs) for t in sizes] for name in methods
    }
    kinds = {a.error_kind for column in answers.values() for a in column}
    return PrecisionCurve(
        ts=sizes,
        errors={name: tuple(a.error for a in column) for name, column in answers.items()},
        total_bits={name: tuple(a.bits.total for a in column) for name, column in answers.items()},
        error_kind="exact" if kinds == {"exact"} else "estimate",
    )
