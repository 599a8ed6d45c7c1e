"""Lengths in pixels or in metres, as users write them."""

from __future__ import annotations

import math
from dataclasses import dataclass

from landseg.errors import GridError
from landseg.geo.grid import Grid


@dataclass(frozen=True)
class Distance:
    """A length in pixels or in metres on the ground.

    >>> Distance.of("2.5m"), Distance.of("3px"), Distance.of(3)
    (Distance(value=2.5, metres=True), Distance(value=3.0, metres=False), Distance(value=3.0, metres=False))
    """

    value: float
    metres: bool = False

    @classmethod
    def of(cls, text: str | float | Distance) -> Distance:
        """Read "2.5m", "3px" or a number of pixels.

        Raises:
            GridError: anything else.
        """
        if isinstance(text, Distance):
            return text
        plain = str(text).strip().lower()
        metres = plain.endswith("m")
        try:
            value = float(plain.removesuffix("px").removesuffix("m"))
        except ValueError:
            value = math.nan
        if not (math.isfinite(value) and value > 0):
            raise GridError(f"distance {text!r}: expected pixels or metres above 0, such as 3px or 2.5m")
        return cls(value, metres)

    def pixels(self, grid: Grid) -> int:
        """The same in whole pixels, at least 1.

        Raises:
            GridError: metres on a raster that does not know its resolution.
        """
        if not self.metres:
            return max(1, round(self.value))
        if grid.resolution_m is None:
            raise GridError(
                f"a distance of {self.value:g} m needs a raster with a CRS; give it in pixels, such as 3px"
            )
        return max(1, round(self.value / grid.resolution_m))
