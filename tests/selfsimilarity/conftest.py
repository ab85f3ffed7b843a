import numpy as np
import pytest

from ailys.selfsimilarity import OperatorFractionalBrownianMotion


def rotation(rng, M):
    Q, R = np.linalg.qr(rng.standard_normal((M, M)))
    return Q * np.sign(np.diag(R))


@pytest.fixture(scope="session")
def mixed():
    """Three channels, exponents .4, .6, .8, behind an orthogonal mixing."""
    rng = np.random.default_rng(3)
    return rotation(rng, 3) @ OperatorFractionalBrownianMotion([0.4, 0.6, 0.8], 0.3).sample(2**14, rng=rng)
