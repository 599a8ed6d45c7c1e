"""Pictures for a page: layers as compressed data URIs, within a budget of bytes."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from landseg.geo.grid import Rect
from landseg.geo.reduce import nearest
from landseg.report.html.map_layers import MapLayers, Picture, majority

if TYPE_CHECKING:
    from PIL.Image import Image

BUDGET = 10_000_000  # bytes of all pictures of a page; in base64 a third more
LAYERS = ("image", "truth", "prediction", "error", "confidence")
_QUALITY = 75  # of WebP
_LEVELS = 48  # of confidence: more compress worse, and the eye sees no difference
_SMALLEST = 64  # an overview is not shrunk below

Color = tuple[int, int, int]
RIGHT: Color = (216, 226, 233)
WRONG: Color = (200, 48, 16)
# Dark blue to yellow, of even steps in lightness, also for the colour-blind (after cividis, Nunez et al. 2018).
CONFIDENCE: tuple[Color, ...] = ((0, 34, 78), (62, 75, 108), (124, 123, 120), (187, 174, 104), (254, 232, 56))

Encoded = dict[str, bytes]


def encoded_layers(layers: MapLayers, colors: Sequence[Color], budget: int = BUDGET) -> list[dict[str, Any]]:
    """Return overview and crops as plain JSON: ``rect`` [top, left, height, width] and a data URI a layer.

    Where they do not fit, crops are left out from the last, and then the overview is made smaller.
    """
    crops: list[tuple[Picture, Encoded]] = []
    left = budget
    for crop in layers.crops:
        files = encoded(crop, colors)
        if _size(files) > left - budget // 2:  # at least half is the overview's
            break
        crops.append((crop, files))
        left -= _size(files)
    overview, files = layers.overview, encoded(layers.overview, colors)
    while _size(files) > left and max(_shape(overview)) > _SMALLEST:
        overview = shrunk(overview, min(0.9, 0.95 * math.sqrt(left / _size(files))))
        files = encoded(overview, colors)
    return [with_files(picture.rect, files) for picture, files in [(overview, files), *crops]]


def picture_bytes(pictures: Sequence[dict[str, Any]]) -> int:
    """Return the bytes of pictures, before base64 makes them a third longer."""
    return sum(3 * len(url) // 4 for picture in pictures for url in picture["layers"].values())


def encoded(picture: Picture, colors: Sequence[Color]) -> Encoded:
    """Return the layers of a picture as files: imagery as WebP, everything else as PNG with a palette."""
    from PIL import Image

    found: Encoded = {}
    if picture.image is not None:
        found["image"] = _file(Image.fromarray(_opaque(picture.image)), "WEBP", quality=_QUALITY, method=3)
    for name, indices, palette in (
        ("truth", picture.truth, colors),
        ("prediction", picture.prediction, colors),
        ("error", picture.error, (RIGHT, WRONG)),
    ):
        if indices is not None:
            found[name] = paletted(indices, palette)
    if picture.confidence is not None:
        finite = np.isfinite(picture.confidence)
        steps = np.clip(np.where(finite, picture.confidence, 0) * _LEVELS, 0, _LEVELS - 1).astype(np.uint8)
        found["confidence"] = paletted(np.where(finite, steps, np.uint8(255)), _ramp())
    return found


def shrunk(picture: Picture, factor: float) -> Picture:
    """Return a picture in fewer pixels: classes by majority, the rest at the nearest pixel."""
    old = _shape(picture)
    shape = (max(1, round(old[0] * factor)), max(1, round(old[1] * factor)))
    at = np.ix_(nearest(old[0], shape[0]), nearest(old[1], shape[1]))
    return replace(
        picture,
        image=None if picture.image is None else picture.image[at],
        truth=None if picture.truth is None else majority(picture.truth, shape),
        prediction=None if picture.prediction is None else majority(picture.prediction, shape),
        confidence=None if picture.confidence is None else picture.confidence[at],
    )


def _ramp() -> list[Color]:
    """Return the colours of the steps of confidence."""
    at = np.linspace(0, len(CONFIDENCE) - 1, _LEVELS)
    parts = [np.interp(at, range(len(CONFIDENCE)), channel).round() for channel in zip(*CONFIDENCE, strict=True)]
    return [(int(r), int(g), int(b)) for r, g, b in zip(*parts, strict=True)]


def _opaque(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return colours without the fourth channel where all of it is opaque."""
    return np.ascontiguousarray(image[..., :3] if image.shape[2] == 4 and image[..., 3].all() else image)


def paletted(indices: NDArray[np.uint8], palette: Sequence[Color]) -> bytes:
    """Return a PNG in the colours of ``palette``, transparent where the index is none of its."""
    from PIL import Image

    empty = len(palette)
    image = Image.fromarray(np.minimum(indices, empty).astype(np.uint8), "L")
    image.putpalette([part for color in (*palette, (0, 0, 0)) for part in color])  # turns it into mode P
    bits = next(bits for bits in (1, 2, 4, 8) if empty < 1 << bits)
    return _file(image, "PNG", transparency=empty, bits=bits, compress_level=7)


def _file(image: Image, kind: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def with_files(rect: Rect, files: Encoded) -> dict[str, Any]:
    """Return the layers over a rectangle as plain JSON, each a data URI."""
    urls = {
        name: f"data:image/{_kind(name)};base64,{base64.b64encode(data).decode()}" for name, data in files.items()
    }
    return {"rect": [rect.top, rect.left, rect.height, rect.width], "layers": urls}


def _kind(name: str) -> str:
    return "webp" if name == "image" else "png"


def _size(files: Encoded) -> int:
    return sum(map(len, files.values()))


def _shape(picture: Picture) -> tuple[int, int]:
    layers = (picture.image, picture.truth, picture.prediction, picture.confidence)
    height, width = next(layer for layer in layers if layer is not None).shape[:2]
    return height, width
