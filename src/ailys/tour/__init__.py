"""The tour: every system shows itself on real data or a stated model, on one page that stands by itself."""

from .page import MARK, render
from .runner import Outcome, all_stops, run_stops, select_stops

__all__ = ["MARK", "Outcome", "all_stops", "render", "run_stops", "select_stops"]
