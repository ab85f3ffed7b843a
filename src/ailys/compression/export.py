"""Export of compressed networks to ONNX, checked against ONNX Runtime."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from ..core.files import atomic_write
from ..core.optional import require
from .calibration import call, evaluating

torch = require("torch", extra="networks", purpose="export to ONNX")

__all__ = ["export_onnx"]


def export_onnx(model: Any, path: str | Path, example: Any) -> float:
    """Write a network to an ONNX file with a free batch size, and compare it with ONNX Runtime.

    Parameters
    ----------
    model : `torch.nn.Module`, exported in evaluation mode
    path : the .onnx file; an existing one is replaced, at once or not at all
    example : an input: a tensor or a tuple of tensors, the batch first

    Returns
    -------
    The largest absolute difference between the outputs of PyTorch and of ONNX Runtime on the example.

    Raises
    ------
    ailys.core.optional.MissingExtra
        Without the extra ``onnx``.
    """
    require("onnx", extra="onnx", purpose="export to ONNX")
    runtime = require("onnxruntime", extra="onnx", purpose="checking the exported file")
    inputs = example if isinstance(example, tuple) else (example,)
    names = [f"input_{i}" for i in range(len(inputs))]
    with evaluating(model), atomic_write(path) as temporary:
        expected = call(model, inputs)
        outputs = [expected] if isinstance(expected, torch.Tensor) else list(expected)
        results = [f"output_{i}" for i in range(len(outputs))]
        with warnings.catch_warnings():  # the exporter that needs no further package is called old
            warnings.simplefilter("ignore")
            torch.onnx.export(
                model,
                inputs,
                str(temporary),
                dynamo=False,
                input_names=names,
                output_names=results,
                dynamic_axes={name: {0: "batch"} for name in (*names, *results)},
            )
        session = runtime.InferenceSession(temporary.read_bytes(), providers=["CPUExecutionProvider"])
        feeds = {name: x.detach().cpu().numpy() for name, x in zip(names, inputs, strict=True)}
        found = session.run(None, {i.name: feeds[i.name] for i in session.get_inputs()})
    return max(
        (float(np.abs(y - t.detach().cpu().numpy()).max()) for y, t in zip(found, outputs, strict=True) if y.size),
        default=0.0,
    )
