"""A small trained-looking network, inputs on which its layers are far from isotropic."""

import numpy as np
import pytest
import torch


@pytest.fixture(autouse=True)
def _one_thread():
    """Two threads on two busy cores wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def network():
    return make_network()


def make_network():
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Linear(48, 96), torch.nn.ReLU(), torch.nn.Linear(96, 64), torch.nn.ReLU(), torch.nn.Linear(64, 10)
    )


@pytest.fixture
def inputs():
    """Inputs whose second moments decay: some directions matter much more than others."""
    rng = np.random.default_rng(1)
    mixing = rng.standard_normal((48, 48)) * 0.8 ** np.arange(48)
    return torch.from_numpy((rng.standard_normal((300, 48)) @ mixing).astype(np.float32))
