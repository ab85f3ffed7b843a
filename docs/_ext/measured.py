"""Tables of the benchmarks: ``docs/measured/<name>.json`` becomes ``docs/_generated/<name>.md``.

The JSON is written by ``benchmarks/conftest.py``. Groups are named "work: case"; each kind of work gets a table
with a row for each case and a column for each contestant. A page shows the result with an ``include``.
"""

import json
from pathlib import Path

from ailys.domains import DOMAINS

DENSE = "dense"  # the contestant that is the full matrix, no peer


def is_ours(contestant: str) -> bool:
    return contestant.startswith("ailys")


def human_time(seconds: float) -> str:
    """Three digits with a unit.

    >>> human_time(0.000393), human_time(0.0195), human_time(101.27)
    ('393 µs', '19.5 ms', '101 s')
    """
    unit, size = next(((u, s) for u, s in (("µs", 1e-6), ("ms", 1e-3)) if seconds < 999.5 * s), ("s", 1.0))
    value = seconds / size
    digits = 2 if value < 9.995 else 1 if value < 99.95 else 0
    return f"{value:.{digits}f} {unit}"


def ratio(other: float, ours: float) -> str:
    """How many times longer the other took: "76x", "1.8x".

    >>> ratio(76.2, 1), ratio(1.84, 1)
    ('76x', '1.8x')
    """
    value = other / ours
    return f"{value:.0f}x" if value >= 9.95 else f"{value:.1f}x"


def table(cases: dict[str, dict[str, float]]) -> str:
    """Markdown table of the seconds by case and contestant, ours first and the full matrix last."""
    names = list(dict.fromkeys(name for times in cases.values() for name in times))
    names.sort(key=lambda name: (not is_ours(name), name == DENSE))  # stable: otherwise as they come
    dense = DENSE in names
    rows = [["case", *names, "fastest peer / ours", *(["dense / ours"] if dense else [])]]
    for case, times in cases.items():
        ours = next((seconds for name, seconds in times.items() if is_ours(name)), None)
        peers = [seconds for name, seconds in times.items() if not is_ours(name) and name != DENSE]
        row = [case, *(human_time(times[name]) if name in times else "-" for name in names)]
        row.append(ratio(min(peers), ours) if peers and ours else "-")
        if dense:
            row.append(ratio(times[DENSE], ours) if DENSE in times and ours else "-")
        rows.append(row)
    rows.insert(1, [":---", *["---:"] * (len(rows[0]) - 1)])
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows)


def plain_table(rows: list[dict]) -> str:
    """Markdown table of records that share their keys."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    lines = [columns, [":---"] + ["---:"] * (len(columns) - 1)]
    lines += [[str(row.get(column, "-")) for column in columns] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def page(measured: dict) -> str:
    """Markdown of a result: where and when it was measured, and a table for each kind of work."""
    if "table" in measured:
        return plain_table(measured["table"]) + "\n"
    kinds: dict[str, dict[str, dict[str, float]]] = {}
    for row in measured["rows"]:
        kind, _, case = row["group"].partition(": ")
        kinds.setdefault(kind, {}).setdefault(case, {})[row["name"]] = row["seconds"]
    parts = [f"Measured on {measured['machine']}; Python {measured['python']}, {measured['date']}."]
    for kind, cases in kinds.items():
        first = next(name for name in next(iter(cases.values())))
        parts += [f"**{kind.capitalize()}** (ours in the ratios: {first})", table(cases)]
    return "\n\n".join(parts) + "\n"


def write_pages(source: Path) -> None:
    """A file for each system and each result; unchanged ones are left alone."""
    results = {path.stem: path for path in sorted((source / "measured").glob("*.json"))}
    target = source / "_generated"
    target.mkdir(exist_ok=True)
    for name in [*DOMAINS, *(name for name in results if name not in DOMAINS)]:
        text = page(json.loads(results[name].read_text("utf-8"))) if name in results else "Not measured yet.\n"
        file = target / f"{name}.md"
        if not file.exists() or file.read_text("utf-8") != text:
            file.write_text(text, "utf-8")


def setup(app) -> dict[str, bool]:
    app.connect("builder-inited", lambda app: write_pages(Path(app.srcdir)))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
