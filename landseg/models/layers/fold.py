"""Batch norms folded into the convolutions before them: the same function with fewer passes over memory."""

from __future__ import annotations

import copy

import torch
from torch import fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from landseg.models.layers.scores import compute_scores_in_float32
from landseg.models.layers.trace import trace


def fold_batch_norm(network: nn.Module) -> fx.GraphModule:
    """Return an inference copy of ``network`` whose batch norms are part of the convolutions before them.

    The network itself does not change. Activations stay; layers that only act in training are removed.
    The outputs agree with those of ``network.eval()`` to rounding.
    """
    # Traced in eval mode and copied: the folded weights must not reach the caller's network.
    traced = trace(copy.deepcopy(network).eval())
    modules = dict(traced.named_modules())
    folds: dict[str, str] = {}  # batch norm -> convolution; a layer that runs several times is folded once
    for node in list(traced.graph.nodes):
        if node.op != "call_module":
            continue
        layer = modules[node.target]
        if isinstance(layer, nn.Identity | nn.Dropout | nn.Dropout2d):
            _replace(traced, node, None)
        elif isinstance(layer, nn.BatchNorm2d) and _follows_own_conv(node, modules):
            conv_name = str(node.args[0].target)
            if str(node.target) not in folds:
                folds[str(node.target)] = conv_name
                traced.set_submodule(conv_name, fuse_conv_bn_eval(modules[conv_name], layer))
            assert folds[str(node.target)] == conv_name, "shared layers follow each other the same way every time"
            activation = getattr(layer, "act", None)  # timm's norm layers carry their activation
            drop = activation is None or isinstance(activation, nn.Identity)
            _replace(traced, node, None if drop else activation)
    traced.graph.lint()
    traced.recompile()
    return traced


def _follows_own_conv(node: fx.Node, modules: dict[str, nn.Module]) -> bool:
    """Return True if the batch norm reads a convolution whose result no other layer reads."""
    before = node.args[0]
    return (
        isinstance(before, fx.Node)
        and before.op == "call_module"
        and isinstance(modules[str(before.target)], nn.Conv2d)
        and len(before.users) == 1
    )


def _replace(traced: fx.GraphModule, node: fx.Node, layer: nn.Module | None) -> None:
    """Put ``layer`` in place of the node's module; remove the node if ``layer`` is None."""
    if layer is not None:
        if isinstance(layer, nn.ReLU | nn.ReLU6):
            layer.inplace = True
        traced.set_submodule(str(node.target), layer)
        return
    source = node.args[0]
    assert isinstance(source, fx.Node)
    node.replace_all_uses_with(source)
    traced.graph.erase_node(node)


def prepare_for_inference(network: nn.Module, *, device: torch.device, dtype: torch.dtype) -> fx.GraphModule:
    """Return the folded network on a device, with weights of ``dtype`` in channels-last layout.

    The layers that make the scores of classes compute in float32 for every ``dtype`` of fewer bits.
    """
    folded, exact = fold_batch_norm(network), {}
    if dtype.itemsize < torch.float32.itemsize:
        exact = {name: copy.deepcopy(folded.get_submodule(name)) for name in compute_scores_in_float32(folded)}
    folded.to(dtype=dtype)
    for name, layer in exact.items():  # before its weights were rounded
        folded.set_submodule(name, layer)
    return folded.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]
