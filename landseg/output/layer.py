"""Layer: the description of a raster of a run, before any file of it exists."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from landseg.classes import ClassMap
from landseg.geo.grid import Rect
from landseg.text.amounts import counted

DTYPES = ("uint8", "uint16", "uint32", "int32", "float32")


@dataclass(frozen=True)
class Layer:
    """A raster to write.

    A layer of ``classes`` takes the dtype and nodata of its class table. ``mask=True`` keeps validity in a
    mask band instead of a nodata value, for layers whose every value is data. ``scale`` times a stored value
    is the real one.

    A ``scratch`` layer becomes no file: it lies in the hidden folder of its ``path`` until the run ends, and other
    layers are made of it. A ``late`` layer is made once the others are complete: no step of the run writes it, and a
    resumed run writes all of it again.

    Raises:
        ValueError: a dtype that cannot be written, a nodata that it does not hold, or a dtype or nodata that
            contradicts the class table.
    """

    name: str
    path: Path
    dtype: str
    count: int = 1
    nodata: float | None = None
    scale: float | None = None
    band_names: tuple[str, ...] = ()
    classes: ClassMap | None = None
    resampling: Literal["average", "mode", "nearest"] = "average"
    mask: bool = False
    scratch: bool = False
    late: bool = False

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES:
            raise ValueError(f"layer {self.name!r}: dtype {self.dtype!r}, expected {', '.join(DTYPES)}")
        if self.nodata is not None and self.dtype != "float32":
            limits = np.iinfo(self.dtype)
            if not (limits.min <= self.nodata <= limits.max and self.nodata == int(self.nodata)):
                raise ValueError(f"layer {self.name!r}: {self.dtype} holds no nodata of {self.nodata}")
        if self.count < 1 or (self.band_names and len(self.band_names) != self.count):
            raise ValueError(
                f"layer {self.name!r}: {counted(self.count, 'band')} with {counted(len(self.band_names), 'name')}"
            )
        if self.mask and self.dtype != "uint8":
            raise ValueError(f"layer {self.name!r}: a mask band goes with uint8, not with {self.dtype}")
        if self.classes and (self.dtype, self.nodata) != (self.classes.dtype, self.classes.nodata):
            got, need = (
                f"{self.dtype}, nodata {self.nodata}",
                f"{self.classes.dtype}, nodata {self.classes.nodata}",
            )
            raise ValueError(f"layer {self.name!r} is {got}: its classes need {need}")

    @classmethod
    def of_classes(cls, name: str, path: Path, classes: ClassMap) -> Layer:
        """Return the layer of a class raster: one band, dtype and nodata of the table, overviews by majority."""
        dtype, nodata = classes.dtype, classes.nodata
        return cls(name, path, dtype, 1, nodata, None, ("class",), classes=classes, resampling="mode")

    @classmethod
    def of_probs(cls, name: str, path: Path, classes: ClassMap, *, dtype: str = "uint8") -> Layer:
        """Return the layer of probabilities, a band a class: uint8, scale 1/255 and a mask, or float32 with NaN."""
        if dtype == "uint8":
            return cls(name, path, dtype, len(classes), scale=1 / 255, band_names=classes.names, mask=True)
        return cls(name, path, dtype, len(classes), nodata=math.nan, band_names=classes.names)

    @property
    def raw_name(self) -> str:
        """The name of the raw file in the work folder of `path`, and of its VRT, without a suffix."""
        return f"scratch-{self.name}" if self.scratch else "pixels"

    @property
    def raw_bands(self) -> int:
        """The number of bands of the raw file: the layer's own, then the mask."""
        return self.count + self.mask

    @property
    def pixel_bytes(self) -> int:
        """The bytes of one pixel in the raw file."""
        return self.raw_bands * np.dtype(self.dtype).itemsize

    @property
    def empty(self) -> float:
        """The value of a pixel without data: nodata, or 0 under a mask band."""
        return 0 if self.mask or self.nodata is None else self.nodata

    def fitted(self, rect: Rect, pixels: NDArray[Any] | None, valid: NDArray[np.bool_] | None = None) -> NDArray[Any]:
        """Return the array (raw_bands, h, w) to store at a rectangle: pixels, empty where not valid, and any mask.

        It may be the given array.

        Args:
            rect: of h by w pixels.
            pixels: (h, w) or (count, h, w); None: no data.
            valid: (h, w); None: every pixel is.

        Raises:
            ValueError: the wrong shape or dtype; no dtype is converted.
        """
        if pixels is None:
            return np.full((self.raw_bands, *rect.shape), self.empty, self.dtype)
        pixels = pixels[np.newaxis] if pixels.ndim == 2 else pixels
        expected = (self.count, *rect.shape)
        if pixels.shape != expected or pixels.dtype != np.dtype(self.dtype):
            got = f"{pixels.dtype} {pixels.shape}"
            raise ValueError(f"layer {self.name!r} at {rect}: expected {self.dtype} {expected}, got {got}")
        if (valid is None or valid.all()) and not self.mask:
            return pixels  # as they are, without a copy
        out = np.full((self.raw_bands, *rect.shape), self.empty, self.dtype)
        shown = np.ones(rect.shape, bool) if valid is None else valid
        np.copyto(out[: self.count], pixels, where=shown)
        if self.mask:
            out[self.count] = shown * np.uint8(255)
        return out

    def to_json(self) -> dict[str, Any]:
        """Return every field of the layer except its path in JSON values; a usual layer has no kind in them."""
        kinds = {key for key in ("scratch", "late") if not getattr(self, key)}
        fields = {key: value for key, value in vars(self).items() if key not in {"path", "classes", *kinds}}
        return {**fields, "classes": self.classes and self.classes.to_json()}
