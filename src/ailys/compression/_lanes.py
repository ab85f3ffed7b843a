"""Vectors of `WIDTH` numbers for compiled loops, held in registers.

A compiler that cannot prove that two arrays are apart checks it before each short loop, and puts sums into memory. The
kernels of this package say what belongs into a register: ``acc = fma(spread(w, r), load(v, q), acc)``.
Indices are not checked. Memory is reached by address, since taking many tensors apart costs more than small products do.
"""

# mypy: disable-error-code="untyped-decorator, no-untyped-call"
from __future__ import annotations

from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba import carray, njit, types  # type: ignore[attr-defined]
from numba.core import cgutils
from numba.core.datamodel import models
from numba.extending import intrinsic, register_model

__all__ = ["WIDTH", "fma", "load", "numbers_at", "spread", "store", "total", "transposed", "zeros"]

WIDTH = 8
_intrinsic: Any = intrinsic  # what it makes is called without the typing context
_FAST = ("reassoc", "contract", "nsz")  # NaN and infinity keep their meaning


class _Lanes(types.Type):
    def __init__(self, dtype: Any) -> None:
        self.dtype = dtype
        super().__init__(f"Lanes({dtype})")


@register_model(_Lanes)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, ir.VectorType(manager.lookup(kind.dtype).get_value_type(), WIDTH))


def _place(context: Any, builder: Any, kind: Any, array: Any, index: Any) -> Any:
    """Pointer to the entry of a flat array."""
    return builder.gep(context.make_array(kind)(context, builder, array).data, [index])


@_intrinsic
def load(typing: Any, array: Any, index: Any) -> Any:
    """``array[index : index + WIDTH]``."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        vector = context.get_value_type(signature.return_type)
        place = _place(context, builder, signature.args[0], *args)
        size = context.get_abi_sizeof(vector.element)
        return builder.load(builder.bitcast(place, vector.as_pointer()), align=size)

    return _Lanes(array.dtype)(array, types.intp), code


@_intrinsic
def store(typing: Any, lanes: Any, array: Any, index: Any) -> Any:
    """``array[index : index + WIDTH] = lanes``."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        vector = args[0].type
        place = _place(context, builder, signature.args[1], *args[1:])
        size = context.get_abi_sizeof(vector.element)
        builder.store(args[0], builder.bitcast(place, vector.as_pointer()), align=size)
        return context.get_dummy_value()

    return types.void(lanes, array, types.intp), code


def _splat(builder: Any, value: Any) -> Any:
    vector = ir.VectorType(value.type, WIDTH)
    one = builder.insert_element(ir.Constant(vector, ir.Undefined), value, ir.Constant(ir.IntType(32), 0))
    mask = ir.Constant(ir.VectorType(ir.IntType(32), WIDTH), [0] * WIDTH)
    return builder.shuffle_vector(one, ir.Constant(vector, ir.Undefined), mask)


@_intrinsic
def spread(typing: Any, array: Any, index: Any) -> Any:
    """``array[index]`` in every lane."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _splat(builder, builder.load(_place(context, builder, signature.args[0], *args)))

    return _Lanes(array.dtype)(array, types.intp), code


@_intrinsic
def zeros(typing: Any, array: Any) -> Any:
    """Zeros of the kind of an array."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        vector = context.get_value_type(signature.return_type)
        return ir.Constant(vector, [ir.Constant(vector.element, 0.0)] * WIDTH)

    return _Lanes(array.dtype)(array), code


@_intrinsic
def fma(typing: Any, left: Any, right: Any, acc: Any) -> Any:
    """``left * right + acc``."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.fadd(builder.fmul(args[0], args[1], flags=_FAST), args[2], flags=_FAST)

    return acc(left, right, acc), code


@_intrinsic
def total(typing: Any, lanes: Any) -> Any:
    """Sum of the lanes."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        (v,) = args
        number = ir.IntType(32)
        half = WIDTH // 2
        while half:
            mask = [*range(half, 2 * half)] + [*range(half, 2 * half)] * (WIDTH // half - 1)
            upper = builder.shuffle_vector(v, v, ir.Constant(ir.VectorType(number, WIDTH), mask))
            v = builder.fadd(v, upper, flags=_FAST)
            half //= 2
        return builder.extract_element(v, ir.Constant(number, 0))

    return lanes.dtype(lanes), code


@_intrinsic
def transposed(typing: Any, rows: Any) -> Any:
    """`WIDTH` vectors, as the rows of a matrix, to its columns."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        vectors = cgutils.unpack_tuple(builder, args[0])
        stride = 1
        while stride < WIDTH:  # swap the two off-diagonal blocks of each square of blocks
            for i in range(WIDTH):
                if not i & stride:
                    upper, lower = vectors[i], vectors[i + stride]
                    first = [t if not t & stride else t - stride + WIDTH for t in range(WIDTH)]
                    second = [t + stride if not t & stride else t + WIDTH for t in range(WIDTH)]
                    for place, mask in ((i, first), (i + stride, second)):
                        order = ir.Constant(ir.VectorType(ir.IntType(32), WIDTH), mask)
                        vectors[place] = builder.shuffle_vector(upper, lower, order)
            stride *= 2
        return context.make_tuple(builder, signature.return_type, vectors)

    return rows(rows), code


@_intrinsic
def _pointer(typing: Any, address: Any, like: Any) -> Any:
    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.inttoptr(args[0], context.get_value_type(signature.return_type))

    return types.CPointer(like.dtype)(types.intp, like), code


@njit(cache=True, nogil=True)
def numbers_at(address: Any, size: Any, like: Any) -> Any:
    """The ``size`` numbers at an address as an array with the type of ``like``."""
    return carray(_pointer(address, like), size)
