"""A ledger of privacy spent: one file, which no number of processes and no crash can overspend.

A spend is written to disk before the data are touched (reserve, run, mark released); it is never given back. The file is complete
after every spend: it has no log beside it that a copy could forget, and its locks hold under all of its names. Amounts are
fractions written as text and compared exactly. The rows are chained by hashes, so that a row that was changed, removed
from the middle or never finished is noticed when the file is next opened.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.answer import Answer
from ..core.guarantee import Guarantee
from .account import BudgetExceeded, LedgerError, Terms, admit, relation, total
from .budget import PrivacySpent
from .noise import Amount

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["BudgetExceeded", "Ledger", "LedgerError", "LedgerReport"]

_APPLICATION = 0x41504C31  # marks the file as ours, in SQLite's header
_SCHEMA = (
    "CREATE TABLE ledger (key TEXT PRIMARY KEY, value TEXT NOT NULL)",
    "CREATE TABLE spends (number INTEGER PRIMARY KEY, time TEXT NOT NULL, label TEXT NOT NULL, dataset TEXT NOT NULL, "
    "mechanism TEXT NOT NULL, parameters TEXT NOT NULL, unit TEXT NOT NULL, amount TEXT NOT NULL, delta TEXT NOT NULL, "
    "neighbours TEXT NOT NULL, secure INTEGER NOT NULL, chain TEXT NOT NULL, status TEXT NOT NULL)",
)
_HASHED = (
    *("number", "time", "label", "dataset", "mechanism", "parameters", "unit", "amount", "delta", "neighbours"),
    "secure",
)
_PATIENCE = 120.0  # seconds to wait for other processes


class Ledger:
    """The budget of a data set, in an SQLite file.

    Parameters
    ----------
    path : the file; made if a cap is given and nothing is there, opened otherwise. It is never overwritten.
    epsilon, rho : cap of the sum of all spends, in one of the two currencies
    delta : cap of the sum of the failure probabilities; with ``epsilon`` and ``delta`` > 0, zCDP releases are accepted too

    Raises
    ------
    FileNotFoundError
        no such file and no cap to make one with, or no such folder
    LedgerError
        a file that is no ledger, is damaged, cannot be opened, or has another cap
    ValueError
        both epsilon and rho, or a cap that is not positive

    Notes
    -----
    Pure losses charged to a ledger in rho cost epsilon tanh(epsilon / 2). If releases for "replace" neighbours are among
    the spends, all losses are counted for "replace", where those for "add_remove" cost twice epsilon or four times rho.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> ledger = Ledger(pathlib.Path(tempfile.mkdtemp()) / "hospital.ledger", epsilon=1)
    >>> _ = ledger.spend(0.3, label="a count")
    >>> float(ledger.remaining)
    0.7
    """

    def __init__(
        self, path: str | Path, *, epsilon: Amount | None = None, rho: Amount | None = None, delta: Amount = 0
    ) -> None:
        self.path = Path(path)
        wanted = Terms.of(epsilon, rho, delta)
        if wanted is not None and not os.path.lexists(self.path):
            self._create(wanted)
        with self._transaction() as database:
            found = self._read_terms(database)
            self._identity = found["identity"]
            self.terms = Terms(found["unit"], Fraction(found["cap"]), Fraction(found["delta"]))
            self._rows(database)
        if wanted is not None and wanted != self.terms:
            raise LedgerError(
                f"{self.path} is a ledger already, with {self.unit} = {float(self.cap):g} and delta = {self.delta:g}; "
                "a cap is not changed afterwards: open it without one, or choose another file"
            )

    @property
    def unit(self) -> str:
        """Currency of the cap: "epsilon" or "rho"."""
        return self.terms.unit

    @property
    def cap(self) -> Fraction:
        """What all spends together may cost."""
        return self.terms.cap

    @property
    def delta(self) -> float:
        """Cap of the failure probabilities."""
        return float(self.terms.delta)

    @property
    def spent(self) -> Fraction:
        """What has been spent, in the ledger's unit (for an epsilon ledger with zCDP spends: at delta's cap)."""
        with self._transaction() as database:
            return total(self._rows(database), self.terms)

    @property
    def remaining(self) -> Fraction:
        """What is left."""
        return self.cap - self.spent

    def check(self, privacy: PrivacySpent) -> None:
        """Raise `BudgetExceeded` if this cost would be refused now; writes nothing.

        Raises
        ------
        BudgetExceeded
            this cost does not fit into what is left
        LedgerError
            a damaged file
        """
        with self._transaction() as database:
            admit(self._rows(database), privacy, self.terms)

    def spend(
        self,
        amount: Amount | None = None,
        *,
        epsilon: Amount | None = None,
        rho: Amount | None = None,
        delta: Amount = 0,
        neighbours: str = "add_remove",
        label: str = "",
        mechanism: str = "declared",
    ) -> int:
        """Record a cost that was incurred elsewhere, or is about to be; returns its number in the ledger.

        ``amount`` is in the ledger's unit.

        Parameters
        ----------
        amount : in the ledger's unit; or name the unit by ``epsilon`` or ``rho``
        delta : failure probability of the release
        neighbours : "add_remove" or "replace"
        label, mechanism : noted in the ledger

        Raises
        ------
        BudgetExceeded
            beyond the cap; nothing is recorded
        ValueError
            not exactly one amount, or one that is not positive
        LedgerError
            a damaged file
        """
        if sum(given is not None for given in (amount, epsilon, rho)) != 1:
            raise ValueError("give exactly one of amount (in the ledger's unit), epsilon and rho")
        if amount is not None:
            epsilon, rho = (amount, None) if self.unit == "epsilon" else (None, amount)
        privacy = PrivacySpent(epsilon, delta, rho, neighbours)  # type: ignore[arg-type]
        if privacy.amount <= 0:
            raise ValueError(f"a spend must be above 0; got {float(privacy.amount):g}")
        number = self.reserve(privacy, label=label, mechanism=mechanism)
        self.mark(number, "released")
        return number

    def reserve(
        self,
        privacy: PrivacySpent,
        *,
        label: str = "",
        dataset: str = "",
        mechanism: str = "",
        parameters: Mapping[str, Any] | None = None,
        secure: bool = True,
    ) -> int:
        """Write a spend to disk before its release is run; returns its number. It is never refunded.

        Parameters
        ----------
        privacy : the cost
        label, dataset, mechanism, parameters : noted in the ledger; public
        secure : whether the randomness is that of the operating system

        Raises
        ------
        BudgetExceeded
            beyond the cap; nothing is recorded
        ValueError
            a release with seeded randomness
        LedgerError
            a damaged file
        """
        if not secure:
            raise ValueError("a ledger accepts releases from the cryptographic source only; leave unsafe_rng out")
        with self._transaction(write=True) as database:
            rows = self._rows(database)
            admit(rows, privacy, self.terms)
            row = {
                "number": len(rows) + 1,
                "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                "label": str(label),
                "dataset": str(dataset),
                "mechanism": str(mechanism),
                "parameters": json.dumps(dict(parameters or {}), sort_keys=True, default=str),
                "unit": privacy.unit,
                "amount": str(privacy.amount),
                "delta": str(privacy.exact_delta),
                "neighbours": privacy.neighbours,
                "secure": 1,
            }
            row["chain"] = _link(rows[-1]["chain"] if rows else self._identity, row)
            row["status"] = "reserved"
            names = ", ".join(row)
            database.execute(f"INSERT INTO spends ({names}) VALUES ({', '.join(':' + name for name in row)})", row)
            # the number of rows and the last link: a row missing at the end is noticed
            head = {"count": str(row["number"]), "head": row["chain"]}
            database.executemany("UPDATE ledger SET value = ? WHERE key = ?", [(v, k) for k, v in head.items()])
        return int(str(row["number"]))

    def mark(self, number: int, status: str) -> None:
        """Note how a reserved release ended: "released" or "failed". The spend stays.

        Parameters
        ----------
        number : that `reserve` returned
        status : "released" or "failed"

        Raises
        ------
        LedgerError
            a damaged file
        """
        with self._transaction(write=True) as database:
            database.execute("UPDATE spends SET status = ? WHERE number = ?", (status, number))

    def history(self) -> list[dict[str, Any]]:
        """All spends, oldest first.

        Raises
        ------
        LedgerError
            a damaged file
        """
        with self._transaction() as database:
            rows = self._rows(database)
        return [
            {**{k: v for k, v in row.items() if k != "chain"}, "parameters": json.loads(row["parameters"])}
            for row in rows
        ]

    def report(self) -> LedgerReport:
        """What was spent, what is left, and the history, as an answer.

        Raises
        ------
        LedgerError
            a damaged file
        """
        with self._transaction() as database:
            rows = self._rows(database)
        sums = [float(total(rows[:k], self.terms)) for k in range(len(rows) + 1)]
        return LedgerReport(
            path=str(self.path),
            unit=self.unit,
            cap=float(self.cap),
            delta=self.delta,
            spent=sums[-1],
            remaining=float(self.cap - total(rows, self.terms)),
            neighbours=relation(rows),
            history=tuple({**row, "parameters": json.loads(row["parameters"])} for row in rows),
            cumulated=tuple(sums[1:]),
        )

    # -- the file -----------------------------------------------------------------------------------

    def _create(self, terms: Terms) -> None:
        folder = self.path.parent
        if not folder.is_dir():
            raise FileNotFoundError(f"cannot make {self.path}: the folder {folder} does not exist")
        name = str(folder / f".{self.path.name}.{os.urandom(8).hex()}")
        identity = os.urandom(16).hex()
        texts = terms.texts()
        keys = {**texts, "identity": identity, "count": "0", "head": identity, "terms": _link(identity, texts)}
        try:
            database = sqlite3.connect(name, isolation_level=None)
            try:
                database.execute("PRAGMA synchronous = EXTRA")
                database.execute(f"PRAGMA application_id = {_APPLICATION}")
                database.execute("PRAGMA user_version = 1")
                for statement in _SCHEMA:
                    database.execute(statement)
                database.executemany("INSERT INTO ledger VALUES (?, ?)", list(keys.items()))
            finally:
                database.close()
            try:
                os.link(name, self.path)  # fails if another process was first: then its ledger is opened
            except FileExistsError:
                return
            _sync_folder(folder)
        except sqlite3.Error:
            raise LedgerError(f"cannot make {self.path}: no permission to write there, or the disk is full") from None
        finally:
            for suffix in ("", "-wal", "-shm"):
                Path(name + suffix).unlink(missing_ok=True)

    @contextmanager
    def _transaction(self, write: bool = False) -> Iterator[sqlite3.Connection]:
        """A connection for one transaction, checked to be that of our ledger; faults of SQLite become sentences."""
        self._check_header()
        try:
            database = sqlite3.connect(
                f"{self.path.resolve().as_uri()}?mode=rw", uri=True, isolation_level=None, timeout=_PATIENCE
            )
        except sqlite3.Error:
            raise LedgerError(f"{self.path}: the ledger cannot be opened for writing; check the permissions") from None
        database.row_factory = sqlite3.Row
        try:
            database.execute("PRAGMA synchronous = EXTRA")
            database.execute("BEGIN IMMEDIATE" if write else "BEGIN")
            self._verify(database)
            yield database
            database.execute("COMMIT" if write else "ROLLBACK")
        except sqlite3.DatabaseError as fault:
            text = str(fault)
            if "locked" in text or "busy" in text:
                raise LedgerError(f"{self.path}: another process holds the ledger; try again") from None
            if "readonly" in text:
                raise LedgerError(f"{self.path}: the ledger cannot be written; check the permissions") from None
            if "full" in text or "disk I/O" in text:
                raise LedgerError(f"{self.path}: the disk is full or fails; nothing was released") from None
            raise self._damaged() from None
        finally:
            database.close()  # rolls back what was not committed; the last one folds the log into the file

    def _check_header(self) -> None:
        if not os.path.lexists(self.path):
            raise FileNotFoundError(f"{self.path}: no such ledger; make one with a cap (epsilon or rho)")
        if not self.path.is_file():
            raise LedgerError(f"{self.path} is not a file; give the name of a ledger")
        try:
            with self.path.open("rb") as file:
                header = file.read(100)
        except OSError:
            raise LedgerError(f"{self.path}: the ledger cannot be read; check the permissions") from None
        if header[:16] != b"SQLite format 3\0" or int.from_bytes(header[68:72], "big") != _APPLICATION:
            raise LedgerError(f"{self.path} is not a ledger of ailys; it was left as it is")

    def _verify(self, database: sqlite3.Connection) -> None:
        tables = database.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name")
        if tuple(row[0] for row in tables) != _SCHEMA:
            raise self._damaged()
        terms = self._read_terms(database)
        known = getattr(self, "_identity", None)
        if known is not None and terms["identity"] != known:
            raise LedgerError(f"{self.path}: another ledger took the place of this one; nothing was released")

    def _read_terms(self, database: sqlite3.Connection) -> dict[str, str]:
        terms = {row["key"]: row["value"] for row in database.execute("SELECT key, value FROM ledger")}
        if set(terms) != {"unit", "cap", "delta", "identity", "count", "head", "terms"}:
            raise self._damaged()
        if terms["terms"] != _link(terms["identity"], {k: terms[k] for k in ("unit", "cap", "delta")}):
            raise self._damaged()
        return terms

    def _rows(self, database: sqlite3.Connection) -> list[dict[str, Any]]:
        """All spends, after the pages and the chain of hashes were checked."""
        if [row[0] for row in database.execute("PRAGMA quick_check")] != ["ok"]:
            raise self._damaged()
        rows = [dict(row) for row in database.execute("SELECT * FROM spends ORDER BY number")]
        terms = self._read_terms(database)
        link = terms["identity"]
        for number, row in enumerate(rows, 1):
            link = _link(link, {name: row[name] for name in _HASHED})
            if row["number"] != number or row["chain"] != link:
                raise self._damaged()
        if terms["head"] != link or terms["count"] != str(len(rows)):
            raise self._damaged()
        return rows

    def _damaged(self) -> LedgerError:
        return LedgerError(
            f"{self.path}: the ledger is damaged or was changed by hand; it was left as it is. Restore a copy that holds "
            "all spends; without one, treat the whole budget as spent"
        )


@dataclass(frozen=True)
class LedgerReport(Answer):
    """The state of a ledger: cap, spent, left, history."""

    path: str
    unit: str
    cap: float
    delta: float
    spent: float
    remaining: float
    neighbours: str
    history: tuple[dict[str, Any], ...]
    cumulated: tuple[float, ...]

    @property
    def guarantee(self) -> Guarantee:
        """What all releases together promise."""
        delta = f" with delta = {self.delta:.3g}" if self.delta else ""
        return Guarantee(
            kind="epsilon-dp" if self.unit == "epsilon" else "zcdp",
            statement=f"all releases charged here together cost at most {self.unit} = {self.cap:g}{delta} for neighbours "
            f"{self.neighbours!r}; so far {self.spent:.6g}",
            level=self.cap,
            values={"cap": self.cap, "spent": self.spent, "delta": self.delta},
            assumptions=(
                "every release from these data is charged to this ledger",
                "nobody has more records in the data than the contributions of any of the releases",
                "the file is not replaced by an older copy, nor written by anything else",
            ),
            source="Rogers, Roth, Ullman and Vadhan 2016; Feldman and Zrnic 2021",
        )

    def facts(self) -> Mapping[str, Any]:
        """The account by name."""
        return {
            **{"path": self.path, "unit": self.unit, "cap": self.cap, "delta": self.delta, "spent": self.spent},
            **{"remaining": self.remaining, "neighbours": self.neighbours, "releases": len(self.history)},
            "history": [
                {name: value for name, value in row.items() if name not in ("chain", "secure")} for row in self.history
            ],
        }

    def plot(self, ax: Axes | None = None) -> Axes:
        """The budget as a bar, one piece a release, and what is left."""
        from ..core.figures import PALETTE, new_axes

        ax = new_axes(ax, figsize=(7, 2.2))
        start = 0.0
        for k, (row, end) in enumerate(zip(self.history, self.cumulated, strict=True)):
            colour = PALETTE[k % 5] if row["status"] == "released" else PALETTE[5]
            ax.barh(0, end - start, left=start, color=colour, edgecolor="white", height=0.6)
            if end - start > 0.08 * self.cap:
                name = row["label"] or row["mechanism"]
                ax.text((start + end) / 2, 0, name[:14], ha="center", va="center", color="white", fontsize=8)
            start = end
        ax.barh(0, self.cap - start, left=start, facecolor="none", edgecolor=PALETTE[5], height=0.6, linestyle="--")
        ax.set(xlim=(0, self.cap), ylim=(-0.6, 0.6), yticks=[], xlabel=f"{self.unit} spent")
        ax.set_title(f"{len(self.history)} releases; {self.remaining:.4g} of {self.cap:g} left")
        ax.grid(visible=False)
        return ax


def _link(previous: str, row: Mapping[str, Any]) -> str:
    text = json.dumps([previous, *([name, str(row[name])] for name in sorted(row))])
    return hashlib.sha256(text.encode()).hexdigest()


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
