"""Compressed networks in safetensors files: the state dict as tensors, chains and reports in the metadata.

Any reader of safetensors can open them. Tensors that share memory are written once; the metadata says under which other
names they go.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..butterfly.architecture import Chain
from ..core.files import atomic_write, check_version, open_tensors, parse_json
from .report import LayerReport

__all__ = ["Record", "load_compressed", "read_record", "save_compressed", "write_record"]

_FORMAT = "ailys.compression"
_VERSION = 1


@dataclass(frozen=True)
class Record:
    """What the metadata of a compressed network says.

    ``modules`` maps the name of each replaced layer to ``{"kind", "chain", "perm"}``, and ``"record"`` if it is quantized; ``aliases`` a name to the tensor that holds
    its numbers; ``layers`` are the reports of the compression, if they were kept.
    """

    modules: Mapping[str, Mapping[str, Any]]
    aliases: Mapping[str, str]
    layers: tuple[LayerReport, ...]

    def to_metadata(self) -> dict[str, str]:
        """The metadata of the file."""
        content = {
            "version": _VERSION,
            "modules": self.modules,
            "aliases": self.aliases,
            "layers": [layer.to_dict() for layer in self.layers],
        }
        return {_FORMAT: json.dumps(content), "format": "pt"}


def read_record(path: str | Path) -> tuple[Record, list[str]]:
    """The record of a compressed network and the names of its tensors; other files get a sentence that names them."""
    path = Path(path)
    with open_tensors(path) as file:
        text, names = (file.metadata() or {}).get(_FORMAT), list(file.keys())
    if text is None:
        raise ValueError(f"{path}: a safetensors file, but not a compressed network (no {_FORMAT!r} metadata)")
    try:
        content = parse_json(text)
        check_version(content, _VERSION, f"{path}: ")
        modules = {
            str(name): {**m, "kind": str(m["kind"]), "chain": Chain(m["chain"]), "perm": bool(m["perm"])}
            for name, m in content["modules"].items()
        }
        layers = tuple(LayerReport.from_dict(layer) for layer in content["layers"])
        return Record(modules, {str(k): str(v) for k, v in content["aliases"].items()}, layers), names
    except (KeyError, TypeError, AttributeError, IndexError, OverflowError, RecursionError, ValueError) as fault:
        if str(fault).startswith(str(path)):
            raise
        raise ValueError(f"{path}: the metadata of the compressed network is damaged ({fault})") from fault


def write_record(
    path: str | Path, tensors: Mapping[str, Any], record: Record, metadata: Mapping[str, str] | None = None
) -> Path:
    """Write tensors (of NumPy or of PyTorch) with the record and further metadata, at once or not at all."""
    if any(hasattr(tensor, "detach") for tensor in tensors.values()):
        from safetensors.torch import save_file
    else:
        from safetensors.numpy import save_file  # type: ignore[assignment]
    with atomic_write(path) as temporary:
        save_file(dict(tensors), temporary, metadata={**(metadata or {}), **record.to_metadata()})
    return Path(path)


def save_compressed(model: Any, path: str | Path, *, layers: Iterable[LayerReport] = ()) -> Path:
    """Write a network with butterfly layers; `load_compressed` gives it back, to the bit.

    Parameters
    ----------
    model : `torch.nn.Module`
    path : a .safetensors file; an existing one is replaced, at once or not at all
    layers : the reports of a `CompressionResult`, kept in the metadata

    Raises
    ------
    ValueError
        The name does not end in .safetensors, or the state of the network holds something that is no tensor.
    OSError
        The path cannot be written; a file that is there stays as it was.

    Examples
    --------
    >>> import pathlib, tempfile, torch
    >>> from ailys.compression import compress, load_compressed, save_compressed
    >>> network = torch.nn.Sequential(torch.nn.Linear(64, 64))
    >>> small = compress(network, budget=0.5).model
    >>> path = save_compressed(small, pathlib.Path(tempfile.mkdtemp()) / "small.safetensors")
    >>> again = load_compressed(path, torch.nn.Sequential(torch.nn.Linear(64, 64)))
    >>> x = torch.ones(3, 64)
    >>> bool((again(x) == small(x)).all())
    True
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        raise ValueError(f"{path}: a compressed network is a .safetensors file; give a name that ends so")
    modules = {name: _entry(module) for name, module in _butterflies(model).items()}
    tensors: dict[str, Any] = {}
    aliases: dict[str, str] = {}
    owners: dict[tuple[Any, ...], str] = {}
    for name, tensor in model.state_dict().items():
        if not hasattr(tensor, "untyped_storage"):
            raise ValueError(f"{name!r} is a {type(tensor).__name__}, not a tensor; a safetensors file cannot hold it")
        key = tensor.untyped_storage().data_ptr(), tensor.storage_offset(), tuple(tensor.shape), tensor.stride()
        if tensor.numel() and key in owners:
            aliases[name] = owners[key]
            continue
        owners[key] = name
        tensors[name] = tensor.detach().cpu().contiguous().clone()
    return write_record(path, tensors, Record(modules, aliases, tuple(layers)))


def load_compressed(path: str | Path, model: Any) -> Any:
    """A network written by `save_compressed`.

    Parameters
    ----------
    path : the .safetensors file
    model : a freshly built network of the original architecture; its replaced layers are rebuilt, all its numbers are
        those of the file. It is changed and returned.

    Raises
    ------
    ValueError
        A file that is not a compressed network, or a model that does not fit it.
    """
    from .layers import torch
    from .selection import replace_module

    path = Path(path)
    record, _ = read_record(path)
    with open_tensors(path, "pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    for name, entry in record.modules.items():
        for i, pattern in enumerate(entry["chain"] if entry["kind"] != "quantized" else ()):
            full = f"{name}.factors.{i}" if name else f"factors.{i}"
            if full not in tensors or tuple(tensors[full].shape) != tuple(pattern):
                raise ValueError(f"{path}: the tensor {full!r} is missing or does not have the shape {tuple(pattern)}")
    for name, entry in record.modules.items():
        try:
            old = model.get_submodule(name)
        except AttributeError:
            raise ValueError(
                f"{path}: the model has no layer {name!r}; build the architecture that was compressed"
            ) from None
        expected = torch.nn.Conv2d if entry["kind"] == "conv2d" else torch.nn.Linear
        if getattr(old, "chain", None) == entry["chain"] and _entry(old)["kind"] == entry["kind"]:
            continue  # built with butterfly layers from the start
        if not isinstance(old, expected):
            raise ValueError(
                f"{path}: {name!r} is a {type(old).__name__}, the file was made from a {expected.__name__}"
            )
        prefix = f"{name}." if name else ""
        try:
            new = _rebuilt(old, entry, {n: tensors.get(prefix + n) for n in ("packed", "perm", "factors.0")})
        except ValueError as fault:
            raise ValueError(f"{path}: {name!r}: {fault}") from None
        new.train(old.training)
        if name:
            replace_module(model, name, new)
        else:
            model = new
    state = {**tensors, **{name: tensors[owner] for name, owner in record.aliases.items() if owner in tensors}}
    for name, mine in [*model.named_parameters(), *model.named_buffers()]:
        if name in state and mine.dtype != state[name].dtype:  # as in the file, also where tied
            mine.data = mine.data.to(state[name].dtype)
    try:
        model.load_state_dict(state)
    except (RuntimeError, ValueError) as fault:
        first = next((line.strip() for line in str(fault).splitlines()[1:]), str(fault))
        raise ValueError(f"{path}: the model does not fit the file: {first}") from None
    return model


def _butterflies(model: Any) -> dict[str, Any]:
    from ..quantization import QuantizedButterflyLinear
    from .layers import ButterflyConv2d, ButterflyLinear

    kinds = ButterflyLinear, ButterflyConv2d, QuantizedButterflyLinear
    return {n: module for n, module in model.named_modules(remove_duplicate=False) if isinstance(module, kinds)}


def _entry(module: Any) -> dict[str, Any]:
    """What has to be known of a replaced layer besides its tensors."""
    from ..quantization import QuantizedButterflyLinear
    from .layers import ButterflyConv2d

    perm = module.perm is not None
    if isinstance(module, QuantizedButterflyLinear):
        record = module.record
        return {"kind": "quantized", "chain": record["chain"], "perm": perm, "record": record}
    kind = "conv2d" if isinstance(module, ButterflyConv2d) else "linear"
    return {"kind": kind, "chain": [list(p) for p in module.chain], "perm": perm}


def _rebuilt(old: Any, entry: Mapping[str, Any], tensors: Mapping[str, Any]) -> Any:
    """An empty layer of the kind that was saved, in the place of a dense one."""
    from ..quantization import QuantizedButterflyLinear, unpack_chain
    from .layers import ButterflyConv2d, ButterflyLinear, torch

    device = old.weight.device
    if entry["kind"] == "quantized":
        given = {name: t.numpy() for name, t in tensors.items() if t is not None}
        return QuantizedButterflyLinear(
            unpack_chain(given, dict(entry["record"])),
            None if old.bias is None else torch.zeros(old.out_features, dtype=old.bias.dtype),
            in_features=old.in_features,
            out_features=old.out_features,
            dtype=old.weight.dtype,
        ).to(device)
    new = (ButterflyConv2d if entry["kind"] == "conv2d" else ButterflyLinear).like(old, entry["chain"])
    first = tensors["factors.0"]
    new.to_empty(device=device)
    if first is not None:
        new.to(first.dtype)
    if entry["perm"]:
        new.perm = torch.zeros(entry["chain"].shape[1], dtype=torch.long, device=device)
    return new


def names_like(names: Sequence[str], count: int = 3) -> str:
    """A few names as examples."""
    return ", ".join(map(repr, list(names)[:count])) or "none"
