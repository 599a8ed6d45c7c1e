"""RescaledSource: imagery whose stored numbers are brought over to other scale and offset tags."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landseg.errors import BandError
from landseg.geo.grid import Rect
from landseg.geo.rasters.source import Pixels, Source
from landseg.geo.rasters.value_tags import ValueTags, tags_text
from landseg.geo.resample import work_dtype

KEEP = "--stored-values takes stored numbers as they are"
NO_BRIGHTNESS = "which are no brightness"
"""What indices are to who learns from imagery."""


class RescaledSource(Source):
    """Another source, as if it had been stored with other scale and offset tags; what holds data stays the same.

    Pixels are float32, or float64 where float32 does not hold every stored number, and not rounded.
    """

    def __init__(self, base: Source, tags: Sequence[ValueTags]) -> None:
        bands = replace(base.bands, values=tuple(tags))
        super().__init__(base.name, base.paths, base.grid, bands, dtype=np.dtype(work_dtype(base.dtype)).name)
        self.remarks = base.remarks
        self.base = base
        self._steps = [have.onto(want) for have, want in zip(base.bands.value_tags, tags, strict=True)]

    @property
    def block(self) -> tuple[int, int]:
        return self.base.block

    def at_scale(self, factor: float) -> Source:
        return RescaledSource(self.base.at_scale(factor), self.bands.value_tags)  # rounded as the others are

    def close(self) -> None:
        self.base.close()

    def _read(self, rect: Rect) -> Pixels:
        pixels, valid = self.base.read(rect)
        return rescaled(pixels, self._steps, self.dtype), valid

    def _files(self) -> list[dict[str, Any]]:
        return self.base._files()


def rescaled(pixels: NDArray[Any], steps: Sequence[tuple[float, float]], dtype: str) -> NDArray[Any]:
    """Return pixels (C, h, w) times each band's factor plus its shift, in a float dtype.

    Values without data may be as large as there are; whatever becomes of them has no meaning.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        made = pixels.astype(dtype)
        for band, (factor, shift) in zip(made, steps, strict=True):
            if factor != 1:
                band *= band.dtype.type(factor)
            if shift:
                band += band.dtype.type(shift)
    return made


def refuse_indices(source: Source, use: str) -> None:
    """Nothing, unless the source's numbers are indices of a colour table.

    Raises:
        BandError: so it is, with the cure.
    """
    if source.indexed is not None:
        raise BandError(indices_text(source.indexed, use))


def indices_text(name: str, use: str) -> str:
    """The sentence about imagery of palette indices, with what it was to be used for, and the cure."""
    return f"{name} holds palette indices, {use}: convert it first (gdal_translate -expand rgb)"


def alike(have: Sequence[ValueTags], want: Sequence[ValueTags]) -> bool:
    """Whether stored numbers mean the same under both."""
    return all(one.same_as(other) for one, other in zip(have, want, strict=True))


def comparable(have: Sequence[ValueTags], want: Sequence[ValueTags]) -> bool:
    """Whether one can be brought over to the other: each band's values are declared by both, or stored alike."""
    pairs = zip(have, want, strict=True)
    return all(one.same_as(other) or (one.declared and other.declared) for one, other in pairs)


def brought_over(source: Source, want: Sequence[ValueTags], *, like: str) -> Source:
    """Return the source with its stored numbers as ``want`` has them: itself where the tags are alike.

    Args:
        source: whose tags are looked at; closing the result closes it.
        want: tags, one a band.
        like: what has them, for the sentence.

    Raises:
        BandError: one side declares scale and offset and the other does not.
    """
    have = source.bands.value_tags
    if alike(have, want):
        return source
    if not comparable(have, want):
        raise BandError(one_sided(source.name, have, want, like=like))
    return RescaledSource(source, want)


def one_sided(name: str, have: Sequence[ValueTags], want: Sequence[ValueTags], *, like: str) -> str:
    """The sentence about tags of which one side alone declares some, with the cure."""
    pairs = list(zip(have, want, strict=True))
    what = f"{name} declares {tags_text(have)}, {like} {tags_text(want)}"
    missing = next((want for have, want in pairs if want.declared and not have.declared), None)
    if missing is None:
        return f"{what}: use imagery without the tags, or a model trained on imagery with them; {KEEP}"
    cure = f"gdal_edit.py -scale {missing.scale:.10g} -offset {missing.offset:.10g} {name}"
    return f"{what}: declare what its numbers mean ({cure}); {KEEP}"
