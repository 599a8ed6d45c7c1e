"""The recipe of a network, written from its graph."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import fx, nn

from landseg.models.graph.folding import Arrays, Folding, Norm, fold_arrays, owner, tent
from landseg.models.graph.nodes import LiveGraph, LiveNode, Refused, live_graph
from landseg.models.graph.operators import pointwise_layer
from landseg.models.graph.recipe import ARRAYS, Form, Layer, NotCompilable, Recipe
from landseg.models.graph.rules import name_of
from landseg.models.layers.aligned import BilinearDeconv

_TWO = ("add", "subtract", "multiply", "divide", "maximum")


def recipe_of(network: nn.Module, *, bands: int) -> tuple[Recipe, Arrays]:
    """Return the recipe of a network in evaluation mode, and its float32 arrays with batch norms folded.

    Args:
        network: from (N, bands, H, W) to (N, channels, H, W).
        bands: the number of channels of its input.

    Raises:
        NotCompilable: a recipe cannot say a layer; it is named.
        ModelError: the network cannot be traced.
    """
    recipe, folding, tensors = describe_network(network, bands=bands)
    return recipe, fold_arrays(recipe, folding, tensors)


def describe_network(network: nn.Module, *, bands: int) -> tuple[Recipe, Folding, dict[str, NDArray[Any]]]:
    """Return the recipe of a network, what its arrays are made of, and the network's tensors that they need.

    Args and errors are those of `recipe_of`.
    """
    try:
        graph = live_graph(network, whole=True)
    except Refused as refused:
        raise _refusal(refused.layer, refused.why) from refused
    writer = _Writer(graph, bands)
    for live in graph.nodes:
        writer.add(live)
    recipe = Recipe(tuple(writer.layers), writer.value[graph.result], tuple(writer.channels))
    folding = writer.folding()
    names = {owner(layer) for layer in recipe.layers if layer.arrays} | {norm.name for norm in folding.norms.values()}
    tensors = {
        f"{name}.{key}": tensor.detach().float().cpu().numpy()
        for name in sorted(names)
        for key, tensor in graph.modules[name].state_dict().items()
    }
    for layer in recipe.layers:
        if layer.arrays and owner(layer) not in folding.tents and not _there(layer, tensors):
            raise _refusal(layer.name, "its weights are no tensors of its own")
    _refuse_whole_resizing(recipe)
    return recipe, folding, tensors


class _Writer:
    """The layers of a recipe while it is written.

    Attributes:
        layers, channels: those of the recipe.
        value: the value that each node makes.
        shared: values that several layers read, into whose layers none of them may be merged.
        norms: the batch norm that is folded into a layer, or is that layer, by the layer's value.
        tents: see `Folding`.
    """

    def __init__(self, graph: LiveGraph, bands: int) -> None:
        self.modules = graph.modules
        self.layers: list[Layer] = []
        self.channels = [bands]
        self.value: dict[fx.Node, int] = {graph.input: 0}
        self.shared = {0}
        self.norms: dict[int, Norm] = {}
        self.tents: dict[str, tuple[int, int]] = {}

    def add(self, live: LiveNode) -> None:
        """Add the layer of a node, or merge it into the layer before it."""
        module = self.modules.get(str(live.node.target)) if live.node.op == "call_module" else None
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            value = self._norm(live, module)
        elif live.operator.form is None:
            raise _refusal(name_of(live.node), "compiled graphs have no operator for it")
        else:
            value = self._layer(live, live.operator.form, module)
        self.value[live.node] = value
        if len(live.node.users) > 1:
            self.shared.add(value)

    def _norm(self, live: LiveNode, module: Any) -> int:
        """Fold a batch norm into the convolution before it, or add it; then add its own activation."""
        name, value = str(live.node.target), self.value[live.inputs[0]]
        norm = Norm(name, float(module.eps))
        before = self.layers[value - 1] if value else None
        free = value not in self.shared and value not in self.norms
        if before is None or before.kind != "conv" or _finished(before) or not free:
            value = self._append(live, ("scale", {}), name, [value])
        self.norms[value] = norm
        activation = getattr(module, "act", None)  # timm's norm layers carry their activation
        if activation is None or isinstance(activation, nn.Identity):
            return value
        form = pointwise_layer(activation).form
        if form is None:
            raise _refusal(name, f"compiled graphs have no operator for its {type(activation).__name__}")
        return self._finish(live, form, f"{name}.act", value)

    def _layer(self, live: LiveNode, form: Form, module: nn.Module | None) -> int:
        kind, settings = form
        inputs = [self.value[node] for node in live.inputs]
        if kind == "identity" or (kind == "upsample" and settings["factor"] == 1 and live.like is None):
            return inputs[0]
        name = str(live.node.target)
        if kind in _TWO and "constant" not in settings and len(inputs) == 1:
            inputs *= 2  # a sum of a value and itself
        if kind in ("relu", "clip"):
            return self._finish(live, form, name, inputs[0])
        if isinstance(module, BilinearDeconv) and "weight" not in module.state_dict():
            self.tents[name] = made = module.in_channels, int(module.kernel_size[0])
            if not np.array_equal(module.weight.float().cpu().numpy(), tent(*made)):
                raise _refusal(name, "its fixed weights are not bilinear")
        return self._append(live, form, name, inputs)

    def _finish(self, live: LiveNode, form: Form, name: str, value: int) -> int:
        """Merge a clamp into the convolution right before it, or add a layer on each pixel alone."""
        kind, settings = form
        before = self.layers[value - 1] if value else None
        mergeable = kind in ("relu", "clip") and value not in self.shared
        if before is None or before.kind != "conv" or _finished(before) or not mergeable:
            return self._append(live, form, name, [value])
        bounds = {key: bound for key, bound in {"low": 0.0, **settings}.items() if math.isfinite(bound)}
        self.layers[value - 1] = replace(before, settings={**before.settings, **bounds})
        return value

    def _append(self, live: LiveNode, form: Form, name: str, inputs: Sequence[int]) -> int:
        kind, settings = form
        arrays = {role: f"{name}.{role}" for role in ARRAYS.get(kind, ())}
        like = None if live.like is None else self.value[live.like]
        self.layers.append(Layer(name_of(live.node), kind, tuple(inputs), like, dict(settings), arrays))
        self.channels.append(live.operator.channels([self.channels[value] for value in inputs]))
        return len(self.layers)

    def folding(self) -> Folding:
        """Return what the arrays are made of.

        Raises:
            NotCompilable: a layer that runs several times has another batch norm behind it each time.
        """
        norms: dict[str, Norm | None] = {}
        for value, layer in enumerate(self.layers, 1):
            if layer.arrays and norms.setdefault(owner(layer), self.norms.get(value)) != self.norms.get(value):
                raise _refusal(layer.name, "it runs several times, before different batch norms")
        return Folding({name: norm for name, norm in norms.items() if norm is not None}, self.tents)


def _refuse_whole_resizing(recipe: Recipe) -> None:
    """Raise NotCompilable if a layer resizes more than a single unit to any size."""
    for layer in recipe.layers:
        if layer.kind == "expand" and layer.inputs[0] not in recipe.points:
            raise _refusal(layer.name, "it resizes by no factor of its own")


def _finished(layer: Layer) -> bool:
    """Return True if a convolution's results are clamped already."""
    return "low" in layer.settings or "high" in layer.settings


def _there(layer: Layer, tensors: Mapping[str, NDArray[np.generic]]) -> bool:
    """Return True if the network holds what the arrays of a layer are made of."""
    name = owner(layer)
    needed = {"scale": "running_mean"}.get(layer.kind, "weight")
    return f"{name}.{needed}" in tensors and (layer.kind != "channel_norm" or f"{name}.bias" in tensors)


def _refusal(layer: str, why: str) -> NotCompilable:
    return NotCompilable(f"{layer} cannot be compiled ({why})")
