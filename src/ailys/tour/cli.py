"""``ailys tour``."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import typer

from ..core.console import Exit, Json, SeedOption, print_json, progress, show_table, warn

app = typer.Typer(add_completion=False)


@app.command(help="Run the stops of the tour, on shipped data and on stated models, and write one page, index.html.")
def tour(
    stops: Annotated[
        list[str] | None, typer.Argument(help="Stops or systems; default: all.", metavar="[STOP]...")
    ] = None,
    out: Annotated[Path, typer.Option("--out", help="Folder of the page.")] = Path("ailys-tour"),
    open_page: Annotated[bool, typer.Option("--open", help="Open the page in a browser afterwards.")] = False,
    listing: Annotated[bool, typer.Option("--list", help="List the stops and end.")] = False,
    seed: SeedOption = 0,
    as_json: Json = False,
) -> None:
    from ..core.files import write_text
    from . import MARK, render, run_stops, select_stops

    selected = select_stops(stops or [])
    if listing and as_json:
        print_json([{"stop": n, "domain": d, "title": s.title} for n, (d, s) in selected.items()])
        return
    if listing:
        show_table(None, ("stop", "system", "title"), [(n, d, s.title) for n, (d, s) in selected.items()])
        return
    page = out / "index.html"
    if page.exists() and MARK not in page.read_text(encoding="utf-8", errors="replace"):
        raise FileExistsError(f"{page} exists and is not a page of the tour; choose another folder with --out")
    out.mkdir(parents=True, exist_ok=True)
    if not as_json:
        seconds = 10 * math.ceil(sum(stop.seconds for _, stop in selected.values()) / 10)
        stops_are = "1 stop" if len(selected) == 1 else f"{len(selected)} stops"
        warn(f"{stops_are}: about {seconds} seconds on two cores, twice as long the first time (code is compiled)")
    outcomes = []
    with progress(silent=as_json) as display:
        task = display.add_task("tour", total=len(selected))
        running = run_stops(selected, seed)
        for _, stop in selected.values():
            display.update(task, description=stop.title)
            outcomes.append(next(running))
            display.advance(task)
    write_text(page, render(outcomes, seed=seed))
    if as_json:
        report = [
            {
                "stop": o.stop.name,
                "domain": o.domain,
                "ok": o.exhibit is not None,
                "seconds": o.seconds,
                "peak_bytes": o.peak_bytes,
                "fault": o.fault,
                "guarantee": promised.to_dict() if promised else None,
            }
            for o in outcomes
            for promised in [o.exhibit.shown_guarantee if o.exhibit else None]
        ]
        print_json({"page": str(page), "stops": report})
    else:
        rows = [
            (
                o.stop.title,
                o.domain,
                "ok" if o.exhibit else f"failed: {o.fault}",
                f"{o.seconds:.1f} s",
                f"{o.peak_bytes / 1e6:.0f} MB" if o.peak_bytes else "-",
            )
            for o in outcomes
        ]
        show_table(None, ("stop", "system", "state", "time", "peak memory"), rows)
        print(f"page: {page}")
    if open_page:
        import webbrowser

        webbrowser.open(page.resolve().as_uri())
    if any(o.exhibit is None for o in outcomes):
        raise typer.Exit(Exit.FAILED)
