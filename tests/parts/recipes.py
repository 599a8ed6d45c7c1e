"""A recipe run layer by layer on a whole image, by the plainest means that PyTorch has."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from landseg.models.graph.recipe import Layer, Recipe, axes_of
from landseg.models.layers.aligned import AlignedDownsize, PadToMultiple, sample
from landseg.models.layers.upconv_parts import AlignedNearest, BedOfNails, MaxMask
from landseg.models.layers.upsample import AlignedUpsample

Settings = Mapping[str, Any]

_POINTWISE: dict[str, Callable[[Tensor, Settings], Tensor]] = {
    "relu": lambda x, s: x.clamp(min=0),
    "clip": lambda x, s: x.clamp(s["low"], s["high"]),
    "leaky_relu": lambda x, s: F.leaky_relu(x, s["slope"]),
    "elu": lambda x, s: F.elu(x, s["alpha"]),
    "gelu": lambda x, s: F.gelu(x, approximate=s["approximate"]),
    "silu": lambda x, s: x * torch.sigmoid(x),
    "mish": lambda x, s: F.mish(x),
    "hardswish": lambda x, s: x * (x + 3).clamp(0, 6) / 6,
    "hardsigmoid": lambda x, s: (x / 6 + 0.5).clamp(0, 1),
    "sigmoid": lambda x, s: torch.sigmoid(x),
    "tanh": lambda x, s: torch.tanh(x),
    "softplus": lambda x, s: F.softplus(x, s["beta"], s["threshold"]),
}
_TWO: dict[str, Callable[[Any, Any], Tensor]] = {
    "add": lambda a, b: a + b,
    "subtract": lambda a, b: a - b,
    "multiply": lambda a, b: a * b,
    "divide": lambda a, b: a / b,
    "maximum": torch.maximum,
}


def run_recipe(recipe: Recipe, arrays: Mapping[str, NDArray[np.float32]], x: Tensor) -> Tensor:
    """Return what the layers make of an image (N, C, H, W), in its dtype."""
    return run_layers(recipe, arrays, x)[recipe.output]


def run_layers(recipe: Recipe, arrays: Mapping[str, NDArray[np.float32]], x: Tensor) -> list[Tensor]:
    """Return every value that the layers make of an image (N, C, H, W), the image first, in its dtype."""
    values = [x]
    for number, layer in enumerate(recipe.layers):
        own = {role: torch.from_numpy(arrays[name]).to(x.dtype) for role, name in layer.arrays.items()}
        inputs = [values[value] for value in layer.inputs]
        made = _run(layer, inputs, own, None if layer.like is None else values[layer.like])
        assert made.shape[1] == recipe.channels[number + 1]
        if layer.like is None and recipe.unbounded_by is None:
            sizes = [axis.size(units) for axis, units in zip(axes_of(layer), inputs[0].shape[2:], strict=True)]
            assert list(made.shape[2:]) == sizes, layer
        values.append(made)
    return values


def _run(layer: Layer, inputs: Sequence[Tensor], own: Mapping[str, Tensor], like: Tensor | None) -> Tensor:
    kind, s, x = layer.kind, layer.settings, inputs[0]
    if kind in _POINTWISE:
        return _POINTWISE[kind](x, s)
    if kind in _TWO:
        pair = [*inputs, s["constant"]] if "constant" in s else list(inputs)
        return _TWO[kind](*(pair[::-1] if s.get("constant_first") else pair))
    if kind == "conv":
        y = F.conv2d(x, own["weight"], own["bias"], s["stride"], s["padding"], s["dilation"], s["groups"])
        return y.clamp(s.get("low", -np.inf), s.get("high", np.inf))
    if kind == "transposed":
        places = s["stride"], s["padding"], s["extra"], s["groups"], s["dilation"]
        return F.conv_transpose2d(x, own["weight"], own["bias"], *places)
    if kind in ("max_pool", "average_pool"):
        return _pool(layer, x)
    if kind == "scale":
        return x * own["scale"][:, None, None] + own["shift"][:, None, None]
    if kind == "prelu":
        return F.prelu(x, own["weight"])
    if kind == "channel_norm":
        away = x - x.mean(1, keepdim=True)
        away = away / (away.square().mean(1, keepdim=True) + s["eps"]).sqrt()
        return away * own["weight"][:, None, None] + own["bias"][:, None, None]
    if kind == "mean":
        return x.mean((2, 3), keepdim=True)
    if kind == "group_norm":
        return F.group_norm(x, s["groups"], own["weight"], own["bias"], s["eps"])
    if kind == "concat":
        return torch.cat([inputs[i] for i in s["order"]], 1)
    return _place(layer, x, like)


def _pool(layer: Layer, x: Tensor) -> Tensor:
    s = layer.settings
    if kind_is_mean := layer.kind == "average_pool":
        assert s["dilation"] == (1, 1) and not s["end"]
        divisor = {"divisor_override": s["divisor"]} if "divisor" in s else {}
        return F.avg_pool2d(x, s["kernel"], s["stride"], s["padding"], s["ceil"], s["count_include_pad"], **divisor)
    assert not kind_is_mean
    if s["end"]:
        (top, left), end = s["padding"], s["end"]
        x = F.pad(x, (left, left + end, top, top + end), value=-np.inf)
        return F.max_pool2d(x, s["kernel"], s["stride"], 0, s["dilation"], s["ceil"])
    return F.max_pool2d(x, s["kernel"], s["stride"], s["padding"], s["dilation"], s["ceil"])


def _place(layer: Layer, x: Tensor, like: Tensor | None) -> Tensor:
    """Run one of the layers that move units to another grid."""
    kind, s = layer.kind, layer.settings
    if kind == "expand":
        assert like is not None and x.shape[2:] == (1, 1)
        return x.expand(-1, -1, *like.shape[2:])
    if kind == "upsample":
        return AlignedUpsample(s["factor"], s["shift"])(x, like)
    if kind == "nearest":
        return AlignedNearest(s["factor"], s["shift"])(x, like)
    if kind == "upsize":
        assert like is not None
        for axis in (-2, -1):
            x = sample(x, axis, s["up"], s["down"], units=(0, like.shape[axis]))
        return x
    if kind == "downsize":
        return AlignedDownsize(s["up"], s["down"])(x)
    if kind == "crop":
        assert like is not None
        return x[..., s["start"] :, s["start"] :][..., : like.shape[2], : like.shape[3]]
    if kind == "crop_start":
        return x[..., s["count"] :, s["count"] :]
    if kind == "pad_to_multiple":
        return PadToMultiple(s["multiple"])(x)
    if kind == "shuffle":
        return F.pixel_shuffle(x, s["factor"])
    if kind == "nails":
        return BedOfNails(s["factor"])(x)
    assert kind == "max_mask", f"a recipe has no layer of kind {kind}"
    return MaxMask(s["factor"])(x)
