"""Running stops: each in a process of its own, so that a fault or a large memory stays there."""

from __future__ import annotations

import importlib
import multiprocessing
import time
import traceback
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

import numpy as np

from ..core.stop import Exhibit, Stop
from ..domains import DOMAINS

__all__ = ["Outcome", "all_stops", "run_stops", "select_stops"]


@dataclass(frozen=True)
class Outcome:
    """What came of a stop: its exhibit or the reason of its failure, and what it cost.

    ``seconds`` is the wall time of the work; ``peak_bytes`` the largest resident memory of its
    process, interpreter and libraries included (None where the system does not tell).
    """

    domain: str
    stop: Stop
    exhibit: Exhibit | None
    seconds: float
    peak_bytes: int | None
    fault: str = ""


def all_stops() -> dict[str, tuple[str, Stop]]:
    """Every stop by name, with its domain, in the order of the talk."""
    stops: dict[str, tuple[str, Stop]] = {}
    for domain in DOMAINS:
        module = importlib.import_module(f"ailys.{domain}.tour")
        for stop in module.STOPS:
            stops[stop.name] = domain, stop
    return stops


def select_stops(names: Sequence[str]) -> dict[str, tuple[str, Stop]]:
    """The stops named, by their own name or that of their domain; all of them by default."""
    stops = all_stops()
    if not names:
        return stops
    for name in names:
        if name not in stops and name not in DOMAINS:
            near = get_close_matches(name, [*stops, *DOMAINS], n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"the stops are {', '.join(stops)}"
            raise ValueError(f"no stop or system is called {name!r}; {hint}")
    return {name: entry for name, entry in stops.items() if name in names or entry[0] in names}


def run_stops(stops: dict[str, tuple[str, Stop]], seed: int | None = 0) -> Iterator[Outcome]:
    """Run the stops one after the other; a stop that fails gives an outcome with its fault."""
    context = multiprocessing.get_context("spawn")
    for name, (domain, stop) in stops.items():
        start = time.perf_counter()
        with ProcessPoolExecutor(max_workers=1, mp_context=context) as pool:
            try:
                exhibit, seconds, peak, fault = pool.submit(_work, domain, name, seed).result()
            except BrokenProcessPool:
                exhibit, seconds, peak = None, time.perf_counter() - start, None
                fault = "the process of this stop ended abruptly (killed, or out of memory)"
        yield Outcome(domain, stop, exhibit, seconds, peak, fault)


def _work(domain: str, name: str, seed: int | None) -> tuple[Exhibit | None, float, int | None, str]:
    """In the stop's own process: run it, time it, read its peak memory."""
    start = time.perf_counter()
    try:
        stop = next(s for s in importlib.import_module(f"ailys.{domain}.tour").STOPS if s.name == name)
        exhibit, fault = stop.run(np.random.default_rng(seed)), ""
    except Exception as error:
        exhibit = None
        last = traceback.extract_tb(error.__traceback__)[-1]
        fault = f"{type(error).__name__}: {error} ({Path(last.filename).name}, line {last.lineno})"
    return exhibit, time.perf_counter() - start, peak_memory(), fault


def peak_memory() -> int | None:
    """Largest resident memory of this process so far, in bytes."""
    try:  # Linux: that of this program image; getrusage would include the parent's before the fork
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    try:
        import resource
    except ImportError:
        return None
    return int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
