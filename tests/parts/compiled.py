"""Networks compiled for ONNX Runtime, and what they make of an image, for tests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache, lru_cache
from math import lcm
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import nn

from landseg.geo.grid import Rect
from landseg.models.graph.write_recipe import recipe_of
from landseg.models.layers.aligned import BilinearDeconv, bilinear_kernel
from landseg.tiling.compiled.blocked import Blocks, Packing, dense_kernel, padded_bias
from landseg.tiling.compiled.graph import BLOCKED, Graph, Value
from landseg.tiling.compiled.network import CompiledNetwork
from landseg.tiling.compiled.row_stream import CompiledRows
from landseg.tiling.compiled.sessions import Session, as_value
from tests.parts.networks import small
from tests.parts.streamed import lively, whole

Array = NDArray[np.float32]
TOLERANCE = 1e-4
"""The largest difference from PyTorch that a logit may have, relative to the largest logit."""
TIE = 1e-3
"""The difference of the two best logits, relative to the largest, up to which classes may change places."""


def noise(*shape: int, seed: int = 0) -> Array:
    """Return standard normal numbers in float32."""
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


def lively_network(arch: str, encoder: str, **options: Any) -> nn.Module:
    """Return a narrow network in float32 whose every weight leaves its trace, zero-initialised ones too."""
    network = lively(small(arch, encoder, **options))
    for layer in network.modules():
        if isinstance(layer, BilinearDeconv):  # its weights are fixed
            layer.weight.copy_(bilinear_kernel(layer.kernel_size[0]))
    return network.float()


network_of = lru_cache(2)(lively_network)  # all of them would fill the memory
"""Return a lively network that several tests share."""


def compiled(network: nn.Module, *, bands: int = 3, threads: int = 1, block: int | None = None) -> CompiledNetwork:
    """Return a network compiled in the widest layout that this processor computes rightly, or one of a block."""
    recipe, weights = recipe_of(network, bands=bands)
    return CompiledNetwork(recipe, weights, threads=threads, block=blocks_here()[0] if block is None else block)


def run_graph(graph: Graph, weights: Mapping[str, Array], feeds: Mapping[str, Array]) -> dict[str, Array]:
    """Return the outputs of a graph, in whose weights each array has the order in which it is read."""
    values = {packing.name: as_value(packing.pack(weights)) for packing in graph.weights}
    session = Session(graph.model().SerializeToString(), values, threads=1, optimize=False)
    return session.run(feeds)


def convolved(
    weight: Array, packed: Array, bias: Array, inputs: Sequence[Array], block: int, *, depthwise: bool = False
) -> Array:
    """Return the convolution of plain values that are made blocked and joined, with a kernel in blocked order."""
    graph = Graph(block)
    parts = [graph.blocked(graph.take(f"v{i}", Value("", x.shape[1]))) for i, x in enumerate(inputs)]
    blocks = Blocks(block, tuple(part.channels for part in parts))
    joined = graph.node("Concat", [part.name for part in parts], axis=1) if len(parts) > 1 else parts[0].name
    outputs = blocks if depthwise else Blocks(block, (len(weight),))
    attributes = {
        "kernel_shape": list(weight.shape[2:]), "strides": [1, 1], "dilations": [1, 1], "pads": [0, 0, 0, 0],
        "group": outputs.padded if depthwise else 1,
    }  # fmt: skip
    weights = {"weight": packed, "bias": padded_bias(bias, outputs)}
    arrays = [graph.weight(Packing(name), weights) for name in weights]
    made = graph.node("Conv", [joined, *arrays], domain=BLOCKED, **attributes)
    graph.give("y", graph.plain(Value(made, len(weight), outputs)))
    return run_graph(graph, weights, {f"v{i}": x for i, x in enumerate(inputs)})["y"]


@cache
def blocks_here() -> tuple[int, ...]:
    """Return the blocks that this processor computes rightly, the widest first; 0 is the plain layout."""
    x, weight, bias = noise(1, 32, 5, 6), noise(48, 32, 3, 3, seed=1), noise(48, seed=2)
    expected = F.conv2d(*(torch.from_numpy(array) for array in (x, weight, bias))).numpy()
    right = []
    for block in (16, 8):
        got = convolved(weight, dense_kernel(weight, Blocks(block, (32,))), bias, [x], block)
        if np.allclose(got, expected, atol=1e-3):
            right.append(block)
    return (*right, 0)


def collected(rows: CompiledRows, x: Array, pushes: Sequence[int] = (50,)) -> Array:
    """Return the logits of a stream's region, each row given exactly once and in order.

    Args:
        rows: the stream.
        x: the whole raster (1, bands, height, width).
        pushes: heights of the pushes, by turns.
    """
    reads = rows.reads
    x = x[:, :, reads.top : reads.bottom, reads.left : reads.right]
    parts: list[Array] = []
    at, following = 0, rows.region.top
    with rows:
        for height in heights_of(x.shape[2], pushes):
            for row, logits in rows.push(np.ascontiguousarray(x[:, :, at : at + height])):
                assert row == following
                following = row + logits.shape[2]
                assert rows.due >= following
                parts.append(logits.copy())
            at += height
    assert following == rows.region.bottom
    made = np.concatenate(parts, 2)
    assert made.dtype == np.float32 and made.shape[2:] == (rows.region.height, rows.region.width)
    return made


def heights_of(height: int, pushes: Sequence[int]) -> Iterator[int]:
    """Yield heights by turns until they make a whole."""
    at, number = 0, 0
    while at < height:
        yield min(pushes[number % len(pushes)], height - at)
        at += pushes[number % len(pushes)]
        number += 1


def streamed(
    network: CompiledNetwork, x: Array, *, pushes: Sequence[int] = (50,), region: Rect | None = None, strip: int = 64
) -> Array:
    """Return the logits of an image, or of a region of it, from a compiled stream."""
    return collected(CompiledRows(network, (x.shape[2], x.shape[3]), region=region, strip=strip), x, pushes)


def strip_of(network: CompiledNetwork, least: int = 64) -> int:
    """Return the lowest height of strips that a network may have, and that is at least some rows."""
    return -(-least // network.rows.period) * network.rows.period


def tall(network: CompiledNetwork, strip: int = 64, *, steps: int = 2) -> int:
    """Return an odd height for which every section takes so many steps before its last."""
    rows, height = network.rows, 1
    each = [network.step_of(number, strip) for number in range(len(network.sections))]
    jump = lcm(*each)
    while any(
        len(rows.steps(part, height, step).times) < steps for part, step in zip(network.sections, each, strict=True)
    ):
        height += min(jump, 2 * rows.period)
    return height + 13 + height % 2


def every_step(network: CompiledNetwork, x: Array, strip: int) -> list[int]:
    """Return the number of steps that each section takes over an image."""
    return [
        len(network.rows.steps(part, x.shape[2], network.step_of(number, strip)).times) + 1
        for number, part in enumerate(network.sections)
    ]


def off(got: Array, expected: Array) -> float:
    """Return the largest difference, relative to the largest value."""
    assert got.shape == expected.shape
    return float(np.abs(got - expected).max() / max(1e-30, np.abs(expected).max()))


def whole_image(network: nn.Module, x: Array) -> Array:
    """Return what PyTorch makes of a whole image in float32."""
    return whole(network, torch.from_numpy(x)).numpy()


def check_same(got: Array, expected: Array) -> None:
    """Check that logits are PyTorch's but for rounding, and classes but for near-ties."""
    assert off(got, expected) <= TOLERANCE
    two = np.sort(expected, axis=1)[:, -2:]
    near = two[:, 1] - two[:, 0] < TIE * np.abs(expected).max()
    assert ((got.argmax(1) == expected.argmax(1)) | near).all()
