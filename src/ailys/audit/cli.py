"""``ailys audit``."""

from __future__ import annotations

from typing import Annotated

import typer

from ..core.console import Exit, Jobs, Json, SeedOption, check_jobs, print_json, progress, show_table, warn

app = typer.Typer(add_completion=False)


@app.command(help="Test each guarantee by experiment; exit code 1 if one is broken.")
def audit(
    domains: Annotated[list[str] | None, typer.Argument(help="Systems; default: all.", metavar="[SYSTEM]...")] = None,
    trials: Annotated[int, typer.Option(min=1, max=1_000_000, help="Trials of each claim.")] = 100,
    jobs: Jobs = 1,
    seed: SeedOption = 0,
    as_json: Json = False,
) -> None:
    from . import all_claims
    from . import audit as run_audit

    check_jobs(jobs)
    claims = all_claims(domains or [])
    verdicts = []
    with progress(silent=as_json) as display:
        task = display.add_task("audit", total=sum(len(group) for group in claims.values()))
        for domain, verdict in run_audit(claims, trials, rng=seed, n_jobs=jobs):
            verdicts.append((domain, verdict))
            display.update(task, advance=1, description=f"{domain}: {verdict.claim.name}")
    if as_json:
        print_json([{"domain": domain, **v.to_dict()} for domain, v in verdicts])
    else:
        rows = [
            (
                domain,
                v.claim.statement,
                f"{v.claim.level:g}",
                v.trials,
                v.violations,
                f"[{v.lower:.2g}, {v.upper:.2g}]",
                v.verdict,
            )
            for domain, v in verdicts
        ]
        confidence = verdicts[0][1].confidence if verdicts else 0.999
        columns = ("system", "claim", "promised", "trials", "violations", f"rate, {confidence:.1%} bounds", "verdict")
        show_table(None, columns, rows)
        for domain, v in verdicts:
            if v.fault:
                warn(f"{domain}, {v.claim.name}: {v.fault}")
    if any(v.verdict == "broken" for _, v in verdicts):
        raise typer.Exit(Exit.FAILED)
