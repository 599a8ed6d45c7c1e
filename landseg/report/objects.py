"""Objects in pictures: each in a bright colour of its own, outlined."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_TINT, _EDGE = 0.4, 0.9  # how much of an object's colour covers the imagery, inside and on its outline
_GOLDEN = 0.6180339887498949  # of a circle: hues of numbers that follow each other lie far apart


def objects_over(
    imagery: NDArray[Any], colors: NDArray[np.uint8], objects: NDArray[Any], *, tint: float = _TINT
) -> NDArray[np.uint8]:
    """Return colours (h, w, 3) with each object in a colour of its own over the imagery, outlined.

    Args:
        imagery: (h, w, 3), from 0 to 255.
        colors: (h, w, 3), where no object is.
        objects: (h, w) numbers; 0 and less are none.
        tint: how much of an object's colour covers the imagery, from 0 to 1.
    """
    there, outline = objects > 0, np.zeros(objects.shape, bool)
    for one, other in ((np.s_[:-1], np.s_[1:]), (np.s_[:, :-1], np.s_[:, 1:])):
        differs = objects[one] != objects[other]
        outline[one] |= differs
        outline[other] |= differs
    strength = np.where(outline, _EDGE, tint)[..., None]
    mixed = imagery * (1 - strength) + object_colors(objects) * strength
    return np.where(there[..., None], np.rint(mixed).astype(np.uint8), colors)


def object_colors(numbers: NDArray[Any]) -> NDArray[np.float32]:
    """Return a bright colour (..., 3) for each number of an object: always the same, and far from the next ones'."""
    hue = (numbers.astype(np.float64) * _GOLDEN)[..., None] % 1 * 6
    away = np.abs((hue + np.array([0, 4, 2])) % 6 - 3)  # from the hue of the opposite colour
    made: NDArray[np.float32] = (255 * np.clip(away - 1, 0, 1)).astype(np.float32)
    return made
