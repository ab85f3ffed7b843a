"""Learning to decide when the model is unknown: what the learner may promise after so many episodes.

`BPIUCRL` stops with a policy that is within epsilon of the best with probability 1 - delta; `UCBVI` gives an
upper bound of what anybody can reach; `QLearning` is the baseline without a promise.
"""

from __future__ import annotations

from .base import LearningResult, TabularLearner
from .bpi import BPIUCRL
from .qlearning import QLearning
from .ucbvi import UCBVI

__all__ = ["BPIUCRL", "LearningResult", "QLearning", "TabularLearner", "UCBVI"]
