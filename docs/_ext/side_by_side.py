"""The page of all figures: every ``docs/measured/*.json`` against the peers, the targets, the versions.

Nothing here names a system. A new result file, a new target in ``docs/targets.json`` and a new peer in the ``bench``
extra appear by themselves.
"""

import json
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from measured import DENSE, human_time, is_ours, page, ratio

from ailys.domains import DOMAINS


@dataclass(frozen=True)
class Cell:
    """One case of one kind of work: the seconds of each contestant."""

    system: str
    work: str
    case: str
    times: dict[str, float]

    def ours(self, name: str = "ailys") -> float | None:
        """Seconds of the first contestant of ours whose name starts so."""
        return next((s for n, s in self.times.items() if is_ours(n) and n.startswith(name)), None)

    def rival(self, name: str = "fastest peer") -> float | None:
        """Seconds of a peer, or of the fastest one."""
        if name != "fastest peer":
            return self.times.get(name)
        return min((s for n, s in self.times.items() if not is_ours(n) and n != DENSE), default=None)

    def gain(self, ours: str = "ailys", against: str = "fastest peer") -> float | None:
        """How many times longer the other took."""
        mine, other = self.ours(ours), self.rival(against)
        return None if mine is None or other is None else other / mine


def cells(results: dict[str, dict]) -> list[Cell]:
    """All cases of all systems."""
    found: dict[tuple[str, str, str], dict[str, float]] = {}
    for system, measured in results.items():
        for row in measured.get("rows", ()):
            work, _, case = row["group"].partition(": ")
            found.setdefault((system, work, case), {})[row["name"]] = row["seconds"]
    return [Cell(*key, times) for key, times in found.items()]


def markdown(columns: list[str], rows: list[list[str]]) -> str:
    """A Markdown table, the first column to the left."""
    lines = [columns, [":---"] + ["---:"] * (len(columns) - 1), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def overview(all_cells: list[Cell]) -> str:
    """A row for each kind of work: how often, and by how much, ours is faster than the fastest peer."""
    rows = []
    for system, work in dict.fromkeys((c.system, c.work) for c in all_cells):
        group = [c for c in all_cells if (c.system, c.work) == (system, work)]
        gains = sorted(g for g in (c.gain() for c in group) if g is not None)
        if not gains:
            continue
        peers = dict.fromkeys(n.partition(",")[0] for c in group for n in c.times if not is_ours(n) and n != DENSE)
        span = [ratio(gains[0], 1), ratio(median(gains), 1), ratio(gains[-1], 1), str(sum(g < 1 for g in gains))]
        rows.append([f"{system}, {work}", str(len(gains)), *span, " <br> ".join(peers)])
    return markdown(["work", "cases", "least", "median", "most", "slower in", "peers"], rows)


def slower(all_cells: list[Cell]) -> str:
    """Every case in which a peer, or the dense matrix, is faster than the first contestant of ours."""
    rows = []
    for cell in all_cells:
        mine = cell.ours()
        for name, seconds in cell.times.items():
            if mine is not None and not is_ours(name) and seconds < mine:
                rows.append([f"{cell.system}, {cell.work}: {cell.case}", name, human_time(mine), human_time(seconds), ratio(seconds, mine)])  # fmt: skip
    return markdown(["case", "who is faster", "ours", "theirs", "theirs / ours"], rows) if rows else "None."


def verdicts(targets: list[dict], all_cells: list[Cell]) -> str:
    """Each target against its worst case; missed ones first."""
    rows = []
    for target in targets:
        group = [
            c for c in all_cells if c.system == target["system"] and re.search(target["cases"], f"{c.work}: {c.case}")
        ]
        name, rival = target.get("ours", "ailys"), target.get("against", "fastest peer")
        if "seconds" in target:
            found = [(c.ours(name), c) for c in group if c.ours(name) is not None]
            worst = max(found, key=lambda pair: pair[0], default=None)
            met, goal = worst is not None and worst[0] <= target["seconds"], f"at most {human_time(target['seconds'])}"
            value = human_time(worst[0]) if worst else "-"
        else:
            found = [(c.gain(name, rival), c) for c in group if c.gain(name, rival) is not None]
            worst = min(found, key=lambda pair: pair[0], default=None)
            met, goal = (
                worst is not None and worst[0] >= target["ratio"],
                f"{rival} / ours at least {target['ratio']:g}",
            )
            value = ratio(worst[0], 1) if worst else "-"
        verdict = "not measured" if worst is None else "met" if met else "**missed**"
        rows.append([f"{target['system']}: {target['what']}", goal, value, worst[1].case if worst else "-", verdict])
    rows.sort(key=lambda row: ("missed" not in row[-1], "not" not in row[-1]))
    return markdown(["target", "asked", "worst case", "where", "verdict"], rows)


def versions(root: Path, results: dict[str, dict]) -> str:
    """Versions of the peers: as recorded with a result, or else as pinned for the ``bench`` extra."""
    project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]
    names = [re.split(r"[\s<>=!~;\[]", text, maxsplit=1)[0] for text in [*project["dependencies"], *project["optional-dependencies"]["bench"]]]  # fmt: skip
    pins = dict(line.split("==") for line in (root / "constraints.txt").read_text().split() if "==" in line)
    known = {name: pins[name] for name in sorted(set(names), key=str.lower) if name in pins}
    rows = [[name, version, "constraints.txt"] for name, version in known.items()]
    for system, measured in results.items():
        rows += [[name, version, system] for name, version in measured.get("versions", {}).items() if known.get(name) != version]  # fmt: skip
    return markdown(["library", "version", "from"], rows)


def sections(results: dict[str, dict]) -> Iterator[str]:
    """The tables of the systems, in the order of the talk; results that belong to no system come last."""
    order = {name: place for place, name in enumerate(DOMAINS)}
    for name in sorted(results, key=lambda n: (order.get(n.split("-")[0], len(order)), n)):
        yield f"## {name.replace('-', ', ').capitalize()}\n\n{page(results[name])}"


def numbers(docs: Path) -> str:
    """The whole page."""
    docs = docs.resolve()
    results = {path.stem: json.loads(path.read_text("utf-8")) for path in sorted((docs / "measured").glob("*.json"))}
    targets = json.loads((docs / "targets.json").read_text("utf-8"))
    all_cells = cells(results)
    parts = [
        "## Ours against the fastest peer\n\n"
        "How many times longer the fastest peer takes than the first contestant of ours, in one process: the least, the "
        "median and the most over the cases of a kind of work, and in how many of them the peer is faster.\n\n"
        + overview(all_cells),
        "## Targets\n\nWhat was asked for before the work began, against the worst case.\n\n"
        + verdicts(targets, all_cells),
        "## Where ours is slower\n\n" + slower(all_cells),
        "## Versions\n\n" + versions(docs.parent, results),
        *sections(results),
    ]
    return "\n\n".join(parts) + "\n"


def write(docs: Path) -> None:
    """``docs/_generated/numbers.md``."""
    (docs / "_generated").mkdir(exist_ok=True)
    file, text = docs / "_generated" / "numbers.md", numbers(docs)
    if not file.exists() or file.read_text("utf-8") != text:
        file.write_text(text, "utf-8")


def setup(app) -> dict[str, bool]:
    app.connect("builder-inited", lambda app: write(Path(app.srcdir)))
    return {"parallel_read_safe": True, "parallel_write_safe": True}


if __name__ == "__main__":
    write(Path(__file__).parents[1])
