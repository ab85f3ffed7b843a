"""A stop of the tour: what a system shows of itself on real input."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from .guarantee import Guarantee

__all__ = ["Exhibit", "Frame", "Stop"]


@dataclass(frozen=True)
class Frame:
    """One position of a stop's slider: a figure and its numbers.

    ``label`` is what the slider shows; ``svg`` an inline figure from `ailys.core.figures.to_svg`;
    ``numbers`` name -> value as text; ``remark`` a sentence on what to see here.
    """

    label: str
    svg: str
    numbers: Mapping[str, str]
    remark: str = ""


@dataclass(frozen=True)
class Exhibit:
    """What a stop found: frames (one, or several behind a slider), data used, guarantee."""

    frames: tuple[Frame, ...]
    data: str
    guarantee: Guarantee | None
    slider: str = ""
    start: int = 0  # the frame shown first


@dataclass(frozen=True)
class Stop:
    """A stop: the question for a curious citizen, the explanation, the work, the command to redo it.

    ``run`` gets a generator and returns an `Exhibit`; it runs in a process of its own.
    """

    name: str
    title: str
    question: str
    story: str
    command: str
    run: Callable[[np.random.Generator], Exhibit]
