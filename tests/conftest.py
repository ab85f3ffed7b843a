"""Settings of the test suite."""

import os

from hypothesis import settings

# one thread: the sizes here are small, and the machine may be shared
for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

settings.register_profile("ailys", deadline=None, max_examples=40, derandomize=True, print_blob=True)
settings.load_profile("ailys")
