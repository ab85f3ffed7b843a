"""What all agents share: asking, telling, recommending, and a state that survives.

An agent says which arm to draw (`ask`), learns the outcome (`tell`), says whether it may stop
(`should_stop`) and what it recommends (`recommend`). Several asks before a tell are allowed: each is a trial with
a number, and a trial can be told once.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ..core.answer import Answer
from ..core.guarantee import Guarantee
from ..core.randomness import Seed, as_generator
from .families import Family, as_family
from .state import SCHEMA, EventLog, read_state, restore_generator, save_state, state_text, stored_generator

__all__ = ["IN_ORDER", "Agent", "Recommendation"]

IN_ORDER = "outcomes arrive in the order of the draws, or how late they come does not depend on the outcomes"


@dataclass(frozen=True)
class Recommendation(Answer):
    """The arm an agent would name now.

    Attributes
    ----------
    action : index or label of the arm
    confidence : 1 - delta if the agent has stopped by a proved rule, else None
    epsilon : the arm is within epsilon of the best with that confidence
    stopped : whether the stopping rule has been met
    n_samples : outcomes observed
    statistic, threshold : evidence against the hardest rival and what it has to exceed (None without a stopping rule)
    """

    action: Any
    confidence: float | None
    epsilon: float
    stopped: bool
    n_samples: int
    statistic: float | None = None
    threshold: float | None = None
    proof: Guarantee | None = None

    def facts(self) -> Mapping[str, Any]:
        """The fields, in order."""
        names = ("action", "confidence", "epsilon", "stopped", "n_samples", "statistic", "threshold")
        return {name: getattr(self, name) for name in names}

    @property
    def guarantee(self) -> Guarantee | None:
        """That of the stopping rule, once it is met."""
        return self.proof


class Agent(ABC):
    """Base of the agents on finitely many arms.

    Parameters
    ----------
    n_arms : number of arms (>= 2), or their labels
    family : reward family
    rng : generator or seed for ties and posterior samples
    log : path of a CSV file to which every ask and tell is appended
    parameters : what the subclass was built with, as JSON can hold it

    Raises
    ------
    ValueError
        fewer than two arms or labels that are equal, an unknown family, a parameter out of its range
    FileExistsError
        the log exists already

    Examples
    --------
    >>> from ailys.bandits import UCB
    >>> agent = UCB(["old", "new"], rng=0)
    >>> for outcome in (0, 1, 1):
    ...     agent.tell(agent.ask(), outcome)
    >>> agent.recommend().n_samples
    3
    """

    _fresh_first: ClassVar[bool] = (
        True  # with asks pending: arms that nobody has drawn nor been asked to draw come first
    )

    def __init__(
        self,
        n_arms: int | Sequence[Any],
        family: Family | str,
        rng: Seed,
        log: str | Path | None,
        parameters: Mapping[str, Any],
    ) -> None:
        self.actions: list[Any] | None = None
        if isinstance(n_arms, (int, np.integer)) and not isinstance(n_arms, bool):
            self.n_arms = int(n_arms)
        else:
            labels = _labels(n_arms)
            self.actions, self.n_arms = labels, len(labels)
            if min(len({str(label) for label in labels}), len(set(labels))) < len(labels):
                raise ValueError(f"the labels of the arms must differ; got {labels!r}")
        if self.n_arms < 2:
            raise ValueError(f"n_arms must be at least 2, or a list of at least two labels; got {n_arms!r}")
        self.family = as_family(family)
        self.rng = as_generator(rng)
        self.parameters = dict(parameters)
        self.counts = np.zeros(self.n_arms, np.int64)
        self.sums = np.zeros(self.n_arms)  # in the units of the kernels
        self.pending: dict[int, tuple[int, float | None, int]] = {}  # trial -> arm, propensity, time asked
        self._waiting = np.zeros(self.n_arms, np.int64)  # pending trials of each arm
        self._arm_of = None if self.actions is None else {label: i for i, label in enumerate(self.actions)}
        self.t = 0
        self._next = 1
        self._revision: int | None = None
        self.last_trial: int | None = None
        self._setup()
        self._log = EventLog.start(Path(log).absolute(), self._state()) if log is not None else None

    # -- what a subclass says -----------------------------------------------------------------------

    def _setup(self) -> None:  # noqa: B027  (optional)
        """Arrays that the subclass keeps."""

    @abstractmethod
    def _choose(self) -> int:
        """The arm to draw next."""

    def _propensity(self, arm: int) -> float | None:
        """Probability with which `_choose` has just taken this arm; None where it does not assign by chance."""
        return None

    def _observe(self, arm: int, reward: float) -> None:
        """Count a checked reward, in the units of the kernels."""
        self.counts[arm] += 1
        self.sums[arm] += reward

    def _extra(self) -> dict[str, Any]:
        """What the subclass adds to the state."""
        return {}

    def _restore(self, extra: Mapping[str, Any]) -> None:  # noqa: B027  (optional)
        """Take back what `_extra` gave."""

    @property
    def should_stop(self) -> bool:
        """Whether the stopping rule is met; agents that minimise regret never stop."""
        return False

    def recommend(self) -> Recommendation:
        """The arm of the best mean observed.

        Raises
        ------
        ValueError
            nothing has been observed yet
        """
        self._require_outcomes()
        best = int(np.argmax(np.where(self.counts > 0, self.means, -np.inf)))
        return Recommendation(self.label(best), None, 0.0, False, self.t)

    def _require_outcomes(self) -> None:
        if self.t == 0:
            raise ValueError(
                "nothing has been observed yet: tell at least one outcome before asking for a recommendation"
            )

    # -- asking and telling -------------------------------------------------------------------------

    @property
    def means(self) -> np.ndarray:
        """Means observed, in the units of the rewards; NaN where nothing was."""
        with np.errstate(invalid="ignore"):
            return np.asarray(self.family.from_unit(self.sums / self.counts))

    def label(self, arm: int) -> Any:
        """What the user calls an arm."""
        return arm if self.actions is None else self.actions[arm]

    def ask(self, size: int | None = None) -> Any:
        """The next arm to draw, or a list of ``size`` of them; ``last_trial`` and ``pending`` hold the trial numbers.

        Raises
        ------
        ValueError
            size < 1; another agent has written to the log
        """
        if size is not None:
            if not isinstance(size, (int, np.integer)) or size < 1:
                raise ValueError(f"size must be a whole number >= 1; got {size!r}")
            return [self.ask() for _ in range(size)]
        if self.pending and self._fresh_first:
            fresh = np.flatnonzero(self.counts + self._waiting == 0)
            arm = int(fresh[0]) if len(fresh) else self._choose()
        else:
            arm = self._choose()
        trial, chance = self._next, self._propensity(arm)
        if self._log is not None:
            self._log.append("ask", trial, arm, None, chance, self.t)
        self._next = trial + 1
        self.pending[trial] = (arm, chance, self.t)
        self._waiting[arm] += 1
        self.last_trial = trial
        return arm if self.actions is None else self.actions[arm]

    def tell(self, action: Any, reward: Any, trial: Any = None, *, observational: bool = False) -> None:
        """Report the outcome of a trial, or lists of actions, rewards and trials.

        Parameters
        ----------
        action : arm drawn, or a list
        reward : its outcome, or a list
        trial : number of the trial; without it the oldest pending trial of the arm is meant
        observational : accept an outcome of an arm that was not asked for

        Raises
        ------
        ValueError
            an unknown, repeated or mismatched trial, a reward that the family cannot have produced. Nothing is
            counted then, of a list neither.
        """
        many = isinstance(action, (list, tuple, np.ndarray)) and self._index(action) is None
        actions = list(action) if many else [action]
        rewards = _many(reward, "reward") if many else [reward]
        trials = [None] * len(actions) if trial is None else _many(trial, "trial") if many else [trial]
        if not len(actions) == len(rewards) == len(trials):
            raise ValueError(
                f"{len(actions)} actions, {len(rewards)} rewards, {len(trials)} trials: as many of each are needed"
            )
        taken: set[int] = set()
        checked = []
        for a, r, number in zip(actions, rewards, trials, strict=True):
            arm = self._index(a)
            if arm is None:
                known = f"0 to {self.n_arms - 1}" if self.actions is None else ", ".join(map(str, self.actions))
                raise ValueError(f"unknown arm {a!r}; the arms are {known}")
            value = self.family.check_reward(r)
            checked.append((arm, value, self._match(arm, number, taken, observational), float(r)))
        for arm, value, number, told in checked:
            if self._log is not None:  # in the units of the user
                self._log.append("observe" if number is None else "tell", number, arm, told, None, self.t)
            self._count(arm, value, number)

    def _count(self, arm: int, value: float, trial: int | None) -> None:
        if trial is not None:
            del self.pending[trial]
            self._waiting[arm] -= 1
        self._observe(arm, value)
        self.t += 1

    def _give_up(self, trial: int) -> None:
        raise ValueError(f"the log drops trial {trial}; {type(self).__name__} knows no dropped trials")

    def _index(self, action: Any) -> int | None:
        if self._arm_of is not None:
            try:
                return self._arm_of.get(action)
            except TypeError:  # a list is not a label
                return None
        if isinstance(action, (int, np.integer)) and not isinstance(action, bool) and 0 <= action < self.n_arms:
            return int(action)
        return None

    def _match(self, arm: int, trial: Any, taken: set[int], observational: bool) -> int | None:
        if trial is None:
            for number, (pending_arm, _, _) in self.pending.items():
                if pending_arm == arm and number not in taken:
                    taken.add(number)
                    return number
            if observational:
                return None
            raise ValueError(
                f"arm {self.label(arm)!r} has no pending trial: ask first, or pass observational=True for an outcome "
                "that was not asked for"
            )
        if trial in taken or trial not in self.pending:
            told = isinstance(trial, (int, np.integer)) and 0 < trial < self._next
            raise ValueError(f"trial {trial!r} {'was told already' if told else 'was never asked'}; nothing is counted")
        if self.pending[trial][0] != arm:
            asked = self.label(self.pending[trial][0])
            raise ValueError(f"trial {trial} was of arm {asked!r}, not of {self.label(arm)!r}; nothing is counted")
        taken.add(trial)
        return int(trial)

    # -- state --------------------------------------------------------------------------------------

    def _state(self) -> dict[str, Any]:
        log = getattr(self, "_log", None)
        return {
            "schema": SCHEMA,
            "class": type(self).__name__,
            "revision": (self._revision or 0) + 1,
            "n_arms": self.n_arms,
            "actions": self.actions,
            "family": str(self.family),
            "parameters": self.parameters,
            "counts": self.counts.tolist(),
            "sums": self.sums.tolist(),
            "t": self.t,
            "next_trial": self._next,
            "pending": {str(k): list(v) for k, v in self.pending.items()},
            "extra": self._extra(),
            "rng": stored_generator(self.rng),
            "log": None if log is None else str(log.path),
            "log_lines": 0 if log is None else log.lines,
            "log_digest": None if log is None else log.digest,
        }

    def to_json(self, path: str | Path | None = None) -> str:
        """The full state as JSON; with a path it is also written there, atomically and under a lock.

        A file that holds a state this agent does not come from is not overwritten.

        Raises
        ------
        FileExistsError
            the file holds a state that this agent does not come from
        ValueError
            another process holds the file; its state is damaged
        """
        state = self._state()
        if path is not None:
            save_state(state, Path(path), self._revision)
            self._revision = state["revision"]
        return state_text(state)

    @classmethod
    def from_json(cls, source: str | Path) -> Any:
        """The agent whose state is in a JSON text or file; events of its log that the state misses are replayed.

        Raises
        ------
        FileNotFoundError
            no such file, or its log is missing
        ValueError
            not a state, one of another class or version, edited or cut short, at odds with its log
        """
        state = read_state(source)
        kind = cls._kind(state)
        with _refusing(kind, _where(source)):
            agent = kind._revive(state)
            if state.get("log"):
                agent._log = EventLog(_log_path(state["log"], source), state["log_digest"], state["log_lines"])
                agent._replay(agent._log.resume())
        return agent

    @classmethod
    def from_log(cls, path: str | Path) -> Any:
        """The agent rebuilt from its log alone.

        Raises
        ------
        FileNotFoundError
            no such file
        ValueError
            not a log, or an edited one
        """
        initial, _, _ = EventLog.read(Path(path))
        kind = cls._kind(initial)
        with _refusing(kind, f"{path}: "):
            agent = kind._revive(initial)
            agent._log = EventLog(Path(path).absolute())
            agent._replay(agent._log.resume())
        return agent

    @classmethod
    def _kind(cls, state: Mapping[str, Any]) -> type[Agent]:
        """The class of the agent of a state, if it is one of this class."""
        kind = _agent_class(state.get("class"))
        if not issubclass(kind, cls):
            raise ValueError(
                f"the state is one of {kind.__name__}; load it with {kind.__name__}.from_json or Agent.from_json"
            )
        return kind

    @classmethod
    def _revive(cls, state: Mapping[str, Any]) -> Any:
        agent = cls._build(state, restore_generator(state["rng"]))
        counts, sums = np.array(state["counts"], np.int64), np.array(state["sums"], float)
        if counts.shape != agent.counts.shape or sums.shape != agent.sums.shape:
            raise ValueError(f"the state has {agent.n_arms} arms but {counts.size} counts and {sums.size} sums")
        if (counts < 0).any() or not np.isfinite(sums).all() or counts.sum() != state["t"]:
            raise ValueError("the counts of the state are negative, or do not add up to its number of outcomes")
        agent.counts[:], agent.sums[:] = counts, sums
        agent.t, agent._next = int(state["t"]), int(state["next_trial"])
        agent.pending = {int(k): (int(v[0]), v[1], int(v[2])) for k, v in state["pending"].items()}
        for trial, (arm, chance, asked) in agent.pending.items():
            possible = chance is None or 0 < float(chance) <= 1
            if not (0 <= arm < agent.n_arms and 0 < trial < agent._next and 0 <= asked <= agent.t and possible):
                raise ValueError(f"the state has a pending trial {trial} of arm {arm}, which cannot have been asked")
        for arm, _, _ in agent.pending.values():
            agent._waiting[arm] += 1
        agent._restore(state["extra"])
        agent._revision = int(state["revision"])
        return agent

    @classmethod
    def _build(cls, state: Mapping[str, Any], rng: np.random.Generator) -> Any:
        """A fresh agent with the parameters of a state."""
        arms = state["n_arms"] if state["actions"] is None else state["actions"]
        return cls(arms, family=state["family"], rng=rng, **dict(state["parameters"]))  # type: ignore[call-arg]

    def _replay(self, events: list[list[str]]) -> None:
        log, self._log = self._log, None
        for event, trial, action, reward, _, _ in events:
            if event == "ask":
                self.ask()
                if self.last_trial != int(trial) or self.pending[int(trial)][0] != int(action):
                    raise ValueError(f"the log asks arm {action} in trial {trial}; replaying it gives another one")
            elif event == "drop":
                self._give_up(int(trial))
            else:
                value = self.family.check_reward(float(reward))
                self._count(int(action), value, int(trial) if event == "tell" else None)
        self._log = log


@contextmanager
def _refusing(kind: type[Agent], where: str) -> Iterator[None]:
    """A state that cannot be taken is refused with a sentence that begins with its file."""
    try:
        yield
    except (KeyError, TypeError, IndexError, AttributeError, OverflowError) as fault:
        raise ValueError(f"{where}the state of {kind.__name__} misses or spoils a field: {fault}") from None
    except ValueError as fault:
        raise ValueError(f"{where}{fault}") from None


def _where(source: str | Path) -> str:
    return "" if str(source).lstrip().startswith("{") else f"{source}: "


def _log_path(stored: str, source: str | Path) -> Path:
    """Where the log is: where it was, or beside the state if both have been moved."""
    path = Path(stored)
    if not path.is_file() and not str(source).lstrip().startswith("{"):
        beside = Path(source).absolute().with_name(path.name)
        return beside if beside.is_file() else path
    return path


def _labels(arms: Any) -> list[Any]:
    """Labels as plain words and numbers, which a state can hold."""
    if isinstance(arms, (str, bytes, bool)) or not isinstance(arms, Iterable):
        raise ValueError(f"n_arms must be at least 2, or a list of at least two labels; got {arms!r}")
    labels = [label.item() if isinstance(label, np.generic) else label for label in arms]
    for label in labels:
        if not isinstance(label, (str, int, float)) or (isinstance(label, float) and not math.isfinite(label)):
            raise ValueError(f"a label must be a word, a finite number or a truth value; got {label!r}")
    return labels


def _many(values: Any, name: str) -> list[Any]:
    if isinstance(values, (str, bytes)) or not isinstance(values, Iterable) or np.ndim(values) == 0:  # type: ignore[arg-type]
        raise ValueError(f"{name} must be a list, as action is one; got {values!r}")
    return list(values)


def _agent_class(name: Any) -> type[Agent]:
    """The public agent of this name."""
    from . import AGENTS

    if not isinstance(name, str) or name not in AGENTS:
        raise ValueError(f"the state names the class {name!r}; this version knows {', '.join(sorted(AGENTS))}")
    return AGENTS[name]


def check_number(value: Any, name: str, low: float = 0.0, *, strict: bool = False) -> float:
    """A finite number that is at least (strictly: more than) ``low``."""
    ok = (
        isinstance(value, (int, float, np.integer, np.floating))
        and not isinstance(value, bool)
        and math.isfinite(value)
    )
    if not ok or value < low or (strict and value == low):
        raise ValueError(f"{name} must be a finite number {'>' if strict else '>='} {low:g}; got {value!r}")
    return float(value)
