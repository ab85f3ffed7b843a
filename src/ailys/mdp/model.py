"""The model: a decision process given by the table of its outcomes.

Row ``i = s * A + a`` lists the outcomes of action ``a`` in state ``s``: probability, next state and
reward. Two outcomes may share the next state and differ in the reward: a random reward keeps its
law, because its average is enough for the mean return and falsifies every measure of risk.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Sequence
from functools import cached_property
from typing import Any, Literal

import numpy as np

from ._reading import (
    LARGEST_RETURN,
    MASS_TOLERANCE,
    Outcome,
    count,
    discount_factor,
    gymnasium_rows,
    initial_law,
    matrices_by_action,
    positive,
    reachable_rows,
    read_row,
    state_mask,
    whole_numbers,
)

__all__ = ["TabularMDP"]


class TabularMDP:
    """A Markov decision process with finitely many states and actions; rewards are maximised.

    Parameters
    ----------
    indptr : (S * A + 1,) where the outcomes of each row begin and end; (H * S * A + 1,) for a model that
        changes with time, stage after stage
    next_state : (nnz,) next state of each outcome
    prob : (nnz,) probability of each outcome; zeros are dropped
    reward : (nnz,) reward of each outcome, or (S * A,) if it is certain in each row
    n_states, n_actions : S and A
    horizon : number of decisions H, or None for an endless process
    discount : in (0, 1]; the return is ``G = sum_t discount^t r_t``
    initial : law of the first state (S,), or one state; state 0 when not given
    terminal : states (indices, or a mask) in which nothing happens any more, whatever their rows say
    mask : (S, A) allowed actions; the rows of the others are dropped
    criterion : "return", or "total" for an undiscounted sum without a horizon
    labels : names of the states, for reading

    Raises
    ------
    ValueError
        probabilities, rewards or states that are not what they should be; names the first state and action at fault

    Examples
    --------
    >>> coin = TabularMDP([0, 1, 3], [0, 0, 0], [1, 0.5, 0.5], [0.2, 1.0, -0.5], 1, 2, horizon=1)
    >>> coin
    TabularMDP(1 state, 2 actions, 3 outcomes, horizon 1)
    >>> coin.outcomes(0, 1)
    [(0.5, 0, 1.0), (0.5, 0, -0.5)]
    """

    def __init__(
        self,
        indptr: Any,
        next_state: Any,
        prob: Any,
        reward: Any,
        n_states: int,
        n_actions: int,
        *,
        horizon: int | None = None,
        discount: float = 1.0,
        initial: Any = None,
        terminal: Any = None,
        mask: Any = None,
        criterion: Literal["return", "total"] = "return",
        labels: Sequence[Hashable] | None = None,
    ) -> None:
        self.n_states = positive(n_states, "n_states")
        self.n_actions = positive(n_actions, "n_actions")
        self.horizon = None if horizon is None else positive(horizon, "horizon")
        self.discount = discount_factor(discount)
        if criterion not in ("return", "total"):
            raise ValueError(f"criterion must be 'return' or 'total'; got {criterion!r}")
        self.criterion = criterion
        if self.horizon is None and self.discount == 1 and criterion != "total":
            raise ValueError(
                "a discount of 1 needs a horizon: give horizon=, discount < 1, or criterion='total' if every policy ends"
            )
        if criterion == "total" and (self.horizon is not None or self.discount != 1):
            raise ValueError("criterion='total' is a sum without horizon and discount; leave both out")
        indptr, next_state, prob, reward = self._columns(indptr, next_state, prob, reward)
        self.terminal = state_mask(terminal, self.n_states, "terminal")
        allowed = self._allowed(mask, (len(indptr) - 1) // (self.n_states * self.n_actions))
        cleaned = self._cleaned(indptr, next_state, prob, reward, allowed)
        self.indptr, self.next_state, self.prob, self._reward, self._certain = cleaned
        self._check_size()
        self.initial = initial_law(initial, self.n_states)
        if labels is not None and len(labels) != self.n_states:
            raise ValueError(f"labels must name the {self.n_states} states; got {len(labels)} of them")
        self.labels = None if labels is None else tuple(labels)
        for array in (self.indptr, self.next_state, self.prob, self._reward, self.initial, self.terminal):
            array.flags.writeable = False

    # ------------------------------------------------------------------ other ways to give a model

    @classmethod
    def from_outcomes(cls, outcomes: Sequence[Sequence[Iterable[Outcome] | None]], **options: Any) -> TabularMDP:
        """From ``outcomes[s][a]``, a list of ``(probability, next state, reward)``; None or [] forbids the action.

        ``options`` are those of the constructor (``horizon``, ``discount``, ``initial``, ...).

        Raises
        ------
        ValueError
            no states, or a row that is not a list of three numbers; the others as in the constructor

        Examples
        --------
        >>> TabularMDP.from_outcomes([[[(1, 0, 0.2)], [(0.5, 0, 1), (0.5, 0, -0.5)]]], horizon=1).n_outcomes
        3
        """
        n_states = len(outcomes)
        n_actions = max((len(actions) for actions in outcomes), default=0)
        if not n_states or not n_actions:
            raise ValueError("from_outcomes needs at least one state with one action")
        rows: list[list[Outcome]] = []
        for state, actions in enumerate(outcomes):
            for action in range(n_actions):
                row = actions[action] if action < len(actions) else None
                rows.append(read_row(row, state, action))
        return cls._from_rows(rows, n_states, n_actions, **options)

    @classmethod
    def _from_rows(cls, rows: list[list[Outcome]], n_states: int, n_actions: int, **options: Any) -> TabularMDP:
        counts = np.array([len(row) for row in rows], dtype=np.int64)
        flat = [outcome for row in rows for outcome in row]
        prob = np.array([p for p, _, _ in flat], dtype=float)
        next_state = np.array([n for _, n, _ in flat], dtype=np.int64)
        reward = np.array([r for _, _, r in flat], dtype=float)
        allowed = (counts > 0).reshape(n_states, n_actions)
        if "mask" not in options and not allowed.all():
            options["mask"] = allowed
        indptr = np.concatenate([[0], np.cumsum(counts)])
        return cls(indptr, next_state, prob, reward, n_states, n_actions, **options)

    @classmethod
    def from_arrays(cls, P: Any, R: Any, **options: Any) -> TabularMDP:
        """From transition matrices and rewards.

        Parameters
        ----------
        P : (S, A, S) array, or (A, S, S): one (sparse) matrix for each action
        R : (S,) reward of the state that is left, (S, A), or (S, A, S) reward of the transition
        options : those of the constructor

        Raises
        ------
        ValueError
            ``P`` or ``R`` of another shape; the others as in the constructor

        Examples
        --------
        >>> import numpy as np
        >>> P = np.full((2, 3, 2), 0.5)
        >>> TabularMDP.from_arrays(P, np.arange(6.0).reshape(2, 3), discount=0.9)
        TabularMDP(2 states, 3 actions, 12 outcomes, discount 0.9)
        """
        import scipy.sparse

        by_action = matrices_by_action(P)
        n_actions, n_states = len(by_action), by_action[0].shape[0]
        R = np.asarray(R, dtype=float)
        shapes = {(n_states,), (n_states, n_actions), (n_states, n_actions, n_states)}
        if R.shape not in shapes:
            raise ValueError(
                f"R must have shape {(n_states,)}, {(n_states, n_actions)} or {(n_states, n_actions, n_states)}; got {R.shape}"
            )
        # rows in the order s * A + a: the matrices are interleaved
        stacked = scipy.sparse.vstack(by_action, format="csr")
        order = (np.arange(n_states)[:, None] + n_states * np.arange(n_actions)[None, :]).ravel()
        table = stacked[order]
        table.sort_indices()
        counts = np.diff(table.indptr)
        if R.ndim == 3:
            reward = R.reshape(n_states * n_actions, n_states)[
                np.repeat(np.arange(n_states * n_actions), counts), table.indices
            ]
        else:
            reward = np.repeat(np.repeat(R, n_actions) if R.ndim == 1 else R.ravel(), counts)
        return cls(table.indptr, table.indices, table.data, reward, n_states, n_actions, **options)

    @classmethod
    def from_gymnasium(cls, env: Any, horizon: int | None = None, **options: Any) -> TabularMDP:
        """From the table ``env.unwrapped.P[s][a] = [(p, s', r, terminated), ...]`` of a Gymnasium environment.

        A transition that terminates leads to an additional absorbing state without reward, wherever the
        table says that it arrives. Entries with the same next state and reward are added.

        Parameters
        ----------
        env : environment, or its id
        horizon : number of decisions; the environment's ``max_episode_steps`` when not given, unless
            a ``discount`` < 1 or ``criterion="total"`` is

        Raises
        ------
        ValueError
            the environment has no table ``P``; the others as in the constructor

        Examples
        --------
        >>> import gymnasium
        >>> TabularMDP.from_gymnasium(gymnasium.make("FrozenLake-v1"))
        TabularMDP(17 states, 4 actions, 150 outcomes, horizon 100)
        """
        if isinstance(env, str):
            import gymnasium

            env = gymnasium.make(env)
        rows, n_states, n_actions, found = gymnasium_rows(env)
        options = found | options
        if horizon is None and options.get("discount", 1.0) == 1 and options.get("criterion") != "total":
            horizon = getattr(env.spec, "max_episode_steps", None)
        return cls._from_rows(rows, n_states, n_actions, horizon=horizon, **options)

    @classmethod
    def from_function(
        cls,
        states: Iterable[Hashable],
        actions: int | Callable[[Any], Iterable[int]],
        transition: Callable[[Any, int], Iterable[tuple[float, Hashable, float]]],
        *,
        max_states: int = 1_000_000,
        **options: Any,
    ) -> TabularMDP:
        """From a function, for all states that can be reached from the given ones (breadth first).

        Parameters
        ----------
        states : first states, hashable; they get the first numbers, in this order
        actions : number of actions, or ``state -> allowed actions`` (numbers from 0)
        transition : ``(state, action) -> [(probability, next state, reward), ...]``
        max_states : more than these are refused
        options : those of the constructor; the states are the ``labels``

        Raises
        ------
        ValueError
            no first state, or more than ``max_states`` can be reached; the others as in the constructor

        Examples
        --------
        >>> walk = TabularMDP.from_function([2], 1, lambda s, a: [(0.5, max(s - 1, 0), 0), (0.5, min(s + 1, 4), 1)],
        ...                                 horizon=3)
        >>> walk.labels
        (2, 1, 3, 0, 4)
        """
        rows, index, n_actions = reachable_rows(states, actions, transition, max_states)
        options.setdefault("labels", tuple(index))
        return cls._from_rows(rows, len(index), n_actions, **options)

    @classmethod
    def from_stages(cls, stages: Sequence[TabularMDP], **options: Any) -> TabularMDP:
        """One model for each decision: a process whose table changes with time, of horizon ``len(stages)``.

        The first state's law and the discount are those of the first stage.

        Raises
        ------
        ValueError
            no stages, or stages of different sizes; the others as in the constructor
        """
        if not stages:
            raise ValueError("from_stages needs at least one model")
        first = stages[0]
        for h, stage in enumerate(stages):
            if (stage.n_states, stage.n_actions) != (first.n_states, first.n_actions):
                raise ValueError(
                    f"stage {h} has {stage.n_states} states and {stage.n_actions} actions; "
                    f"stage 0 has {first.n_states} and {first.n_actions}"
                )
            if stage.n_stages != 1:
                raise ValueError(f"stage {h} changes with time itself; expected models of one table")
        offsets = np.cumsum([0] + [stage.n_outcomes for stage in stages])
        indptr = np.concatenate([[0], *(stage.indptr[1:] + o for stage, o in zip(stages, offsets[:-1], strict=True))])
        next_state = np.concatenate([stage.next_state for stage in stages])
        prob = np.concatenate([stage.prob for stage in stages])
        reward = np.concatenate([stage.reward for stage in stages])
        mask = np.stack([stage.mask for stage in stages])
        options = {"initial": first.initial, "discount": first.discount, "labels": first.labels, **options}
        options.setdefault("terminal", np.all([stage.terminal for stage in stages], axis=0))
        options |= {"horizon": len(stages), "mask": mask}
        return cls(indptr, next_state, prob, reward, first.n_states, first.n_actions, **options)

    # ------------------------------------------------------------------ what it is

    @property
    def n_stages(self) -> int:
        """1, or the horizon if the table changes with time."""
        return (len(self.indptr) - 1) // (self.n_states * self.n_actions)

    @property
    def n_outcomes(self) -> int:
        """Number of outcomes with positive probability."""
        return len(self.prob)

    @property
    def reward(self) -> np.ndarray:
        """(nnz,) reward of each outcome."""
        return np.repeat(self._reward, np.diff(self.indptr)) if self.certain_rewards else self._reward

    @property
    def certain_rewards(self) -> bool:
        """Whether the reward is certain in each row; one number a row is kept then."""
        return self._certain

    @cached_property
    def mask(self) -> np.ndarray:
        """(S, A) allowed actions; (H, S, A) if the table changes with time."""
        allowed = (np.diff(self.indptr) > 0).reshape(self.n_stages, self.n_states, self.n_actions)
        return allowed[0] if self.n_stages == 1 else allowed

    def outcomes(self, state: int, action: int, stage: int = 0) -> list[Outcome]:
        """The outcomes ``(probability, next state, reward)`` of an action in a state."""
        row = (stage * self.n_states + state) * self.n_actions + action
        low, high = int(self.indptr[row]), int(self.indptr[row + 1])
        rewards = [self._reward[row]] * (high - low) if self.certain_rewards else self._reward[low:high]
        return [
            (float(p), int(n), float(r))
            for p, n, r in zip(self.prob[low:high], self.next_state[low:high], rewards, strict=True)
        ]

    def replace(self, **changes: Any) -> TabularMDP:
        """The same table with another ``horizon``, ``discount``, ``initial`` law or ``criterion``.

        Raises
        ------
        TypeError
            another name than these
        ValueError
            as in the constructor
        """
        known = {"horizon", "discount", "initial", "criterion"}
        if set(changes) - known:
            raise TypeError(f"replace takes {', '.join(sorted(known))}; got {', '.join(sorted(set(changes) - known))}")
        options: dict[str, Any] = {name: getattr(self, name) for name in known} | changes
        table = self.indptr, self.next_state, self.prob, self.reward, self.n_states, self.n_actions
        return type(self)(*table, terminal=self.terminal, labels=self.labels, mask=self.mask, **options)

    def __repr__(self) -> str:
        parts = [count(self.n_states, "state"), count(self.n_actions, "action"), count(self.n_outcomes, "outcome")]
        if self.horizon is not None:
            parts.append(f"horizon {self.horizon}")
        if self.discount != 1:
            parts.append(f"discount {self.discount:g}")
        return f"TabularMDP({', '.join(parts)})"

    # ------------------------------------------------------------------ validation

    def _columns(self, indptr: Any, next_state: Any, prob: Any, reward: Any) -> tuple[np.ndarray, ...]:
        """The columns as arrays of the right types and lengths."""
        rows = self.n_states * self.n_actions
        indptr = whole_numbers(indptr, "indptr")
        stages, rest = divmod(len(indptr) - 1, rows)
        if rest or stages not in (1, self.horizon or 1):
            expected = f"{rows + 1}" + (f" or {rows * self.horizon + 1}" if self.horizon else "")
            raise ValueError(f"indptr must have S * A + 1 = {expected} entries; got {len(indptr)}")
        if indptr[0] != 0 or (np.diff(indptr) < 0).any():
            raise ValueError("indptr must begin with 0 and never decrease")
        next_state, prob, reward = (
            whole_numbers(next_state, "next_state"),
            np.asarray(prob, float),
            np.asarray(reward, float),
        )
        nnz = int(indptr[-1])
        if prob.shape != (nnz,) or next_state.shape != (nnz,):
            raise ValueError(f"prob and next_state must have the {nnz} entries that indptr announces")
        if reward.shape not in ((nnz,), (len(indptr) - 1,)):
            raise ValueError(
                f"reward must have {nnz} entries, or {len(indptr) - 1} (one a row); got shape {reward.shape}"
            )
        return indptr, next_state, prob, reward

    def _allowed(self, mask: Any, stages: int) -> np.ndarray | None:
        if mask is None:
            return None
        mask = np.asarray(mask)
        shape = (self.n_states, self.n_actions)
        if mask.shape not in (shape, (stages, *shape)) or mask.dtype != bool:
            raise ValueError(f"mask must be a boolean array of shape {shape}; got {mask.dtype} of shape {mask.shape}")
        mask = np.broadcast_to(mask, (stages, *shape))
        bare = (~mask.any(axis=2) & ~self.terminal).any(axis=0)
        if bare.any():
            raise ValueError(f"state {int(bare.argmax())}: no action is allowed; every state needs at least one")
        return mask.ravel()

    def _cleaned(
        self, indptr: np.ndarray, next_state: np.ndarray, prob: np.ndarray, reward: np.ndarray, mask: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, bool]:
        """Rows checked, zeros dropped, terminal states made absorbing, certain rewards kept once a row."""
        n_rows = len(indptr) - 1
        counts = np.diff(indptr)
        owner = np.repeat(np.arange(n_rows), counts)
        stages = n_rows // (self.n_states * self.n_actions)
        ended = np.tile(np.repeat(self.terminal, self.n_actions), stages)
        skipped = ended if mask is None else ended | ~mask  # rows that nobody will read
        live = ~skipped[owner]
        per_row = len(reward) != len(prob)
        self._check_rows(owner, live, prob, next_state, reward[owner] if per_row else reward)
        mass = np.bincount(owner, weights=np.where(live, prob, 0.0), minlength=n_rows)
        wrong = ~skipped & ~(np.abs(mass - 1) <= MASS_TOLERANCE)
        if wrong.any():
            row = int(wrong.argmax())
            raise ValueError(f"{self._place(row)}: the probabilities sum to {mass[row]:.12g}; they must sum to 1")
        # the common case: nothing to drop, nothing to rewrite
        keep = live & (prob > 0)
        if not keep.all():
            owner, next_state, prob = owner[keep], next_state[keep], prob[keep]
            reward = reward if per_row else reward[keep]
            counts = np.bincount(owner, minlength=n_rows)
        off = np.abs(mass[owner] - 1) > 1e-14  # the rest is rounding
        if off.any():
            prob = np.where(off, prob / mass[owner], prob)
        if not per_row:
            first = np.zeros(n_rows)
            begin = np.concatenate([[0], np.cumsum(counts)])[:-1]
            first[counts > 0] = reward[begin[counts > 0]]
            if np.array_equal(first[owner], reward):
                reward, per_row = first, True
        if ended.any():
            counts, owner, next_state, prob, reward = self._with_ends(
                ended, counts, owner, next_state, prob, reward, per_row
            )
        indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        reward = np.array(reward, dtype=float) + 0.0  # a copy; -0.0 becomes 0.0
        if per_row:
            reward[counts == 0] = 0.0
        return indptr, next_state.astype(np.int32), np.array(prob, dtype=float), reward, per_row

    def _check_rows(
        self, owner: np.ndarray, live: np.ndarray, prob: np.ndarray, next_state: np.ndarray, reward: np.ndarray
    ) -> None:
        for bad, what in (
            (~(prob >= 0), "probability {p!r} is not a number >= 0"),
            (~(np.isfinite(prob)), "probability {p!r} is not finite"),
            ((next_state < 0) | (next_state >= self.n_states), "next state {n} is outside 0..{last}"),
            (~np.isfinite(reward), "reward {r!r} is not finite"),
        ):
            bad &= live
            if bad.any():
                at = int(bad.argmax())
                text = what.format(
                    p=float(prob[at]), n=int(next_state[at]), r=float(reward[at]), last=self.n_states - 1
                )
                raise ValueError(f"{self._place(int(owner[at]))}: {text}")

    def _with_ends(
        self,
        ended: np.ndarray,
        counts: np.ndarray,
        owner: np.ndarray,
        next_state: np.ndarray,
        prob: np.ndarray,
        reward: np.ndarray,
        per_row: bool,
    ) -> tuple[np.ndarray, ...]:
        """The rows of the terminal states, which lead to themselves without reward."""
        rows = np.flatnonzero(ended)
        owner = np.concatenate([owner, rows])
        order = np.argsort(owner, kind="stable")
        state = rows // self.n_actions % self.n_states
        next_state = np.concatenate([next_state, state])[order]
        prob = np.concatenate([prob, np.ones(len(rows))])[order]
        reward = np.where(ended, 0.0, reward) if per_row else np.concatenate([reward, np.zeros(len(rows))])[order]
        return counts + ended, owner[order], next_state, prob, reward

    def _check_size(self) -> None:
        """Returns whose squares would not be numbers any more are refused: no bound could be computed for them."""
        largest = float(np.abs(self._reward).max(initial=0.0))
        decisions = min(float(self.horizon or math.inf), 1 / (1 - self.discount) if self.discount < 1 else math.inf)
        if largest and largest * (decisions if math.isfinite(decisions) else 1.0) > LARGEST_RETURN:
            raise ValueError(
                f"rewards up to {largest:.3g} make returns beyond {LARGEST_RETURN:g}, too large to compute with; use a larger unit"
            )

    def _place(self, row: int) -> str:
        stage, row = divmod(row, self.n_states * self.n_actions)
        state, action = divmod(row, self.n_actions)
        return (f"stage {stage}, " if stage else "") + f"state {state}, action {action}"
