"""The conversion of stride into dilation without a change of weights (Chen et al. 2017, DeepLab, section 3.1).

Where a layer loses its stride, *that layer keeps the dilation it had* and every later spatial layer is dilated
by the lost factor. Then the converted network, read at every ``lost factor``-th unit, is the original network,
borders included. Dilating the layer that lost its stride as well, as is often done, makes a different network.
"""

from __future__ import annotations

from typing import Any

from torch import fx, nn

from landseg.errors import ModelError
from landseg.models.layers.aligned import GridMaxPool2d
from landseg.models.layers.trace import trace

_SPATIAL = (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d, GridMaxPool2d)


def convert_stride_to_dilation(encoder: nn.Module, output_stride: int) -> None:
    """Convert ``encoder`` in place so that no feature has a stride above ``output_stride``.

    The layers are visited in the order of the traced graph, so the names of stages do not matter.

    Raises:
        ModelError: a layer cannot be dilated (average pooling), or the output stride cannot be reached.
    """
    if output_stride < 1 or output_stride & (output_stride - 1):
        raise ModelError(f"output_stride must be a power of two (8, 16, 32), got {output_stride}")
    traced = trace(encoder)
    modules = dict(traced.named_modules())
    state: dict[fx.Node, tuple[int, int]] = {}  # node -> (stride so far, dilation owed)
    converted: set[nn.Module] = set()
    for node in traced.graph.nodes:
        before = [state[n] for n in node.all_input_nodes if n in state]
        stride, dilation = max(before, default=(1, 1))
        layer = modules.get(str(node.target)) if node.op == "call_module" else None
        if isinstance(layer, _SPATIAL):
            lost = _convert(layer, stride, dilation, output_stride, str(node.target), layer in converted)
            converted.add(layer)
            kept = _pair(layer.stride)[0]
            stride, dilation = stride * kept, dilation * lost
        state[node] = (stride, dilation)


def _convert(layer: Any, stride: int, dilation: int, target: int, name: str, done: bool) -> int:
    """Dilate a layer, remove its stride if it would exceed ``target``, and return the factor lost."""
    own = _pair(layer.stride)
    needed = own != (1, 1) and stride * own[0] > target
    if (dilation > 1 or needed) and done:
        raise ModelError(f"layer {name} is used twice and cannot be dilated; choose another encoder")
    if dilation > 1 and _pair(layer.kernel_size) != (1, 1):
        if isinstance(layer, nn.AvgPool2d):
            raise ModelError(f"layer {name} is an average pool, which cannot be dilated; use output_stride 32")
        layer.dilation = tuple(d * dilation for d in _pair(layer.dilation))
        if not isinstance(layer, GridMaxPool2d):  # whose padding follows from its dilation
            layer.padding = tuple(p * dilation for p in _pair(layer.padding))
    if not needed:
        return 1
    if _pair(layer.kernel_size)[0] % 2 == 0 and not isinstance(layer, GridMaxPool2d):
        instead = "use output_stride 32" if target < 32 else "choose another encoder"
        raise ModelError(f"layer {name} has an even kernel, which without its stride fits no grid; {instead}")
    layer.stride = (1, 1)
    return own[0]


def _pair(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (int(value[0]), int(value[1]))
