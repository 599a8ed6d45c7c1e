"""The dense CRF over a raster of any size: windows with a halo, as for any other operator."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landseg.crf.energy import Array, CrfOptions, Scene
from landseg.crf.fast import halo as exact_halo
from landseg.crf.fast import refine
from landseg.geo.grid import Rect
from landseg.tiling.windows import Window, WindowPlan, plan_windows

Read = Callable[[Rect], tuple[NDArray[Any], NDArray[Any], NDArray[np.bool_] | None]]
"""A rectangle of the raster to probabilities (K, h, w), image (C, h, w) and validity (h, w) or None: all valid."""


def plan_crf(
    shape: tuple[int, int],
    options: CrfOptions,
    *,
    bands: int,
    window: int,
    halo: int | None = None,
    pixel_size: tuple[float, float] = (1.0, 1.0),
) -> WindowPlan:
    """The windows of a raster of ``shape`` (height, width).

    Args:
        shape: of the raster.
        options: weights and widths.
        bands: of the image.
        window: side of the square that is read, halo included.
        halo: None is the exact one. A shorter one is cheaper, and leaves differences at the seams.
        pixel_size: (height, width) of a pixel, in the unit of the widths.

    Raises:
        PlanError: the halos leave no core; the message says which window would do.
    """
    needed = exact_halo(options, bands=bands, pixel_size=pixel_size) if halo is None else halo
    return plan_windows(shape, window=window, halo=needed, stride=1)


def refine_windows(
    read: Read, plan: Iterable[Window], options: CrfOptions, *, pixel_size: tuple[float, float] = (1.0, 1.0)
) -> Iterator[tuple[Rect, Array]]:
    """Yield every window's core with its probabilities (K, h, w), in their order; memory is that of one window."""
    for window in plan:
        probs, image, valid = read(window.rect)
        scene = Scene.of(image, valid, pixel_size, (window.rect.top, window.rect.left))
        rows, columns = window.core.relative_to(window.rect).slices
        yield window.core, refine(probs, scene, options)[:, rows, columns]
