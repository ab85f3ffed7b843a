"""The table of the audit: the claims of all systems become ``docs/_generated/claims.md``."""

from pathlib import Path

from ailys.audit import all_claims
from ailys.core.claim import Claim


def row(claim: Claim) -> str:
    """A line of the table: name, statement, level, and the answers whose guarantee the claim tries to break.

    >>> row(Claim("coverage", "the interval contains the median", bool, 0.05, covers=("MedianInterval",)))
    '| `coverage` | the interval contains the median | 0.05 | `MedianInterval` |'
    """
    covers = ", ".join(f"`{name}`" for name in claim.covers) or "-"
    statement = claim.statement.replace("|", r"\|")
    level = f"{claim.level:g}" + (f" (+ {claim.slack:g})" if claim.slack else "")
    return f"| `{claim.name}` | {statement} | {level} | {covers} |"


def page(claims: dict[str, tuple[Claim, ...]]) -> str:
    """A table for each system."""
    head = "| claim | what is promised | level | tries to break the guarantee of |\n|:---|:---|---:|:---|"
    return "\n\n".join(
        "\n".join([f"**{name}** ({len(group)} claims)\n", head, *(row(claim) for claim in group)])
        for name, group in claims.items()
    )


def write_page(source: Path) -> None:
    """The file; an unchanged one is left alone."""
    file = source / "_generated" / "claims.md"
    file.parent.mkdir(exist_ok=True)
    text = page(all_claims()) + "\n"
    if not file.exists() or file.read_text("utf-8") != text:
        file.write_text(text, "utf-8")


def setup(app) -> dict[str, bool]:
    app.connect("builder-inited", lambda app: write_page(Path(app.srcdir)))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
