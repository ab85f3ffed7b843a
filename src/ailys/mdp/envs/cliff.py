"""The Cliff: the short way home runs along an edge, and the wind blows."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from gymnasium import spaces

from ..model import TabularMDP
from .base import TableEnv, number, whole

__all__ = ["Cliff"]

MOVES = ((-1, 0), (0, 1), (1, 0), (0, -1))  # up, right, down, left
_DOWN = 2
_MODES = ("uniform", "perp", "down")
_TILE = 24  # pixels


class Cliff(TableEnv):
    """Walk from the lower left to the lower right corner of a grid; between them lies the cliff.

    Actions are 0 up, 1 right, 2 down, 3 left; against a wall one stays. A step costs ``step``, a step
    into the cliff ``fall`` instead. The observation is the cell, numbered row by row from the top left, and
    ``rows * cols`` when the episode has ended.

    Parameters
    ----------
    rows, cols : size of the grid, at least 2 x 3
    slip : probability of a slip, in [0, 1]
    mode : where a slip leads. "uniform": one of the four directions, each with probability slip / 4;
        "perp": one of the two directions across, slip / 2 each; "down": down, the ground slopes
    step, fall : rewards of a step and of a fall
    fall_mode : "terminate": a fall ends the episode; "restart": one goes on from the start
    horizon : number of decisions, after which the episode is truncated without further reward
    render_mode : "ansi" or "rgb_array"

    Notes
    -----
    Gymnasium's ``CliffWalking-v1`` with ``is_slippery=True`` is ``mode="perp", slip=2/3, fall_mode="restart"``.

    Raises
    ------
    ValueError
        a parameter outside its range; the sentence names it

    Examples
    --------
    >>> env = Cliff(rows=2, cols=4, render_mode="ansi", slip=0.0)
    >>> _ = env.reset(seed=0)
    >>> env.step(1)[1:3]
    (-100.0, True)
    >>> print(env.render())
    . . . .
    S @ # G
    """

    metadata = {"render_modes": ["ansi", "rgb_array"], "render_fps": 4}  # noqa: RUF012

    def __init__(
        self,
        rows: int = 4,
        cols: int = 12,
        slip: float = 0.1,
        mode: Literal["uniform", "perp", "down"] = "uniform",
        step: float = -1.0,
        fall: float = -100.0,
        fall_mode: Literal["terminate", "restart"] = "terminate",
        horizon: int = 50,
        render_mode: str | None = None,
    ) -> None:
        self.rows, self.cols = whole(rows, "rows", 2), whole(cols, "cols", 3)
        self.slip = number(slip, "slip", 0, 1)
        self.step_reward, self.fall_reward = number(step, "step"), number(fall, "fall")
        self.horizon = whole(horizon, "horizon")
        if mode not in _MODES:
            raise ValueError(f"mode must be one of {', '.join(_MODES)}; got {mode!r}")
        if fall_mode not in ("terminate", "restart"):
            raise ValueError(f"fall_mode must be 'terminate' or 'restart'; got {fall_mode!r}")
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise ValueError(f"render_mode must be 'ansi', 'rgb_array' or None; got {render_mode!r}")
        self.mode, self.fall_mode, self.render_mode = mode, fall_mode, render_mode
        self.start, self.goal = (self.rows - 1) * self.cols, self.rows * self.cols - 1
        self.end = self.rows * self.cols
        self.observation_space = spaces.Discrete(self.end + 1)
        self.action_space = spaces.Discrete(4)
        self._cell = self.start  # where the walker is drawn

    def direction_law(self, action: int) -> np.ndarray:
        """(4,) probabilities of the direction that is walked when ``action`` is chosen."""
        law = np.zeros(4)
        law[action] = 1 - self.slip
        if self.mode == "uniform":
            law += self.slip / 4
        elif self.mode == "perp":
            law[[(action + 1) % 4, (action + 3) % 4]] += self.slip / 2
        else:
            law[_DOWN] += self.slip
        return law

    def is_cliff(self, cell: int) -> bool:
        """Whether a cell belongs to the cliff."""
        return self.start < cell < self.goal

    def move(self, cell: int, direction: int) -> tuple[int, int, float]:
        """The cell entered, the next state and the reward of walking in a direction."""
        row, col = divmod(cell, self.cols)
        row = min(max(row + MOVES[direction][0], 0), self.rows - 1)
        col = min(max(col + MOVES[direction][1], 0), self.cols - 1)
        entered = row * self.cols + col
        if self.is_cliff(entered):
            return entered, self.end if self.fall_mode == "terminate" else self.start, self.fall_reward
        return entered, self.end if entered == self.goal else entered, self.step_reward

    def to_mdp(self) -> TabularMDP:
        """The exact law: the cells row by row, then the absorbing end; cliff and goal cells are never occupied."""
        rows: list[list[list[tuple[float, int, float]]]] = []
        for cell in range(self.end):
            actions = []
            for action in range(4):
                merged: dict[tuple[int, float], float] = {}
                for direction, p in enumerate(self.direction_law(action)):
                    _, following, reward = self.move(cell, direction)
                    merged[following, reward] = merged.get((following, reward), 0.0) + float(p)
                actions.append([(p, n, r) for (n, r), p in merged.items()])
            rows.append(actions)
        rows.append([[(1.0, self.end, 0.0)]] * 4)
        ended = [*range(self.start + 1, self.goal + 1), self.end]
        return TabularMDP.from_outcomes(rows, horizon=self.horizon, initial=self.start, terminal=ended)

    def _begin(self) -> int:
        self._cell = self.start
        return self._cell

    def _step(self, action: int) -> tuple[int, float, bool]:
        direction = action
        if self.np_random.random() < self.slip:
            if self.mode == "uniform":
                direction = int(self.np_random.integers(4))
            elif self.mode == "perp":
                direction = (action + (1 if self.np_random.random() < 0.5 else 3)) % 4
            else:
                direction = _DOWN
        entered, following, reward = self.move(self._cell, direction)
        ended = following == self.end
        self._cell = entered if ended else following
        return following, reward, ended

    def render(self) -> Any:
        """A string of the grid ("ansi"), or an image as an array of bytes ("rgb_array")."""
        if self.render_mode == "ansi":
            cells = ["#" if self.is_cliff(c) else "." for c in range(self.end)]
            cells[self.start], cells[self.goal] = "S", "G"
            cells[self._cell] = "@"
            return "\n".join(" ".join(cells[r * self.cols : (r + 1) * self.cols]) for r in range(self.rows))
        if self.render_mode == "rgb_array":
            return self._image()
        return None

    def _image(self) -> np.ndarray:
        colours = {"ground": (233, 236, 228), "cliff": (71, 60, 62), "goal": (26, 158, 119), "start": (190, 205, 220)}
        image = np.empty((self.rows * _TILE, self.cols * _TILE, 3), np.uint8)
        for cell in range(self.end):
            kind = (
                "cliff"
                if self.is_cliff(cell)
                else "goal"
                if cell == self.goal
                else "start"
                if cell == self.start
                else "ground"
            )
            y, x = (_TILE * v for v in divmod(cell, self.cols))
            image[y : y + _TILE, x : x + _TILE] = (200, 203, 196)
            image[y : y + _TILE - 1, x : x + _TILE - 1] = colours[kind]
        row, col = divmod(self._cell, self.cols)
        centre = _TILE * np.array([row + 0.5, col + 0.5]) - 0.5
        rows, cols = np.ogrid[: image.shape[0], : image.shape[1]]
        image[(rows - centre[0]) ** 2 + (cols - centre[1]) ** 2 <= (_TILE / 3) ** 2] = (224, 123, 0)
        return image
