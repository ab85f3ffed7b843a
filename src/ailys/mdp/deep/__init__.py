"""Deep distributional agents on Stable-Baselines3, told to mind the tail, and audited exactly.

Needs the extra: ``pip install 'ailys[deep]'``. `RiskSensitiveQRDQN` is sb3-contrib's QR-DQN with a risk in the place of
the mean; `C51` learns categorical laws; `StockObservation` lets an agent see what it has earned; `audit` turns a
trained agent into a table and returns the exact law of its return.
"""

from __future__ import annotations

from ...core.optional import require

for _module in ("stable_baselines3", "sb3_contrib"):
    require(_module, extra="deep", purpose="ailys.mdp.deep")

from .audit import audit, greedy_table  # noqa: E402
from .c51 import C51  # noqa: E402
from .qrdqn import RiskSensitiveQRDQN  # noqa: E402
from .risk import Risk  # noqa: E402
from .stock import StockObservation  # noqa: E402

__all__ = ["C51", "Risk", "RiskSensitiveQRDQN", "StockObservation", "audit", "greedy_table"]
