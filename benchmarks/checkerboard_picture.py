"""A picture of a checkerboard: the map, its spectrum with the stride's frequencies marked, and the share."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from benchmarks.checkerboard import checkerboard
from landseg.report.pictures import save_picture
from landseg.runtime.target_checks import check_suffix

_PAPER, _INK, _QUIET, _MARK = (252, 252, 250), (34, 36, 38), (112, 116, 120), (206, 62, 48)
_SIDE, _MARGIN = 384, 28
_DECADES = 6.0  # of the spectrum that are shown, below its largest value


def plot_checkerboard(maps: NDArray[Any], stride: int, out: Path, *, title: str = "Checkerboard") -> float:
    """Draws the first of the maps (..., H, W) beside its log power spectrum; returns the share at the stride.

    The middle of the spectrum is frequency 0, its edges 1/2 cycle a pixel; circles mark the stride's frequencies.

    Raises:
        OutputError: the picture cannot be written, or its name is not a picture's.
    """
    check_suffix(out, (".png", ".jpg", ".webp"), kind="a picture")
    share = checkerboard(maps, stride).share
    first = np.asarray(maps, np.float64).reshape(-1, *maps.shape[-2:])[0]
    title_font, small = (ImageFont.load_default(size) for size in (24, 15))
    canvas = Image.new("RGB", (2 * _SIDE + 3 * _MARGIN, _SIDE + 5 * _MARGIN), _PAPER)
    draw = ImageDraw.Draw(canvas)
    draw.text((_MARGIN, _MARGIN - 8), title, _INK, font=title_font)
    top, right = 3 * _MARGIN, _SIDE + 2 * _MARGIN
    for left, name, grey in ((_MARGIN, "Map", first), (right, "Spectrum (log)", _spectrum(first))):
        draw.text((left, top - 22), name, _QUIET, font=small)
        canvas.paste(_picture(grey), (left, top))
    _marks(draw, stride, (right, top))
    text = f"{100 * share:.2g} % of the variance repeats every {stride} px" if math.isfinite(share) else "a flat map"
    draw.text((_MARGIN, top + _SIDE + 16), text, _INK, font=small)
    save_picture(canvas, out)
    return share


def _spectrum(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The log power under a Hann window, frequency 0 in the middle, cut off some decades below the largest."""
    window = np.outer(np.hanning(values.shape[0] + 2)[1:-1], np.hanning(values.shape[1] + 2)[1:-1])
    centred = values - (values * window).sum() / window.sum()
    power = np.abs(np.fft.fftshift(np.fft.fft2(centred * window))) ** 2
    largest = power.max() or 1.0
    logs: NDArray[np.float64] = np.log10(np.maximum(power / largest, 10**-_DECADES))
    return logs


def _picture(values: NDArray[np.float64]) -> Image.Image:
    """Grey between the smallest and the largest value, at the side that pictures here have."""
    low, high = float(values.min()), float(values.max())
    grey = np.rint(255 * (values - low) / (high - low or 1.0)).astype(np.uint8)
    return Image.fromarray(grey).resize((_SIDE, _SIDE), Image.Resampling.NEAREST).convert("RGB")


def _marks(draw: ImageDraw.ImageDraw, stride: int, corner: tuple[int, int]) -> None:
    """A circle around each of the stride's frequencies, those on the edge on both sides."""
    steps = [i / stride for i in range(-(stride // 2), stride // 2 + 1)]
    for v in steps:
        for u in steps:
            if u or v:
                x, y = corner[0] + (u + 0.5) * (_SIDE - 1), corner[1] + (v + 0.5) * (_SIDE - 1)
                draw.ellipse((x - 7, y - 7, x + 7, y + 7), outline=_MARK, width=2)
