"""What all answers have in common: facts to read, the same facts for machines, a guarantee."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from .guarantee import Guarantee

__all__ = ["Answer", "jsonable"]


class Answer(ABC):
    """Base of the frozen dataclasses that public functions return.

    A subclass says what its facts are, in order, under the field's names; `summary` and `to_dict`
    follow. An answer never prints by itself.
    """

    @property
    @abstractmethod
    def guarantee(self) -> Guarantee | None:
        """What is proved about this answer, or None where nothing is."""

    @abstractmethod
    def facts(self) -> Mapping[str, Any]:
        """The answer's facts by name, in the order in which a person reads them."""

    def summary(self) -> str:
        """The facts and the guarantee, a line each; lists of records are left to `to_dict`."""
        facts = {name: value for name, value in self.facts().items() if not isinstance(value, list)}
        width = max((len(name) for name in facts), default=0)
        lines = [f"{name.replace('_', ' '):<{width}}  {readable(value)}" for name, value in facts.items()]
        lines.append(f"{'guarantee':<{width}}  {self.guarantee or 'none: nothing is proved about this answer'}")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """The facts and the guarantee, ready for JSON."""
        guarantee = self.guarantee
        return {**jsonable(dict(self.facts())), "guarantee": guarantee.to_dict() if guarantee else None}


def readable(value: Any) -> str:
    """A fact as a person reads it: four digits are enough."""
    import numpy as np  # here: the help of the command line does without it

    if isinstance(value, (bool, np.bool_)):
        return "yes" if value else "no"
    if isinstance(value, (float, np.floating)):
        return f"{value:.4g}"
    if isinstance(value, (int, np.integer)):
        return f"{value:,}".replace(",", " ")
    if isinstance(value, np.ndarray):
        return ", ".join(f"{v:.3g}" for v in value.ravel()[:12]) + (", ..." if value.size > 12 else "")
    return "-" if value is None else str(value)


def jsonable(value: Any) -> Any:
    """Plain Python numbers, strings, lists and dictionaries from an answer's facts.

    Examples
    --------
    >>> import numpy as np
    >>> jsonable({"error": np.float32(0.5), "steps": np.arange(3)})
    {'error': 0.5, 'steps': [0, 1, 2]}
    """
    import numpy as np

    if isinstance(value, Mapping):
        return {str(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, range)):
        return [jsonable(item) for item in value]
    if isinstance(value, np.ndarray):
        return jsonable(value.tolist())
    if isinstance(value, np.generic):
        return jsonable(value.item())
    if isinstance(value, complex):
        return [value.real, value.imag]
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)  # JSON has neither NaN nor infinities
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)
