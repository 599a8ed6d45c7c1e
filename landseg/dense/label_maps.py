"""The label maps that a scene may have, by name: what tasks make targets of.

"class" is a map of class indices, or of the label sets of partial labels; "coarse" one of coarse classes; "instance"
one of the numbers of objects, 0 for none, and `OUTSIDE`; "interior" one of the distance of each pixel to the outline
of its object, as a share of the largest such distance in the whole object, in 254ths, 0 outside. Outlines are those
of whole objects, also where a scene or a crop cuts them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from landseg.classes import IGNORE_INDEX

DTYPES: dict[str, Any] = {"class": np.uint8, "coarse": np.uint8, "instance": np.int32, "interior": np.uint8}
"""The dtype of each map."""
UNKNOWN = {"class": IGNORE_INDEX, "coarse": IGNORE_INDEX, "instance": -1, "interior": 255}
"""The value of each map where nothing is known."""
OUTSIDE = -2
"""The number in the map "instance" outside all objects that are known: these end there, and others may be there."""

AVERAGED = frozenset({"interior"})
"""The maps of quantities: a larger pixel has the mean of those that it covers, and not the commonest value."""
INTERIOR = 254
"""The value of the map "interior" in the middle of an object."""


def unknown_map(name: str, shape: tuple[int, ...]) -> NDArray[Any]:
    """Return a label map (h, w) of which nothing is known."""
    unknown: NDArray[Any] = np.full(shape, UNKNOWN[name], DTYPES[name])
    return unknown
