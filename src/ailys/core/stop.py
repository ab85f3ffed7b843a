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
    ``numbers`` name -> value as text; ``remark`` a sentence on what to see here; ``guarantee`` what is proved of this
    frame, where that changes along the slider.
    """

    label: str
    svg: str
    numbers: Mapping[str, str]
    remark: str = ""
    guarantee: Guarantee | None = None


@dataclass(frozen=True)
class Exhibit:
    """What a stop found: frames (one, or several behind a slider), data used, guarantee of the frames that state none."""

    frames: tuple[Frame, ...]
    data: str
    guarantee: Guarantee | None
    slider: str = ""
    start: int = 0  # the frame shown first

    @property
    def shown_guarantee(self) -> Guarantee | None:
        """That of the frame shown first, or of all frames."""
        return self.frames[self.start].guarantee or self.guarantee


@dataclass(frozen=True)
class Stop:
    """A stop: the question for a curious citizen, the explanation, the work, the command to redo it.

    ``run`` gets a generator and returns an `Exhibit`; it runs in a process of its own and takes about ``seconds`` on two
    cores.
    """

    name: str
    title: str
    question: str
    story: str
    command: str
    run: Callable[[np.random.Generator], Exhibit]
    seconds: float = 10.0
