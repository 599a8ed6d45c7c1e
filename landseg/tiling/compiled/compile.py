"""A recipe compiled for this processor: in its blocked layout where that was seen to give the same results.

Networks that see the whole input become one graph for whole windows, others sections for streams.

The operators of the blocked layout are no public part of ONNX Runtime. So every kind of graph is run on noise once,
beside graphs of public operators alone, and is used if both agree; the verdict is kept with the graphs.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from landseg.errors import LandsegError
from landseg.models.graph.recipe import NotCompilable, Recipe
from landseg.runtime.cache import cache_folder, store
from landseg.tiling.compiled import whole_network
from landseg.tiling.compiled.block import processor_block
from landseg.tiling.compiled.network import CompiledNetwork
from landseg.tiling.compiled.row_stream import CompiledRows
from landseg.tiling.compiled.whole_network import WholeNetwork

Weights = Mapping[str, NDArray[np.float32]]
_NEARLY = 1e-4  # of the largest logit: rounding differs by far less
_WIDTH = 40  # columns of noise, so that a check takes little time at any height

_SIZES = ((67, _WIDTH), (32, 1 + _WIDTH))  # of noise that is computed whole

_log = logging.getLogger(__name__)


class _Network(Protocol):
    """A compiled network of either kind."""

    @property
    def block(self) -> int: ...


_N = TypeVar("_N", bound=_Network)


def compile_network(recipe: Recipe, weights: Weights, *, threads: int, key: str | None = None) -> CompiledNetwork:
    """Return a recipe's network, compiled in sections.

    Args:
        recipe: the layers.
        weights: their arrays.
        threads: that compute at the same time.
        key: of the model in the cache; None keeps nothing between processes.

    Raises:
        NotCompilable: a layer cannot be compiled, or ONNX Runtime cannot run it; the sentence says which, or why.
    """
    folder = _folder(key)

    def make(block: int) -> CompiledNetwork:
        return CompiledNetwork(recipe, weights, threads=threads, block=block, folder=folder)

    return _checked(make, lambda network: agrees(network, CompiledNetwork(recipe, weights)), folder)


def compile_whole(recipe: Recipe, weights: Weights, *, threads: int, key: str | None = None) -> WholeNetwork:
    """Return a recipe's network, compiled for whole windows; arguments and errors are those of `compile_network`."""
    folder = _folder(key)

    def make(block: int) -> WholeNetwork:
        return WholeNetwork(recipe, weights, threads=threads, block=block, folder=folder)

    def right(network: WholeNetwork) -> bool:
        return whole_network.agrees(network, WholeNetwork(recipe, weights), nearly=_NEARLY, sizes=_SIZES)

    return _checked(make, right, folder)


def _folder(key: str | None) -> Path | None:
    """Return the folder in the cache where the graphs of a model are kept."""
    return None if key is None else cache_folder(f"{key}-ort{onnxruntime.__version__}")


def _checked(make: Callable[[int], _N], is_right: Callable[[_N], bool], folder: Path | None) -> _N:
    """Return a network in the processor's blocks if that is right, and in the plain layout otherwise."""
    block = processor_block()
    if block:
        network = make(block)
        if _verdict(lambda: is_right(network), None if folder is None else folder / f"checked-{block}"):
            return network
        _log.warning("compiled graphs in blocks of %d are wrong here: the slower plain ones are used", block)
    return make(0)


def _verdict(find: Callable[[], bool], place: Path | None) -> bool:
    """Return whether a network is right: as was found before, or is found now and kept."""
    if place is not None and place.is_file():
        return place.read_bytes() == b"right"
    once = "" if place is None else ", once"  # without a place to keep the verdict, every process does it
    _log.info("writing the network's graphs for ONNX Runtime on this processor and checking them%s", once)
    try:
        right = find()
    except Exception as problem:  # errors of ONNX Runtime have no type of their own
        if isinstance(problem, LandsegError):
            raise
        words = " ".join(str(problem).split())[:200]
        raise NotCompilable(f"ONNX Runtime cannot run the network here ({words})") from problem
    if place is not None:
        store(place, b"right" if right else b"wrong")
    return right


def agrees(network: CompiledNetwork, other: CompiledNetwork) -> bool:
    """Return True if two compiled networks give the same logits for noise, in every kind of step."""
    strip = network.rows.period * max(1, 32 // network.rows.period)
    noise = np.random.default_rng(0)
    for height in (strip + 3, _enough(network, strip)):
        image = noise.standard_normal((1, network.recipe.channels[0], height, _WIDTH)).astype(np.float32)
        one, two = (_logits(each, image, strip) for each in (network, other))
        if not np.abs(one - two).max() <= _NEARLY * np.abs(two).max():
            return False
    return True


def _enough(network: CompiledNetwork, strip: int) -> int:
    """Return a height of images that take every section through every kind of step."""
    height = 3 * strip
    for number, section in enumerate(network.sections):
        step = network.step_of(number, strip)
        while len(network.rows.steps(section, height, step).times) < 2:
            height += step
    return height


def _logits(network: CompiledNetwork, image: NDArray[np.float32], strip: int) -> NDArray[np.float32]:
    with CompiledRows(network, (image.shape[2], image.shape[3]), strip=strip) as rows:
        return np.concatenate([logits for _, logits in rows.push(image)], axis=2)
