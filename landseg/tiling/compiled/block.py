"""The width of this processor's blocks in ONNX Runtime's blocked layout, found by trying: no function tells it."""

from __future__ import annotations

import functools
from collections.abc import Mapping

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from landseg.runtime.cache import cache_folder
from landseg.tiling.compiled.blocked import Blocks, Packing
from landseg.tiling.compiled.emit import Written
from landseg.tiling.compiled.graph import BLOCKED, Graph, Value
from landseg.tiling.compiled.kept_graphs import kept_or_written
from landseg.tiling.compiled.sessions import Session, as_value

_BLOCKS = (16, 8)
_CHANNELS = 32


@functools.cache
def processor_block() -> int:
    """Return the channels in a block of this processor; 0 where its convolutions have no such layout."""
    return next((block for block in _BLOCKS if _is_right(block)), 0)


def _is_right(block: int) -> bool:
    """Return True if a convolution in blocks of this width computes what it should."""
    numbers = np.random.default_rng(0)
    x = numbers.standard_normal((1, _CHANNELS, 3, 5)).astype(np.float32)
    weights = {
        "weight": numbers.standard_normal((_CHANNELS, _CHANNELS, 1, 1)).astype(np.float32),
        "bias": numbers.standard_normal(_CHANNELS).astype(np.float32),
    }
    folder = cache_folder(f"blocks-ort{onnxruntime.__version__}")
    place = None if folder is None else folder / f"{block}.graph"
    written = kept_or_written(place, weights, lambda: _graph(block, weights))
    values = {packing.name: as_value(packing.pack(weights)) for packing in written.used}
    try:
        y = Session(written.content, values, threads=1, optimize=False).run({"x": x})["y"]
    except Exception:  # its errors have no type of their own: the operators are not there, or refuse
        return False
    expected = np.einsum("oi,nihw->nohw", weights["weight"][:, :, 0, 0], x) + weights["bias"][:, None, None]
    return bool(np.allclose(y, expected, rtol=1e-4, atol=1e-4))


def _graph(block: int, weights: Mapping[str, NDArray[np.float32]]) -> Written:
    """Return the graph of a pointwise convolution."""
    graph = Graph(block)
    value = graph.blocked(graph.take("x", Value("", _CHANNELS)))
    packings = [Packing("weight", "dense", (_CHANNELS,), block), Packing("bias", "bias", (_CHANNELS,), block)]
    arrays = [graph.weight(packing, weights) for packing in packings]
    attributes = {"kernel_shape": [1, 1], "strides": [1, 1], "dilations": [1, 1], "group": 1, "pads": [0, 0, 0, 0]}
    made = graph.node("Conv", [value.name, *arrays], domain=BLOCKED, **attributes)
    graph.give("y", graph.plain(Value(made, _CHANNELS, Blocks(block, (_CHANNELS,)))))
    return Written(graph.model().SerializeToString(), tuple(graph.weights), {})
