"""x"""

from . import identification as _i
from . import levelsets as _l
from . import policies as _p
from .agent import Agent, Recommendation
from .complexity import *
from .complexity import sample_lower_bound
from .environment import *
from .families import *
from .identification import *
from .identification_simulation import *
from .levelsets import *
from .policies import *
from .simulation import *
from .thresholds import *
from .abtest import *
from .discovery import *
from .graph import *
from .graph_regret import *
from .graph_identification import *
from . import graph_regret as _gr, graph_identification as _gi
from .intervals import *
from .clinical import *
from .planning import *
from . import abtest as _ab

AGENTS = {
    n: getattr(m, n)
    for m in (_i, _p, _l, _ab, _gr, _gi)
    for n in m.__all__
    if isinstance(getattr(m, n), type) and issubclass(getattr(m, n), Agent)
}
