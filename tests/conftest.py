"""Settings of the test suite."""

import os

import pytest
from hypothesis import settings

# one thread: the sizes here are small, and the machine may be shared
for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

settings.register_profile("ailys", deadline=None, max_examples=40, derandomize=True, print_blob=True)
settings.load_profile("ailys")


@pytest.fixture
def ailys(capsys):
    """The command line in this process: the words in, the exit code and what was printed out."""
    from ailys.cli import main

    def call(*words):
        with pytest.raises(SystemExit) as stopped:
            main([*words])
        out, err = capsys.readouterr()
        return stopped.value.code, out, err

    return call


def pytest_configure(config):
    """Files go to the workers as they stand: the long ones of tests first, the doctests of src last, so all end together."""
    if hasattr(config.option, "loadscopereorder"):  # otherwise the files of few tests come last, however long these are
        config.option.loadscopereorder = False
