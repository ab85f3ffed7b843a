"""Chains as they are written on the command line: ``dyadic``, ``monarch:r=2``, ``[(1,2,2,4),...]``."""

from __future__ import annotations

import ast

from .architecture import Chain

__all__ = ["read_chain"]


def read_chain(text: str, shape: tuple[int, int]) -> Chain:
    """The chain that a text names for matrices of a shape; see `Chain.parse`.

    Parameters
    ----------
    text : str
    shape : (M, N)

    Raises
    ------
    ValueError
        A text that names no chain, or a chain that does not exist for the shape.
    """
    if text.lstrip().startswith(("[", "(")):
        body = text.strip().removeprefix("[").removesuffix("]").replace(")(", "),(")  # also as a chain is printed
        try:
            patterns = ast.literal_eval(f"[{body}]")
        except (SyntaxError, TypeError, ValueError, RecursionError, MemoryError) as fault:  # the last: deep brackets
            raise ValueError(f"cannot read the chain {text!r}: expected '[(a,b,c,d),...]'") from fault
        return Chain(patterns)
    name, _, rest = text.strip().lower().partition(":")
    options = dict(part.split("=", 1) for part in rest.split(",") if "=" in part)
    allowed = {"monarch": {"r", "p", "q"}, "lowrank": {"r"}, "low_rank": {"r"}, "low-rank": {"r"}}.get(name, set())
    stray = [part for part in rest.split(",") if "=" not in part] if rest and name != "radix" else []
    if set(options) - allowed or stray:
        raise ValueError(
            f"cannot read the chain {text!r}: options of {name!r} are {', '.join(sorted(allowed)) or 'none'}"
        )
    try:
        if name == "radix":
            radices = [int(part) for part in rest.split(",")]
        numbers = {key: int(value) for key, value in options.items()}
    except ValueError as fault:
        raise ValueError(f"cannot read the chain {text!r}: the options take whole numbers") from fault
    if name in {"dyadic", "radix"} and shape[0] != shape[1]:
        raise ValueError(f"the {name} chain is for square matrices; got {shape[0]} x {shape[1]} (try 'monarch')")
    if name == "dyadic":
        return Chain.dyadic(shape[0])
    if name == "radix":
        return Chain.radix(shape[0], radices)
    if name == "monarch":
        return Chain.monarch(shape, numbers.get("p"), numbers.get("q"), numbers.get("r", 1))
    if name in {"lowrank", "low_rank", "low-rank"}:
        if "r" not in numbers:
            raise ValueError(f"the chain {text!r} needs a rank, for example 'lowrank:r=5'")
        return Chain.low_rank(shape, numbers["r"])
    if name == "dense":
        return Chain.dense(shape)
    raise ValueError(
        f"unknown chain {text!r}; expected 'dyadic', 'monarch[:r=2]', 'lowrank:r=5', 'radix:4,4,2', 'dense' "
        "or '[(a,b,c,d),...]'"
    )
