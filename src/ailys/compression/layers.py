"""`ButterflyLinear`, `ButterflyConv2d`, `ButterflyParametrization`: PyTorch modules whose matrix is a butterfly.

The matrix of a layer is ``W[:, perm] = X_1 X_2 ... X_L`` cropped to the layer's size; the factors are the parameters.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from ..butterfly.architecture import Chain
from ..core.optional import require
from .balance import balanced
from .chain_product import chain_linear

torch = require("torch", extra="networks", purpose="butterfly layers")

__all__ = ["ButterflyConv2d", "ButterflyLinear", "ButterflyParametrization", "chain_for"]


def chain_for(shape: tuple[int, int], chain: Chain | str | None = None, budget: float | int | None = None) -> Chain:
    """The architecture of a layer: the one given, or the Monarch chain that fits the budget.

    Parameters
    ----------
    shape : (out_features, in_features)
    chain : `Chain`, its text, or None. It may be larger than the layer: inputs are padded with zeros, outputs cropped.
    budget : for ``chain=None``: largest number of weights, as a fraction of the dense layer's or an int. The rank
        of the blocks grows with it; without a budget it is 1.

    Raises
    ------
    ValueError
        A chain that does not fit, both a chain and a budget, a budget that no such chain fits.

    Examples
    --------
    >>> print(chain_for((256, 64)), chain_for((256, 64), budget=0.5))
    (1,16,8,16)(8,16,8,1) (1,16,16,16)(8,32,8,1)
    """
    if chain is not None:
        if budget is not None:
            raise ValueError("give a chain or a budget, not both")
        found = Chain.parse(chain, shape) if isinstance(chain, str) else Chain(chain)
        if found.shape[0] < shape[0] or found.shape[1] < shape[1]:
            raise ValueError(
                f"the chain is {found.shape[0]} x {found.shape[1]}, too small for a layer {shape[0]} x {shape[1]}"
            )
        return found
    plain = Chain.monarch(shape)
    if budget is None:
        return plain
    limit = n_weights(budget, math.prod(shape))
    rank = limit // plain.n_params
    if rank < 1:
        raise ValueError(
            f"the smallest Monarch chain of {shape[0]} x {shape[1]} has {plain.n_params} weights, the budget is {limit}"
        )
    return Chain.monarch(shape, rank=rank)


def n_weights(budget: float | int, dense: int) -> int:
    """A budget as a number of weights.

    >>> n_weights(0.5, 100), n_weights(30, 100)
    (50, 30)
    """
    if isinstance(budget, (bool, str)) or not np.isfinite(budget) or budget <= 0:
        raise ValueError(f"a budget is a fraction of the weights in (0, 1] or a whole number of them; got {budget!r}")
    if isinstance(budget, (int, np.integer)):
        return int(budget)
    if budget > 1:
        raise ValueError(f"a budget as a fraction must be in (0, 1]; got {budget:g} (a whole number counts weights)")
    return int(budget * dense)


class _Butterfly(torch.nn.Module):  # type: ignore[misc, name-defined]
    """Factors, permutation and bias of a layer with a butterfly matrix."""

    chain: Chain
    shape: tuple[int, int]  # of the matrix

    def _build(self, shape: tuple[int, int], chain: Chain, bias: bool, device: Any, dtype: Any) -> None:
        self.chain, self.shape, self._inner = chain, shape, chain.shape
        empty = [torch.empty(tuple(p), device=device, dtype=dtype) for p in chain]
        self.factors = torch.nn.ParameterList([torch.nn.Parameter(x) for x in empty])
        self.bias = torch.nn.Parameter(torch.empty(shape[0], device=device, dtype=dtype)) if bias else None
        self.register_buffer("perm", None)

    def reset_parameters(self) -> None:
        """Independent Gaussian factors of standard deviation ``1 / sqrt(c_l)``, and a bias as in `torch.nn.Linear`.

        Each factor then preserves the variance of what goes through it.
        """
        for x, p in zip(self.factors, self.chain, strict=True):
            torch.nn.init.normal_(x, std=1 / math.sqrt(p.c))
        if self.bias is not None:
            bound = 1 / math.sqrt(self.shape[1])
            torch.nn.init.uniform_(self.bias, -bound, bound)

    def _filled(self, layer: Any, weight: Any, options: dict[str, Any]) -> Any:
        """This empty layer with the butterfly approximation of a matrix and the bias of the layer it stood in."""
        from ..butterfly import butterfly

        if self.chain.shape != self.shape:
            options = {"pad": True, **options}
        answer = butterfly(numbers_of(weight), self.chain, **options)
        return self._taking(layer, answer)

    def _taking(self, layer: Any, answer: Any) -> Any:
        """This empty layer with the factors of an answer, and the bias, mode and device of the layer it stands for."""
        self.to_empty(device=layer.weight.device)
        with torch.no_grad():
            for mine, given in zip(self.factors, balanced(answer.factors), strict=True):
                mine.copy_(torch.from_numpy(given))
            if self.bias is not None:
                self.bias.copy_(layer.bias)
        if answer.perm is not None:
            self.perm = torch.as_tensor(np.asarray(answer.perm), dtype=torch.long, device=layer.weight.device)
        self.factors.requires_grad_(layer.weight.requires_grad)
        if self.bias is not None:
            self.bias.requires_grad_(layer.bias.requires_grad)
        self.factorization = answer
        return self.train(layer.training)

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *rest: Any) -> None:
        perm = state_dict.get(f"{prefix}perm")
        if perm is not None:
            if not torch.equal(perm.sort().values, torch.arange(self._inner[1], device=perm.device)):
                raise ValueError(f"{prefix}perm must hold each column number 0..{self._inner[1] - 1} once")
            if self.perm is None:
                self.perm = torch.empty_like(perm, device=self.factors[0].device)
        super()._load_from_state_dict(state_dict, prefix, *rest)

    @property
    def matrix(self) -> Any:
        """The matrix of the layer, dense, with gradients."""
        rows, cols = self.shape
        first = self.factors[0]
        eye = torch.eye(cols, dtype=first.dtype, device=first.device)
        return self._product(eye, None).t()[:rows]

    @property
    def n_params(self) -> int:
        """Number of weights, without the bias."""
        return self.chain.n_params

    def _product(self, x: Any, bias: Any) -> Any:
        """``W x + bias`` for the last axis of ``x``."""
        rows, cols = self.shape
        inner = self._inner
        if x.ndim == 0 or x.shape[-1] != cols:
            raise ValueError(f"the layer takes {cols} features; got an input of shape {tuple(x.shape)}")
        if inner[1] != cols:
            x = torch.nn.functional.pad(x, (0, inner[1] - cols))
        if self._buffers["perm"] is not None:
            x = x.index_select(-1, self.perm)
        factors = list(self._modules["factors"]._parameters.values())  # without a search by name for each of them
        if len(factors) != len(self.chain):
            factors = list(self.factors)
        if inner[0] == rows:
            return chain_linear(x, factors, bias)
        y = chain_linear(x, factors)[..., :rows]
        return y.contiguous() if bias is None else y + bias

    def _ratio(self) -> str:
        return f"{self.chain.n_params} weights, {self.chain.n_params / math.prod(self.shape):.3g} of dense"


class ButterflyLinear(_Butterfly):
    """`torch.nn.Linear` with a butterfly matrix.

    Parameters
    ----------
    in_features, out_features, bias : as for `torch.nn.Linear`
    chain : `Chain`, its text ("monarch:r=2", "dyadic", ...), patterns, or None
    budget : for ``chain=None``: largest number of weights, a fraction of the dense layer's or an int. Default: the
        Monarch chain of rank one.

    Raises
    ------
    ValueError
        Sizes below 1, a chain that is too small, a budget that no chain fits, or both a chain and a budget.

    Attributes
    ----------
    factors : ParameterList of (a, b, c, d) tensors
    chain, perm, bias
    weight : the dense (out_features, in_features) matrix, formed when asked for, with gradients

    Examples
    --------
    >>> import torch
    >>> layer = ButterflyLinear(64, 256)
    >>> layer(torch.ones(5, 64)).shape, layer.n_params
    (torch.Size([5, 256]), 3072)
    """

    __constants__: ClassVar[list[str]] = ["in_features", "out_features"]

    def __init__(
        self,
        in_features: int,
        out_features: int,
        chain: Chain | str | None = None,
        budget: float | int | None = None,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.in_features, self.out_features = (
            _positive(in_features, "in_features"),
            _positive(out_features, "out_features"),
        )
        shape = self.out_features, self.in_features
        self._build(shape, chain_for(shape, chain, budget), bias, device, dtype)
        self.reset_parameters()

    @classmethod
    def from_linear(cls, linear: Any, chain: Chain | str | None = None, **butterfly_options: Any) -> ButterflyLinear:
        """The layer whose matrix is the butterfly approximation of that of a `torch.nn.Linear`.

        ``butterfly_options`` go to `ailys.butterfly.butterfly` (``col_weight``, ``perm``, ``refine``, ``pad``, ...). The bias is
        kept; the scale of the factors is balanced for further training. The answer with its certificate is
        kept as ``.factorization``.

        Parameters
        ----------
        linear : torch.nn.Linear
        chain : as for `ButterflyLinear`
        butterfly_options
            for `ailys.butterfly.butterfly`: ``col_weight``, ``perm``, ``refine``, ``pad``, ...

        Raises
        ------
        ValueError
            A chain that is too small, a weight with NaN, or options that `ailys.butterfly.butterfly` refuses.
        """
        return cls.like(linear, chain)._filled(linear, linear.weight, butterfly_options)  # type: ignore[no-any-return]

    @classmethod
    def like(cls, linear: Any, chain: Chain | str | None = None) -> ButterflyLinear:
        """A layer with the sizes of a `torch.nn.Linear`, without storage (on the device "meta")."""
        bias = linear.bias is not None
        return cls(linear.in_features, linear.out_features, chain, None, bias, "meta", linear.weight.dtype)

    @property
    def weight(self) -> Any:
        """The dense (out_features, in_features) matrix."""
        return self.matrix

    def to_linear(self) -> Any:
        """A `torch.nn.Linear` with the same matrix and bias."""
        first = self.factors[0]
        linear = torch.nn.Linear(self.in_features, self.out_features, self.bias is not None, first.device, first.dtype)
        with torch.no_grad():
            linear.weight.copy_(self.matrix)
            if self.bias is not None:
                linear.bias.copy_(self.bias)
        return linear.train(self.training)

    def forward(self, input: Any) -> Any:  # named as in torch.nn.Linear
        """(..., in_features) -> (..., out_features).

        Raises
        ------
        ValueError
            The last axis does not hold ``in_features`` numbers.
        """
        return self._product(input, self.bias)

    def extra_repr(self) -> str:
        """Sizes, chain and number of weights."""
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}, "
            f"chain='{self.chain}' ({self._ratio()})"
        )


class ButterflyConv2d(_Butterfly):
    """`torch.nn.Conv2d` (one group) whose matrix ``(C_out, C_in kh kw)`` is a butterfly.

    Parameters
    ----------
    in_channels, out_channels, kernel_size, stride, padding, dilation, bias, padding_mode : as for `torch.nn.Conv2d`
    chain, budget : as for `ButterflyLinear`, for the matrix of shape (out_channels, in_channels * kh * kw)

    Raises
    ------
    ValueError
        More than one group, a chain that is too small, a budget that no chain fits, or both a chain and a budget.

    Notes
    -----
    The patches of the input are gathered once and multiplied by the factors; a 1 x 1 kernel gathers nothing.
    ``.weight`` is the dense (C_out, C_in, kh, kw) kernel.

    Examples
    --------
    >>> import torch
    >>> layer = ButterflyConv2d(16, 32, 3, padding=1, budget=0.5)
    >>> layer(torch.ones(2, 16, 8, 8)).shape, layer.n_params
    (torch.Size([2, 32, 8, 8]), 1920)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] = 1,
        padding: int | tuple[int, int] | str = 0,
        dilation: int | tuple[int, int] = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
        *,
        chain: Chain | str | None = None,
        budget: float | int | None = None,
    ) -> None:
        super().__init__()
        if groups != 1:
            raise ValueError(f"a butterfly convolution has one group; got groups={groups}")
        with torch.device("meta"):  # PyTorch's own reading of the arguments
            like = torch.nn.Conv2d(
                in_channels, out_channels, kernel_size, stride, padding, dilation, 1, bias, padding_mode
            )
        for name in ("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "padding_mode"):
            setattr(self, name, getattr(like, name))
        self._around = list(like._reversed_padding_repeated_twice)  # left, right, top, bottom
        shape = self.out_channels, self.in_channels * math.prod(self.kernel_size)
        self._build(shape, chain_for(shape, chain, budget), bias, device, dtype)
        self.reset_parameters()

    @classmethod
    def from_conv(cls, conv: Any, chain: Chain | str | None = None, **butterfly_options: Any) -> ButterflyConv2d:
        """The layer whose matrix approximates that of a `torch.nn.Conv2d`; see `ButterflyLinear.from_linear`.

        Parameters
        ----------
        conv : torch.nn.Conv2d
            of one group
        chain, butterfly_options
            as in `ButterflyLinear.from_linear`

        Raises
        ------
        ValueError
            More than one group, or a chain that is too small.
        """
        return cls.like(conv, chain)._filled(conv, conv.weight.flatten(1), butterfly_options)  # type: ignore[no-any-return]

    @classmethod
    def like(cls, conv: Any, chain: Chain | str | None = None) -> ButterflyConv2d:
        """A layer with the arguments of a `torch.nn.Conv2d`, without storage (on the device "meta").

        Raises
        ------
        ValueError
            More than one group, or a chain that is too small.
        """
        if conv.groups != 1:
            raise ValueError(f"a butterfly convolution has one group; got groups={conv.groups}")
        return cls(
            conv.in_channels,
            conv.out_channels,
            conv.kernel_size,
            conv.stride,
            conv.padding,
            conv.dilation,
            1,
            conv.bias is not None,
            conv.padding_mode,
            "meta",
            conv.weight.dtype,
            chain=chain,
        )

    @property
    def weight(self) -> Any:
        """The dense (C_out, C_in, kh, kw) kernel."""
        return self.matrix.reshape(self.out_channels, self.in_channels, *self.kernel_size)

    def to_conv(self) -> Any:
        """A `torch.nn.Conv2d` with the same kernel and bias."""
        first = self.factors[0]
        conv = torch.nn.Conv2d(
            self.in_channels,
            self.out_channels,
            self.kernel_size,
            self.stride,
            self.padding,
            self.dilation,
            1,
            self.bias is not None,
            self.padding_mode,
            first.device,
            first.dtype,
        )
        with torch.no_grad():
            conv.weight.copy_(self.weight)
            if self.bias is not None:
                conv.bias.copy_(self.bias)
        return conv.train(self.training)

    def forward(self, input: Any) -> Any:  # named as in torch.nn.Conv2d
        """(N, C_in, H, W) or (C_in, H, W) -> the same with C_out channels."""
        x = input
        if x.ndim == 3:
            return self.forward(x[None])[0]
        functional = torch.nn.functional
        if any(self._around):
            mode = "constant" if self.padding_mode == "zeros" else self.padding_mode
            x = functional.pad(x, self._around, mode=mode)
        (kh, kw), (dh, dw), (sh, sw) = self.kernel_size, self.dilation, self.stride
        height, width = (
            (n - d * (k - 1) - 1) // s + 1 for n, k, d, s in zip(x.shape[2:], (kh, kw), (dh, dw), (sh, sw), strict=True)
        )
        if kh == kw == 1:
            patches = x[:, :, ::sh, ::sw].permute(0, 2, 3, 1)
        else:
            patches = functional.unfold(x, (kh, kw), dilation=(dh, dw), stride=(sh, sw)).transpose(1, 2)
        y = self._product(patches.reshape(x.shape[0], height, width, self.shape[1]), self.bias)
        return y.permute(0, 3, 1, 2).contiguous()

    def extra_repr(self) -> str:
        """Arguments, chain and number of weights."""
        return (
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}, "
            f"padding={self.padding}, dilation={self.dilation}, bias={self.bias is not None}, "
            f"chain='{self.chain}' ({self._ratio()})"
        )


class ButterflyParametrization(torch.nn.Module):  # type: ignore[misc, name-defined]
    """A parametrization that keeps a weight in a butterfly class, for tools that need a plain ``.weight``.

    ``torch.nn.utils.parametrize.register_parametrization(linear, "weight", ButterflyParametrization(chain))`` replaces the weight by
    the product of factors that start at its best approximation. Products cost as much as with a dense matrix.

    Examples
    --------
    >>> import torch
    >>> from torch.nn.utils import parametrize
    >>> linear = torch.nn.Linear(16, 16)
    >>> layer = parametrize.register_parametrization(linear, "weight", ButterflyParametrization("dyadic"))
    >>> [tuple(p.shape) for p in linear.parametrizations.weight.parameters()]
    [(1, 2, 2, 8), (2, 2, 2, 4), (4, 2, 2, 2), (8, 2, 2, 1)]
    """

    def __init__(self, chain: Chain | str) -> None:
        super().__init__()
        self.chain = chain

    def forward(self, *factors: Any) -> Any:
        """The dense matrix of the factors."""
        cols = math.prod(factors[-1].shape) // factors[-1].shape[1]
        eye = torch.eye(cols, dtype=factors[0].dtype, device=factors[0].device)
        return chain_linear(eye, factors).t().contiguous()

    def right_inverse(self, weight: Any) -> tuple[Any, ...]:
        """Factors of the best approximation found of a weight.

        Raises
        ------
        ValueError
            The weight is not a matrix, or the chain does not fit it.
        """
        from ..butterfly import butterfly

        if weight.ndim != 2:
            raise ValueError(f"the weight must be a matrix; got shape {tuple(weight.shape)}")
        answer = butterfly(numbers_of(weight), self.chain)
        return tuple([torch.from_numpy(x).to(weight) for x in balanced(answer.factors)])


def numbers_of(weight: Any) -> np.ndarray:
    """The numbers of a tensor; half precision, which NumPy only knows in part, as single."""
    tensor = weight.detach().cpu()
    return np.ascontiguousarray((tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor).numpy())


def _positive(value: Any, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
        raise ValueError(f"{name} must be a positive whole number; got {value!r}")
    return int(value)
