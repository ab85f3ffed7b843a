"""`QuantizedButterflyLinear`: a linear layer that keeps its butterfly factors packed."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from ..butterfly import ks_matmul
from ..core.files import parse_json
from ..core.optional import require
from .chain import quantize_chain
from .powers import times_power
from .quantized_chain import QuantizedChain
from .storage import pack_chain, unpack_chain

torch = require("torch", extra="networks", purpose="QuantizedButterflyLinear")

__all__ = ["QuantizedButterflyLinear"]


class QuantizedButterflyLinear(torch.nn.Module):  # type: ignore[misc, name-defined]
    """``y = W x + bias`` with ``W = scale * Xh_1 ... Xh_L``, cropped to (out_features, in_features).

    The factors stay packed in a buffer of bytes, which is what ``state_dict`` holds of them. They are unpacked for
    each product, or once with ``cache=True``. Gradients reach the input and the bias; the factors are constants.

    Parameters
    ----------
    chain : the quantized factors
    bias : (out_features,) tensor or None
    in_features, out_features : default: the shape of the chain
    cache : keep the unpacked factors (fast, not small)
    dtype : real type of the products, torch.float32 by default

    Examples
    --------
    >>> import torch
    >>> from ailys.butterfly import hadamard_factors
    >>> from ailys.quantization import quantize_chain
    >>> layer = QuantizedButterflyLinear.from_chain(quantize_chain(hadamard_factors(8), 1))
    >>> layer(torch.ones(1, 8)).tolist(), layer.packed.numel()
    ([[8.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]], 6)
    """

    def __init__(
        self,
        chain: QuantizedChain,
        bias: Any = None,
        *,
        in_features: int | None = None,
        out_features: int | None = None,
        cache: bool = False,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.packed: Any
        self.perm: Any
        rows, cols = chain.chain.shape
        self.in_features = chain.shape[1] if in_features is None else int(in_features)
        self.out_features = chain.shape[0] if out_features is None else int(out_features)
        if not (1 <= self.in_features <= cols and 1 <= self.out_features <= rows):
            raise ValueError(
                f"a chain of shape {rows} x {cols} gives at most {cols} inputs and {rows} outputs; "
                f"got in_features = {self.in_features}, out_features = {self.out_features}"
            )
        self.cache = cache
        self.dtype = torch.float32 if dtype is None else dtype
        tensors, self._record = pack_chain(chain)
        self.register_buffer("packed", torch.from_numpy(tensors["packed"]))
        perm = tensors.get("perm")
        self.register_buffer("perm", None if perm is None else torch.from_numpy(perm))
        if bias is not None:
            bias = torch.as_tensor(bias).detach().clone()
            if bias.shape != (self.out_features,):
                raise ValueError(f"bias must have shape ({self.out_features},); got {tuple(bias.shape)}")
            bias = torch.nn.Parameter(bias)
        self.register_parameter("bias", bias)
        self._unpacked: list[Any] | None = None

    @classmethod
    def from_chain(cls, chain: QuantizedChain, bias: Any = None, **options: Any) -> QuantizedButterflyLinear:
        """A layer from the answer of `quantize_chain`."""
        return cls(chain, bias, **options)

    @classmethod
    def from_butterfly_linear(
        cls, layer: Any, fmt: Any, *, method: str = "auto", beam: int = 16, cache: bool = False
    ) -> QuantizedButterflyLinear:
        """A layer from any module with ``factors`` (4-D tensors), ``in_features``, ``out_features`` and ``bias``."""
        answer = quantize_chain(_Factors(layer), fmt, method=method, beam=beam)
        kind = next(iter(layer.factors)).dtype
        dtype = torch.float32 if kind.is_complex or not kind.is_floating_point else kind
        bias = getattr(layer, "bias", None)
        made = cls(
            answer, bias, in_features=layer.in_features, out_features=layer.out_features, cache=cache, dtype=dtype
        )
        if made.bias is not None:  # a frozen bias stays frozen
            made.bias.requires_grad_(bool(getattr(bias, "requires_grad", True)))
        return made.to(next(iter(layer.factors)).device)

    def chain(self) -> QuantizedChain:
        """The quantized factors, unpacked."""
        tensors = {"packed": self.packed.cpu().numpy()}
        if self.perm is not None:
            tensors["perm"] = self.perm.cpu().numpy()
        return unpack_chain(tensors, self._record)

    @property
    def record(self) -> dict[str, Any]:
        """How the packed bytes are to be read: what `unpack_chain` needs besides them."""
        return dict(self._record)

    def factors(self) -> list[Any]:
        """Tensors (a, b, c, d) of the factors, the scale in the first."""
        if self._unpacked is not None and self._unpacked[0].device == self.packed.device:
            return self._unpacked
        answer = self.chain()
        made = []
        for x in _balanced(answer.factors, answer.scale):
            tensor = torch.from_numpy(np.ascontiguousarray(x))
            kind = self.dtype.to_complex() if tensor.is_complex() else self.dtype
            made.append(tensor.to(device=self.packed.device, dtype=kind))
        if self.cache:
            self._unpacked = made
        return made

    def forward(self, x: Any) -> Any:
        """Rows ``x`` (..., in_features) to (..., out_features)."""
        if not (x.is_floating_point() or x.is_complex()):
            raise ValueError(f"the layer multiplies floating-point numbers; got {x.dtype}: convert with x.float()")
        factors = self.factors()
        columns = factors[-1].shape[0] * factors[-1].shape[2] * factors[-1].shape[3]
        y = x.to(factors[0].dtype) if factors[0].is_complex() else x
        if columns > self.in_features:
            y = torch.nn.functional.pad(y, (0, columns - self.in_features))
        if self.perm is not None:
            y = y[..., self.perm]
        for factor in reversed(factors):
            y = ks_matmul(y, factor if factor.is_complex() else factor.to(y.dtype), layout="first")
        y = y[..., : self.out_features]
        return y if self.bias is None else y + self.bias

    def get_extra_state(self) -> Any:
        """How the packed bytes are to be read, kept with the ``state_dict``."""
        return torch.frombuffer(bytearray(json.dumps(self._record).encode()), dtype=torch.uint8)

    def set_extra_state(self, state: Any) -> None:
        """Read the record of a saved layer."""
        try:
            record = parse_json(bytes(state.cpu().numpy()).decode())
        except (ValueError, TypeError, AttributeError) as fault:
            raise ValueError(f"the record of a quantized layer is damaged ({fault})") from fault
        if not isinstance(record, dict) or not record.keys() >= {"version", "chain", "shape", "formats", "error"}:
            raise ValueError("the record of a quantized layer is damaged: it does not say how the bytes are to be read")
        self._record = record
        self._unpacked = None

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *rest: Any) -> None:
        saved = state_dict.get(f"{prefix}packed")
        if saved is not None and saved.shape != self.packed.shape:  # other widths of the same factors
            self.packed = torch.empty_like(saved, device=self.packed.device)
        super()._load_from_state_dict(state_dict, prefix, *rest)

    def extra_repr(self) -> str:
        """Features, bits and error, for ``print``."""
        bits = 8 * self.packed.numel()
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}, "
            f"packed_bits={bits}, error={self._record['error']:.3g}"
        )


def _balanced(factors: tuple[Any, ...], scale: float) -> list[Any]:
    """The factors with the scale, moved by powers of two such that none is much larger than the others.

    The type of the layer may have a smaller range than double precision.
    """
    if scale == 0 or not all(x.any() for x in factors):
        return [factors[0] * scale, *factors[1:]]
    mantissa, power = np.frexp(scale)
    exponents = [int(np.frexp(np.abs(x).max())[1]) for x in factors]
    share, more = divmod(sum(exponents) + int(power), len(factors))
    moved = [times_power(x, share + (l < more) - e) for l, (x, e) in enumerate(zip(factors, exponents, strict=True))]
    return [moved[0] * mantissa, *moved[1:]]


class _Factors:
    """The factors and the permutation of a layer, as `quantize_chain` takes them."""

    def __init__(self, layer: Any) -> None:
        self.factors = [x.detach().cpu().resolve_conj() for x in layer.factors]
        self.factors = [x if x.is_complex() else x.double() for x in self.factors]
        perm = getattr(layer, "perm", None)
        self.perm = None if perm is None else np.asarray(perm.cpu() if hasattr(perm, "cpu") else perm)
