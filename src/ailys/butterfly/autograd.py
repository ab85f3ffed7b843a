"""Products with Kronecker-sparse factors in PyTorch, with gradients."""

from __future__ import annotations

import math
from typing import Any, Literal

from ..core.optional import require

torch = require("torch", extra="networks", purpose="gradients through butterfly factors")

__all__ = ["KSLinearFunction", "ks_matmul_torch"]


class KSLinearFunction(torch.autograd.Function):  # type: ignore[misc, name-defined]
    """``y = X v`` for a factor ``X`` given by ``x`` (a, b, c, d) and ``v`` (acd, batch).

    Gradients: ``dv = X^H dy`` and ``dx[i, j, k, l] = sum_n dy[i, j, l, n] conj(v[i, k, l, n])``. They are made
    of differentiable operations, so second derivatives work too.

    Examples
    --------
    >>> import torch
    >>> x, v = torch.ones(1, 2, 2, 1, requires_grad=True), torch.ones(2, 3)
    >>> KSLinearFunction.apply(v, x).sum().backward()
    >>> x.grad.flatten().tolist()
    [3.0, 3.0, 3.0, 3.0]
    """

    @staticmethod
    def forward(ctx: Any, v: Any, x: Any) -> Any:
        ctx.save_for_backward(v, x)
        return _forward(v, x)

    @staticmethod
    def backward(ctx: Any, dy: Any) -> tuple[Any, Any]:
        v, x = ctx.saved_tensors
        a, b, c, d = x.shape
        dv = dx = None
        if ctx.needs_input_grad[0]:
            # differentiable when a second derivative is wanted, the fast path otherwise
            adjoint = x.transpose(1, 2).conj().resolve_conj()
            dv = KSLinearFunction.apply(dy, adjoint) if torch.is_grad_enabled() else _forward(dy, adjoint)
        if ctx.needs_input_grad[1]:
            dx = torch.einsum(
                "ijln,ikln->ijkl", dy.reshape(a, b, d, dy.shape[1]), v.reshape(a, c, d, v.shape[1]).conj()
            )
        return dv, dx


def _forward(v: Any, x: Any) -> Any:
    if x.is_cuda:
        from ._triton import available, ks_forward

        if available() and not x.is_complex() and x.element_size() <= 4:
            return ks_forward(v, x)
    a, b, c, d = x.shape
    v4 = v.reshape(a, c, d, v.shape[1])
    if a == 1 or d == 1:  # one batched GEMM on views
        blocks = x.permute(0, 3, 1, 2).reshape(a * d, b, c)
        y = torch.matmul(blocks, v4.permute(0, 2, 1, 3).reshape(a * d, c, v.shape[1]))
        return y.reshape(a, d, b, v.shape[1]).permute(0, 2, 1, 3).reshape(a * b * d, v.shape[1])
    return torch.einsum("ijkl,ikln->ijln", x, v4).reshape(a * b * d, v.shape[1])


def ks_matmul_torch(x: Any, factor: Any, layout: Literal["first", "last"]) -> Any:
    """`ks_matmul` for tensors."""
    x, factor = torch.as_tensor(x), torch.as_tensor(factor)
    if layout == "first":
        flat = x.reshape(math.prod(x.shape[:-1]), x.shape[-1])
        return KSLinearFunction.apply(flat.T, factor).T.reshape(
            *x.shape[:-1], factor.shape[0] * factor.shape[1] * factor.shape[3]
        )
    y = KSLinearFunction.apply(x if x.ndim == 2 else x[:, None], factor)
    return y if x.ndim == 2 else y[:, 0]
