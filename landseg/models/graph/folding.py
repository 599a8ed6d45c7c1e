"""The arrays of a recipe, made of a network's tensors: batch norms folded into convolutions, in NumPy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landseg.models.graph.recipe import Layer, Recipe

Arrays = dict[str, NDArray[np.float32]]


@dataclass(frozen=True)
class Norm:
    """A batch norm: its name in the network, and what is added to its variances."""

    name: str
    eps: float


@dataclass(frozen=True)
class Folding:
    """The tensors that the arrays of a recipe are made of; an array not named here is the tensor of its name.

    Attributes:
        norms: the batch norm behind each convolution, and each batch norm that stays a layer, by the layer's name.
        tents: the (channels, kernel) of fixed bilinear kernels, which no model file holds, by the layer's name.
    """

    norms: Mapping[str, Norm] = field(default_factory=dict)
    tents: Mapping[str, tuple[int, int]] = field(default_factory=dict)


def fold_arrays(recipe: Recipe, folding: Folding, tensors: Mapping[str, NDArray[Any]]) -> Arrays:
    """Return the float32 arrays of a recipe by name.

    Args:
        recipe: the recipe.
        folding: what its arrays are made of.
        tensors: of the network, by name.

    Raises:
        ValueError: a tensor is missing, or its shape is not that of the layer.
    """
    made: Arrays = {}
    for number, layer in enumerate(recipe.layers):
        if layer.arrays and not set(layer.arrays.values()) <= made.keys():  # a layer may run several times
            arrays = _of_layer(layer, recipe, folding, tensors)
            made |= {layer.arrays[role]: np.ascontiguousarray(arrays[role], np.float32) for role in layer.arrays}
        for role, name in layer.arrays.items():
            _check(layer, role, made[name].shape, recipe.channels[number + 1], recipe.channels[layer.inputs[0]])
    return made


def owner(layer: Layer) -> str:
    """Return the name in the network of the layer whose arrays these are."""
    return next(iter(layer.arrays.values())).rpartition(".")[0]


def tent(channels: int, kernel: int) -> NDArray[np.float32]:
    """Return the weight (channels, 1, kernel, kernel) of bilinear resizing of each channel, for even kernels."""
    factor = np.float32((kernel + 1) // 2)
    centre = factor - 1 if kernel % 2 else factor - np.float32(0.5)
    taps = 1 - abs(np.arange(kernel, dtype=np.float32) - centre) / factor
    return np.broadcast_to(taps[:, None] * taps, (channels, 1, kernel, kernel))


def _of_layer(
    layer: Layer, recipe: Recipe, folding: Folding, tensors: Mapping[str, NDArray[Any]]
) -> dict[str, NDArray[Any]]:
    """Return the arrays of a layer by role."""
    name = owner(layer)
    if layer.kind == "scale":
        scale, shift = _affine(folding.norms.get(name), tensors)
        return {"scale": scale, "shift": shift}
    if layer.kind not in ("conv", "transposed"):
        return {role: _tensor(tensors, f"{name}.{role}") for role in layer.arrays}
    weight = tent(*folding.tents[name]) if name in folding.tents else _tensor(tensors, f"{name}.weight")
    across = (-1, *[1] * (weight.ndim - 1))
    outputs = weight.shape[0] if layer.kind == "conv" else weight.shape[1] * int(layer.settings["groups"])
    bias = tensors.get(f"{name}.bias", np.zeros(outputs, np.float32))
    if layer.kind == "conv" and name in folding.norms:
        scale, shift = _affine(folding.norms[name], tensors)
        if scale.shape != (outputs,) or bias.shape != (outputs,):
            raise ValueError(f"the batch norm behind {name} has {scale.shape[0]} channels, not {outputs}")
        return {"weight": weight * scale.reshape(across), "bias": bias * scale + shift}
    return {"weight": weight, "bias": bias}


def _affine(norm: Norm | None, tensors: Mapping[str, NDArray[Any]]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the factors and the summands of a batch norm's channels, in float64."""
    if norm is None:
        raise ValueError("a batch norm is not described")
    mean, variance = (_tensor(tensors, f"{norm.name}.running_{what}").astype(np.float64) for what in ("mean", "var"))
    scale = 1 / np.sqrt(variance + norm.eps)
    if (weight := tensors.get(f"{norm.name}.weight")) is not None:
        scale = scale * weight
    return scale, tensors.get(f"{norm.name}.bias", 0.0) - mean * scale


def _tensor(tensors: Mapping[str, NDArray[Any]], name: str) -> NDArray[Any]:
    if name not in tensors:
        raise ValueError(f"there is no tensor {name}")
    return tensors[name]


def _check(layer: Layer, role: str, shape: tuple[int, ...], outputs: int, inputs: int) -> None:
    """Raise ValueError if an array has another shape than its layer needs."""
    expected: tuple[int, ...] = (outputs,)
    if role == "weight" and layer.kind in ("conv", "transposed"):
        groups = int(layer.settings["groups"])
        first, second = (outputs, inputs) if layer.kind == "conv" else (inputs, outputs)
        expected = first, second // groups, *layer.settings["kernel"]
    if shape != expected and not (layer.kind == "prelu" and shape == (1,)):
        raise ValueError(f"the {role} of {layer.name} should be {expected}, got {shape}")
