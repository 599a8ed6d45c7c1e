"""RescaledSource: imagery with its stored numbers brought over to other scale and offset tags."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landseg.errors import BandError
from landseg.geo.grid import Rect
from landseg.geo.rasters.source import DerivedSource, Pixels, Source
from landseg.geo.rasters.value_tags import ValueTags, tags_text
from landseg.geo.resample import work_dtype

KEEP = "--stored-values takes stored numbers as they are"
NO_BRIGHTNESS = "which are no brightness"
"""The words for `refuse_indices` where imagery is learned from."""


class RescaledSource(DerivedSource):
    """Another source, as if it had been stored with other scale and offset tags; its validity stays the same.

    Pixels are float32, or float64 where float32 does not hold every stored number, and not rounded.
    """

    def __init__(self, base: Source, tags: Sequence[ValueTags]) -> None:
        bands = replace(base.bands, values=tuple(tags))
        super().__init__(base, base.grid, bands=bands, dtype=np.dtype(work_dtype(base.dtype)).name)
        self._steps = [have.onto(want) for have, want in zip(base.bands.value_tags, tags, strict=True)]

    @property
    def block(self) -> tuple[int, int]:
        return self.base.block

    def at_scale(self, factor: float) -> Source:
        return RescaledSource(self.base.at_scale(factor), self.bands.value_tags)  # rounded as the other scales are

    def _read(self, rect: Rect) -> Pixels:
        pixels, valid = self.base.read(rect)
        return rescale(pixels, self._steps, self.dtype), valid


def rescale(pixels: NDArray[Any], steps: Sequence[tuple[float, float]], dtype: str) -> NDArray[Any]:
    """Return pixels (C, h, w) times each band's factor plus its shift, in a float dtype.

    Values without data may be as large as the dtype allows; their results have no meaning.
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
    """Raise BandError if the source's numbers are indices of a colour table.

    Args:
        source: of imagery.
        use: words for the sentence: the use of the numbers.

    Raises:
        BandError: they are indices; the sentence says how to convert them.
    """
    if source.indexed is not None:
        raise BandError(indices_text(source.indexed, use))


def indices_text(name: str, use: str) -> str:
    """Return the sentence about imagery of palette indices, with words for its use, and the cure."""
    return f"{name} holds palette indices, {use}: convert it first (gdal_translate -expand rgb)"


def alike(have: Sequence[ValueTags], want: Sequence[ValueTags]) -> bool:
    """Return whether stored numbers mean the same under both."""
    return all(one.same_as(other) for one, other in zip(have, want, strict=True))


def comparable(have: Sequence[ValueTags], want: Sequence[ValueTags]) -> bool:
    """Return whether numbers can be brought over: each band's values are declared by both, or stored alike."""
    pairs = zip(have, want, strict=True)
    return all(one.same_as(other) or (one.declared and other.declared) for one, other in pairs)


def with_tags(source: Source, want: Sequence[ValueTags], *, like: str) -> Source:
    """Return a source with its stored numbers brought over to other tags: itself where the tags are alike.

    Args:
        source: of imagery; closing the result closes it.
        want: the other tags, one a band.
        like: the owner of these tags, for the sentence.

    Raises:
        BandError: one side declares scale and offset and the other does not.
    """
    have = source.bands.value_tags
    if alike(have, want):
        return source
    if not comparable(have, want):
        raise BandError(one_sided_text(source.name, have, want, like=like))
    return RescaledSource(source, want)


def one_sided_text(name: str, have: Sequence[ValueTags], want: Sequence[ValueTags], *, like: str) -> str:
    """Return the sentence about two sources of which only one declares scale and offset, with the cure."""
    pairs = list(zip(have, want, strict=True))
    both = f"{name} declares {tags_text(have)}, {like} {tags_text(want)}"
    missing = next((want for have, want in pairs if want.declared and not have.declared), None)
    if missing is None:
        return f"{both}: use imagery without the tags, or a model trained on imagery with them; {KEEP}"
    cure = f"gdal_edit.py -scale {missing.scale:.10g} -offset {missing.offset:.10g} {name}"
    return f"{both}: declare what its numbers mean ({cure}); {KEEP}"
