"""The flood of `landseg.dense.flood` written pixel by pixel from its definition, without strips or whole arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Pixel = tuple[int, int]


def flood_slowly(levels: NDArray[np.uint16], mask: NDArray[np.bool_], rise: float, smallest: int = 1) -> NDArray[Any]:
    """Return the ids (h, w) of a small map of levels."""
    pixels = [(int(row), int(col)) for row, col in np.argwhere(mask)]
    inside = set(pixels)

    def order(pixel: Pixel) -> tuple[int, Pixel]:
        return -int(levels[pixel]), pixel

    def beside(pixel: Pixel) -> list[Pixel]:
        row, col = pixel
        return [one for one in ((row - 1, col), (row, col - 1), (row, col + 1), (row + 1, col)) if one in inside]

    basin: dict[Pixel, Pixel] = {}
    for pixel in sorted(pixels, key=order):
        best = min([pixel, *beside(pixel)], key=order)
        basin[pixel] = pixel if best == pixel else basin[best]
    saddles: dict[frozenset[Pixel], tuple[int, tuple[Pixel, Pixel]]] = {}
    for pixel in pixels:
        for other in beside(pixel):
            if pixel < other and basin[pixel] != basin[other]:
                found = (-min(int(levels[pixel]), int(levels[other])), (pixel, other))
                two = frozenset((basin[pixel], basin[other]))
                saddles[two] = min(found, saddles.get(two, found))
    group = {summit: summit for summit in basin.values()}
    for two, (level, _) in sorted(saddles.items(), key=lambda item: item[1]):
        groups = sorted({group[summit] for summit in two}, key=order)
        stays, goes = groups[0], groups[-1]
        if stays != goes and int(levels[goes]) + level < rise * 65535:
            group = {summit: stays if of == goes else of for summit, of in group.items()}
    members = {summit: [pixel for pixel in pixels if group[basin[pixel]] == summit] for summit in {*group.values()}}
    ids = np.zeros(levels.shape, np.uint32)
    for number, summit in enumerate(sorted(one for one in members if len(members[one]) >= smallest), 1):
        for pixel in members[summit]:
            ids[pixel] = number
    return ids
