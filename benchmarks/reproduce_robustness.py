"""Every hand-made hostile input on every verb, and random ones: ``docs/measured/robustness.json``.

    python benchmarks/reproduce_robustness.py [SYSTEM]... [--random 300] [--most 100000]

What is tried, and what must not happen, stands in tests/robustness. A system that is named replaces its rows only.
"""

import argparse
import json
import os
import platform
import random
import sys
import time
from pathlib import Path

for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(variable, "1")
ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from hypothesis import HealthCheck, given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from tests.robustness.cases import all_cases, random_case, try_case  # noqa: E402
from tests.robustness.discovery import lines, verbs  # noqa: E402

RESULT = ROOT / "docs" / "measured" / "robustness.json"


def campaign(verb, most, n_random):
    """A row of the table: how many inputs were tried, how they ended, and what went wrong."""
    codes, faults, slowest = [], [], 0.0

    def attempt(case):
        nonlocal slowest
        done, wrong = try_case(case)
        codes.append(done.code)
        slowest = max(slowest, done.seconds)
        if wrong:
            faults.append(case)
            print(f"  {case}: {wrong}", flush=True)

    cases = all_cases(verb)
    chosen = random.Random(str(verb)).sample(cases, min(most, len(cases)))
    for case in chosen:
        attempt(case)
    known = list(lines(verb))
    if known and n_random:

        @settings(
            max_examples=n_random,
            database=None,
            derandomize=True,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(st.data())
        def at_random(data):
            attempt(random_case(data.draw, known))

        at_random()
    refused = sum(code in (2, 3) for code in codes)
    return {
        "system": verb.system,
        "verb": verb.name or "-",
        "hand-made": len(chosen),
        "random": len(codes) - len(chosen),
        "answered": codes.count(0),
        "refused": refused,
        "faults": len(faults),
        "slowest, s": round(slowest, 1),
    }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("systems", nargs="*")
    parser.add_argument("--random", type=int, default=300)
    parser.add_argument("--most", type=int, default=100_000, help="hand-made cases of a verb at most")
    options = parser.parse_args()
    known = json.loads(RESULT.read_text("utf-8"))["table"] if RESULT.exists() else []
    rows = {(row["system"], row["verb"]): row for row in known}
    for verb in verbs():
        if not options.systems or verb.system in options.systems:
            start = time.perf_counter()
            row = campaign(verb, options.most, options.random)
            rows[verb.system, row["verb"]] = row
            print(row, f"{time.perf_counter() - start:.0f} s", flush=True)
            order = [v.system for v in verbs()]
            table = sorted(rows.values(), key=lambda r: order.index(r["system"]) if r["system"] in order else 99)
            RESULT.write_text(
                json.dumps({"python": platform.python_version(), "table": table}, indent=1) + "\n", "utf-8"
            )


if __name__ == "__main__":
    main()
