"""Growing a pixel forest: scikit-learn's trees on labelled pixels, copied into the tables of the network.

The trees are extremely randomized ones (Geurts, Ernst, Wehenkel 2006): on the sample tiles they were grown in a fifth
of the time of a random forest's and were as good on scenes that they had not seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from landseg.models.networks.pixel_forest import PixelForest
from landseg.training.labelled_pixels import PixelData, Pixels, draw_pixels

PIXELS = 200_000
"""Labelled pixels that a forest is grown on, at most."""
_FEWEST = 3  # pixels of a leaf, and of many pixels more: fewer fit the polygons that were learned, not others
_LEAF, _RARE = 400, 10  # parts of all pixels, and of the rarest class's
_EVENNESS = 0.75  # 0: classes weigh as their labelled pixels, 1: all the same; on unseen scenes more was better


def grow(data: PixelData, like: PixelForest, *, most: int = PIXELS, seed: int = 0) -> tuple[PixelForest, Pixels]:
    """Return a network with trees grown on labelled pixels, and the pixels; the same for a seed.

    Args:
        data: what is learned from.
        like: a network with the bands, classes and limits of the new one.
        most: pixels that are drawn.
        seed: of pixels and trees.

    Raises:
        TrainingError: no pixel has a label of one class.
        RasterError: a scene cannot be read.
    """
    pixels = draw_pixels(data, like.features, most=most, seed=seed)
    grown = _classifier(like, seed, _leaf(pixels)).fit(pixels.features, pixels.target, sample_weight=weights(pixels))
    return planted(grown.estimators_, grown.classes_, like), pixels


def _leaf(pixels: Pixels) -> int:
    """Return the fewest pixels of a leaf."""
    counts = np.bincount(pixels.target)
    return max(_FEWEST, min(len(pixels.target) // _LEAF, int(counts[counts > 0].min()) // _RARE))


def _classifier(like: PixelForest, seed: int, leaf: int) -> Any:
    from sklearn.ensemble import ExtraTreesClassifier  # takes a second

    forest = like.forest
    return ExtraTreesClassifier(
        forest.trees,
        max_leaf_nodes=max(2, forest.leaves),
        max_depth=forest.depth,
        min_samples_leaf=leaf,
        max_features="sqrt",
        random_state=seed,
        n_jobs=torch.get_num_threads(),
    )


def weights(pixels: Pixels) -> NDArray[np.float64]:
    """Return the weight of each pixel (n,), by its class.

    A class with 16 times as many labelled pixels counts twice as much: the commonest one must not win everywhere, nor
    rare ones be found everywhere.
    """
    drawn = np.bincount(pixels.target, minlength=len(pixels.labelled))
    each = pixels.labelled ** (1.0 - _EVENNESS) / np.maximum(drawn, 1)
    weight: NDArray[np.float64] = each[pixels.target]
    weight /= weight.mean()
    return weight


def planted(trees: Sequence[Any], classes: NDArray[np.integer[Any]], like: PixelForest) -> PixelForest:
    """Return a network with the trees of scikit-learn's decision tree classifiers, its tables as small as they are.

    Args:
        trees: fitted; their input are the network's features.
        classes: class index of each of their outputs.
        like: a network with the bands, classes and windows of the new one.
    """
    leaves = max(int(tree.tree_.n_leaves) for tree in trees)
    depth = max(1, *(int(tree.tree_.max_depth) for tree in trees))
    network = PixelForest(
        like.bands, classes=like.classes, trees=len(trees), leaves=leaves, depth=depth, windows=like.windows
    )
    forest = network.forest
    shape = (forest.trees, forest.nodes)
    feature, threshold, child = (t.view(shape) for t in (forest.feature, forest.threshold, forest.child))
    rows = forest.probability.view(forest.trees, forest.leaves, forest.classes)
    outputs = torch.from_numpy(np.asarray(classes, np.int64))
    for number, tree in enumerate(trees):
        *tables, probability = _tables(tree.tree_)
        for whole, part in zip((feature, threshold, child), tables, strict=True):
            whole[number, : len(part)] = torch.from_numpy(part)
        rows[number, : len(probability)] = 0
        rows[number, : len(probability), outputs] = torch.from_numpy(probability)
    network.check_tables()
    return network.eval()


def _tables(tree: Any) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Return a tree's tables in the form of `models.layers.forest.Forest`: level by level, children side by side."""
    left, right = tree.children_left, tree.children_right
    order, level = [], np.zeros(1, np.int64)
    while level.size:
        order.append(level)
        parents = level[left[level] >= 0]
        level = np.stack([left[parents], right[parents]], axis=1).ravel()
    nodes = np.concatenate(order)
    place = np.empty(len(nodes), np.int64)
    place[nodes] = np.arange(len(nodes))
    inner = left[nodes] >= 0
    child = np.where(inner, place[np.where(inner, left[nodes], 0)], np.cumsum(~inner) - 1)
    feature = np.where(inner, tree.feature[nodes], -1)
    counts = tree.value[nodes[~inner], 0]
    probability = counts / counts.sum(axis=1, keepdims=True)
    threshold = np.where(inner, tree.threshold[nodes], 0.0)
    return feature.astype(np.int16), _down(threshold), child.astype(np.int32), probability.astype(np.float32)


def _down(threshold: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return the largest float32 that is not above: float32 features lie on the same sides of it."""
    near = threshold.astype(np.float32)
    return np.where(near > threshold, np.nextafter(near, np.float32(-np.inf)), near)
