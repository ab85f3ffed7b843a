"""Real networks that ship inside packages; left out where these are not installed."""

import numpy as np
import pytest
import torch

from ailys.compression import compress, distill
from ailys.compression import samples as real
from ailys.core.optional import MissingExtra


def _encoder():
    try:
        return real.minilm()
    except MissingExtra as fault:
        pytest.skip(str(fault))


def _crepe():
    try:
        return real.crepe("tiny")
    except MissingExtra as fault:
        pytest.skip(str(fault))


def test_sentences_of_like_meaning_are_near():
    encoder = _encoder()
    found = encoder.encode(
        ["A man is eating food.", "A man is eating a piece of bread.", "The girl is carrying a baby."]
    )
    assert np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    # measured with these weights
    assert found[0] @ found[1] == pytest.approx(0.755, abs=0.01)
    assert abs(found[0] @ found[2]) < 0.2


@pytest.mark.slow
def test_calibration_is_worth_more_than_a_fifth_in_cosine():
    encoder = _encoder()
    train = real.docstring_sentences(["numpy", "scipy.stats"])
    test = [s for s in real.docstring_sentences(["scipy.signal"]) if s not in set(train)][:200]
    true = encoder.encode(test)

    def layers(module, name):
        return "intermediate" in name or (name.endswith("output.dense") and "attention" not in name)

    cosines = []
    for calibration in (None, encoder.batches(train[:192])):
        result = compress(
            encoder.model,
            budget=0.5,
            layers=layers,
            architecture="lowrank",
            allocate="uniform",
            calibration=calibration,
        )
        assert result.params_before == 7_077_888
        cosines.append(float((true * encoder.encode(test, result.model)).sum(1).mean()))
    print("cosine, plain and calibrated:", np.round(cosines, 3))
    assert cosines[1] > cosines[0] + 0.2


def test_the_pitch_network_hears_and_still_hears_when_compressed():
    torch.manual_seed(0)
    model = _crepe()
    sounds, pitch = real.tones(200, rng=0)

    def cents(network):
        with torch.no_grad():
            return float(np.median(np.abs(1200 * np.log2(real.hear(network(sounds)) / pitch))))

    assert cents(model) < 5
    listening = list(real.tones(100, rng=1)[0].split(50))
    result = compress(model, budget=0.6, layers=["conv[3-6]", "classifier"], calibration=listening)
    assert any(layer.kind == "conv2d" and layer.replaced for layer in result.layers)
    distill(result.model, model, listening, steps=10, lr=1e-3, rng=0)
    assert cents(result.model) < 20


def test_a_missing_package_is_named():
    with pytest.raises(MissingExtra, match="pip install --no-deps no-such-wheel"):
        real._folder("no_such_package", "no-such-wheel")
    with pytest.raises(ValueError, match="tiny"):
        real.crepe("huge")
    with pytest.raises(ValueError, match="rng"):
        real.tones(2, rng=-1)
