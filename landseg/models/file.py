"""The model file: weights and card in a single .safetensors. Reading it executes no pickle and no code.

The card is the header's metadata entry `landseg`; `mlm` repeats it as the STAC Machine Learning Model fields
for other readers. With dtype "float16" the kernels are stored in half precision; vectors (biases, norm
statistics) stay in float32, since they are small. Counters of batches are left out.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Literal

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from landseg.errors import LandsegError, ModelError
from landseg.models import header, shipped
from landseg.models.card import Card
from landseg.models.networks.build import build_network
from landseg.models.networks.pixel_forest import PixelForest
from landseg.models.read_card import card_in, read_card
from landseg.models.writing import card_entries, check_model_target, write_file

__all__ = ["Model", "load_model", "read_card", "save_model"]

_DTYPES = {
    torch.float32: "F32", torch.float16: "F16", torch.float64: "F64", torch.bfloat16: "BF16",
    torch.int64: "I64", torch.int32: "I32", torch.int16: "I16", torch.int8: "I8", torch.uint8: "U8",
    torch.bool: "BOOL",
}  # fmt: skip
_COUNTER = "num_batches_tracked"  # a counter of training; with a fixed momentum no layer reads it

# Learned values that encoders make and delete again, such as those of a classifier: they are in no file.
_UNUSED = {"other": 8 << 20, "timm": 128 << 20}


@dataclass(frozen=True)
class Model:
    """A network ready to predict, with its card.

    Attributes:
        network: the network in eval mode, float32, on the CPU: from scaled floats `(N, bands, H, W)` to
            `(N, card.channels, H, W)`.
        card: the description of the model.
        path: the path of its file.
        hash: SHA-256 of the file, in hex: the model's identity in provenance tags and for resuming.
    """

    network: nn.Module
    card: Card
    path: Path
    hash: str

    def __repr__(self) -> str:
        card = self.card
        bands, classes = (", ".join(names) for names in ([band.name for band in card.bands], card.classes.names))
        metres = ", ".join(f"{size:g}" for size in ([card.resolution_m] if card.resolution_m else card.trained_at_m))
        size = f", {'runs' if card.resolution_m else 'trained'} at {metres} m" if metres else ""
        return f"<Model {card.name}: {card.arch} on {card.encoder}; bands {bands}; classes {classes}{size}>"


def load_model(path_or_name: str | Path | None = None) -> Model:
    """Return the model of a file or of a shipped name; None stands for the default model.

    Raises:
        ModelError: the file is missing, truncated, foreign, of a later format or a pickle, or its weights are not
            those of the card's network.
    """
    path = shipped.resolve(path_or_name)
    card = card_in(path)
    data = path.read_bytes()
    try:
        tensors = safetensors.torch.load(data)
    except (safetensors.SafetensorError, ValueError, KeyError, TypeError) as problem:
        raise ModelError(f"{path} is damaged ({problem}); copy or download it again") from problem
    network = _build(card, path, tensors)
    _fill(network, tensors, where=f"{path} (a {card.arch} on {card.encoder})")
    if isinstance(network, PixelForest):
        try:
            network.check_tables()
        except ModelError as problem:
            raise ModelError(f"{path}: {problem}; the file is no good, use another") from problem
    return Model(network.eval().requires_grad_(False), card, path, hashlib.sha256(data).hexdigest())


def save_model(
    path: str | Path,
    network: nn.Module,
    card: Card,
    *,
    dtype: Literal["float16", "float32"] = "float16",
    overwrite: bool = False,
) -> Path:
    """Write the weights of a network with their card, and return the path; the bytes depend on nothing else.

    The file appears by rename when it is complete.

    Raises:
        OutputError: the file exists (without `overwrite`), has another suffix, or cannot be written.
        ModelError: a weight is not finite, or too large for float16; or network or card are of another type.
    """
    if not (isinstance(network, nn.Module) and isinstance(card, Card)):
        raise ModelError(
            f"expected a network of torch and its Card, got a {type(network).__name__} and a {type(card).__name__}: "
            "of a Model, give its network and its card"
        )
    target = Path(path)
    check_model_target(target, overwrite=overwrite)
    tensors = {
        name: _stored(name, tensor.detach().cpu(), half=dtype == "float16")
        for name, tensor in sorted(network.state_dict().items())
        if not name.endswith(_COUNTER)
    }
    _write(target, card_entries(card), tensors)
    return target


def _build(card: Card, path: Path, tensors: Mapping[str, Tensor]) -> nn.Module:
    """Return the card's network with random weights; raise ModelError if it has more weights than the file holds."""
    values = sum(tensor.numel() for tensor in tensors.values())
    unused = _UNUSED["timm"] if card.encoder.startswith("timm:") else _UNUSED["other"]
    try:
        # The random start is overwritten: loading must not change the caller's random numbers.
        with torch.random.fork_rng(devices=[]), at_most(2 * values + unused):
            return build_network(
                card.arch,
                encoder=card.encoder,
                bands=len(card.bands),
                channels=card.channels,
                warn=False,
                **card.options,
            )
    except LandsegError as problem:
        raise ModelError(f"{path}: this landseg cannot build the card's network: {problem}") from problem
    except Exception as problem:  # a card may hold any name, and libraries raise errors of any type
        reason = " ".join(str(problem).split())[:200]
        raise ModelError(
            f"{path}: this landseg cannot build the card's network: {type(problem).__name__}, {reason}"
        ) from problem


@contextmanager
def at_most(values: int) -> Iterator[None]:
    """Raise ModelError inside the context if networks of this thread get more learned values than ``values``.

    Memory is taken only when it is filled, so the parameters refused here took none.
    """
    thread, left = threading.get_ident(), values

    def count(module: nn.Module, name: str, parameter: Tensor | None) -> None:
        nonlocal left
        if parameter is None or threading.get_ident() != thread:
            return
        left -= parameter.numel()
        if left < 0:
            raise ModelError(f"it would have more than {values} learned values, which its file does not hold")

    hook = register_module_parameter_registration_hook(count)
    try:
        yield
    finally:
        hook.remove()


def _fill(network: nn.Module, tensors: Mapping[str, Tensor], *, where: str) -> None:
    """Copy the tensors into the network; raise ModelError unless names and shapes fit exactly."""
    slots = {name: tensor for name, tensor in network.state_dict().items() if not name.endswith(_COUNTER)}
    missing, extra = sorted(slots.keys() - tensors.keys()), sorted(tensors.keys() - slots.keys())
    misfit = f"{where}: weights and card do not fit:"
    for names, problem in ((missing, "are missing"), (extra, "are unknown")):
        if names:
            raise ModelError(f"{misfit} {len(names)} tensors {problem} (the first: {names[0]})")
    for name, tensor in slots.items():
        if tensor.shape != tensors[name].shape:
            got, expected = tuple(tensors[name].shape), tuple(tensor.shape)
            raise ModelError(f"{misfit} tensor {name} should be {expected}, got {got}")
        if not torch.isfinite(tensors[name]).all():
            raise ModelError(f"{where}: tensor {name} holds values that are not finite: the file is no good")
        tensor.copy_(tensors[name])


def _stored(name: str, tensor: Tensor, *, half: bool) -> Tensor:
    if not tensor.is_floating_point():
        return tensor.contiguous()
    if not torch.isfinite(tensor).all():
        raise ModelError(f"tensor {name} holds values that are not finite: training diverged, nothing was saved")
    if not half or tensor.ndim < 2:
        return tensor.float().contiguous()
    stored = tensor.half()
    if not torch.isfinite(stored).all():
        raise ModelError(
            f"tensor {name} reaches {tensor.abs().max().item():.3g}, more than float16 holds (65504): save as float32"
        )
    return stored.contiguous()


def _write(target: Path, metadata: Mapping[str, str], tensors: Mapping[str, Tensor]) -> None:
    table = [(name, _DTYPES[tensor.dtype], tuple(tensor.shape), tensor.nbytes) for name, tensor in tensors.items()]
    bodies = (tensor.reshape(-1).view(torch.uint8).numpy().tobytes() for tensor in tensors.values())
    write_file(target, chain([header.encode(metadata, table)], bodies))
