"""The guarantee that comes with an answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

__all__ = ["Guarantee"]


@dataclass(frozen=True)
class Guarantee:
    """What is proved about an answer, in words and in numbers.

    Parameters
    ----------
    kind : the field's word: "error-bound", "optimal", "delta-correct", "epsilon-dp", "coverage", ...
    statement : one sentence with its numbers in it
    level : the number that a person would compare (a factor, a probability, a budget), or None
    values : further numbers by name, for machines
    assumptions : what has to be true for the statement to hold
    source : the paper and theorem, or the page of the documentation that holds the argument

    Examples
    --------
    >>> g = Guarantee("error-bound", "at most twice the best error", level=2.0, source="page X")
    >>> float(g), str(g)
    (2.0, 'at most twice the best error [page X]')
    """

    kind: str
    statement: str
    level: float | None = None
    values: Mapping[str, float] = field(default_factory=dict)
    assumptions: tuple[str, ...] = ()
    source: str = ""

    def __post_init__(self) -> None:
        # a read-only copy: a guarantee does not change after it was given
        object.__setattr__(self, "values", MappingProxyType(dict(self.values)))
        object.__setattr__(self, "assumptions", tuple(self.assumptions))

    def __str__(self) -> str:
        return f"{self.statement} [{self.source}]" if self.source else self.statement

    def __float__(self) -> float:
        if self.level is None:
            raise TypeError(f"a guarantee of kind {self.kind!r} has no level")
        return float(self.level)

    def __reduce__(self) -> tuple[object, ...]:  # a mapping proxy does not pickle by itself
        fields = (self.kind, self.statement, self.level, dict(self.values), self.assumptions, self.source)
        return Guarantee, fields

    def to_dict(self) -> dict[str, object]:
        """Machine-readable form."""
        return {
            "kind": self.kind,
            "statement": self.statement,
            "level": self.level,
            "values": dict(self.values),
            "assumptions": list(self.assumptions),
            "source": self.source,
        }
