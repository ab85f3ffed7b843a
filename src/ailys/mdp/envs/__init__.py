"""Environments with known optimal values: the Cliff, an inventory, a qubit, a chemical reactor.

They speak Gymnasium, so anybody's agent runs in them, and give their exact law by ``to_mdp()``, so that
every answer about them can be checked. Importing this module registers them:

>>> import gymnasium, ailys.mdp.envs
>>> gymnasium.make("ailys/Cliff-v0").unwrapped.to_mdp()
TabularMDP(49 states, 4 actions, 628 outcomes, horizon 50)
"""

from __future__ import annotations

from .base import TableEnv
from .cliff import Cliff
from .inventory import Inventory
from .qubit import Qubit
from .reactor import Reactor

__all__ = ["Cliff", "Inventory", "Qubit", "Reactor", "TableEnv"]


def _register() -> None:
    import gymnasium

    for kind in (Cliff, Inventory, Qubit, Reactor):
        name = f"ailys/{kind.__name__}-v0"
        if name not in gymnasium.registry:
            gymnasium.register(id=name, entry_point=f"{kind.__module__}:{kind.__name__}")


_register()
