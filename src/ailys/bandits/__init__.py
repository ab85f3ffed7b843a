"""x"""

from .policies import *
from .families import *
from .complexity import *
from .environment import *
from .simulation import *
from .agent import Agent, Recommendation

AGENTS = {
    c.__name__: c
    for c in (UCB, MOSS, KLUCB, KLUCBpp, KLUCBSwitch, BayesUCB, Thompson, IMED, EmpiricalKLUCB, EmpiricalIMED)
}
