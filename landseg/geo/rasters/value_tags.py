"""ValueTags: the meaning of a band's stored numbers, as the raster's scale and offset declare it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

_NEARLY = 1e-6  # relative: tags that were stored in float32 are still the same, and so are 16-bit numbers under them


@dataclass(frozen=True)
class ValueTags:
    """A band's value is ``stored * scale + offset``; 1 and 0 mean that nothing is declared.

    >>> ValueTags(0.0001, -0.1).text, ValueTags().text
    ('stored x 0.0001 - 0.1', 'no scale and offset')
    """

    scale: float = 1.0
    offset: float = 0.0

    @classmethod
    def of(cls, scale: float, offset: float) -> ValueTags:
        """Return the tags of a scale and an offset; a scale of 0, and infinity or NaN, count as undeclared."""
        if not (math.isfinite(scale) and math.isfinite(offset) and scale):
            return cls()
        return cls(float(scale), float(offset))

    @property
    def declared(self) -> bool:
        """True if a scale or an offset is declared."""
        return (self.scale, self.offset) != (1.0, 0.0)

    def to_json(self) -> dict[str, float]:
        """Return scale and offset as JSON values; {} where nothing is declared."""
        return {"scale": self.scale, "offset": self.offset} if self.declared else {}

    @property
    def text(self) -> str:
        """The formula, for a sentence."""
        if not self.declared:
            return "no scale and offset"
        shift = f" {'-' if self.offset < 0 else '+'} {abs(self.offset):.10g}" if self.offset else ""
        return f"stored x {self.scale:.10g}{shift}"

    def same_as(self, other: ValueTags) -> bool:
        """Return whether equal stored numbers mean equal values, rounding of the tags aside."""
        far = _NEARLY * max(abs(self.offset), abs(other.offset), abs(self.scale))
        return math.isclose(self.scale, other.scale, rel_tol=_NEARLY) and abs(self.offset - other.offset) <= far

    def onto(self, other: ValueTags) -> tuple[float, float]:
        """Return (factor, shift): ``stored * factor + shift`` is stored by ``other`` for the same value."""
        return self.scale / other.scale, (self.offset - other.offset) / other.scale


def tags_text(tags: Sequence[ValueTags]) -> str:
    """Return the formulas of several bands in one phrase; one formula where all are alike.

    >>> tags_text([ValueTags(0.1), ValueTags(0.1)]), tags_text([ValueTags(0.1), ValueTags()])
    ('stored x 0.1', 'band 1 stored x 0.1, band 2 no scale and offset')
    """
    if len(set(tags)) == 1:
        return tags[0].text
    return ", ".join(f"band {number} {one.text}" for number, one in enumerate(tags, start=1))
