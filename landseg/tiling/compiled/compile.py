"""A recipe compiled for this processor: in its blocked layout where that was seen to give the same results.

The operators of the blocked layout are no public part of ONNX Runtime. So every kind of graph is run on noise once,
beside graphs of public operators alone, and is used if both agree; the verdict is kept with the graphs.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from landseg.errors import LandsegError
from landseg.models.graph.recipe import NotCompilable, Recipe
from landseg.runtime.cache import cache_folder, store
from landseg.tiling.compiled.block import processor_block
from landseg.tiling.compiled.network import CompiledNetwork
from landseg.tiling.compiled.row_stream import CompiledRows

Weights = Mapping[str, NDArray[np.float32]]
_NEARLY = 1e-4  # of the largest logit: rounding differs by far less
_WIDTH = 40  # columns of noise, so that a check takes little time at any height

_log = logging.getLogger(__name__)


def compile_network(recipe: Recipe, weights: Weights, *, threads: int, key: str | None = None) -> CompiledNetwork:
    """Return a recipe's network, compiled.

    Args:
        recipe: the layers.
        weights: their arrays.
        threads: that compute at the same time.
        key: of the model in the cache; None keeps nothing between processes.

    Raises:
        NotCompilable: a layer cannot be compiled, or ONNX Runtime cannot run it; the sentence says which, or why.
    """
    folder = None if key is None else cache_folder(f"{key}-ort{onnxruntime.__version__}")
    block = processor_block()
    if block:
        network = CompiledNetwork(recipe, weights, threads=threads, block=block, folder=folder)
        if _is_right(network, folder):
            return network
        _log.warning("compiled graphs in blocks of %d are wrong here: the slower plain ones are used", block)
    return CompiledNetwork(recipe, weights, threads=threads, folder=folder)


def _is_right(network: CompiledNetwork, folder: Path | None) -> bool:
    """Return True if a network gives the results of one in the plain layout: as was found before, or is found now."""
    place = None if folder is None else folder / f"checked-{network.block}"
    if place is not None and place.is_file():
        return place.read_bytes() == b"right"
    plain = CompiledNetwork(network.whole, network.weights)
    try:
        right = agrees(network, plain)
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
