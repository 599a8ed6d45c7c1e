"""Colours for classes without a colour: those expected of a name, and distinct colours for all others."""

from __future__ import annotations

import colorsys
import math
import re
from collections.abc import Iterable, Sequence

Color = tuple[int, int, int]

# One row a meaning: its colour, and the words that have it, without their endings.
_MEANINGS: tuple[tuple[Color, str], ...] = (
    ((52, 121, 201), "water river lake sea ocean pond reservoir canal stream"),
    ((77, 190, 205), "pool"),
    ((84, 148, 138), "wetland marsh swamp bog mangrove"),
    ((31, 107, 58), "forest tree wood woodland canopy deciduous conifer evergreen broadleaf"),
    ((109, 163, 77), "vegetation green plant garden park"),
    ((158, 201, 93), "grass grassland meadow pasture lawn herbaceous rangeland"),
    ((163, 177, 80), "shrub shrubland scrub bush bushland heath heathland"),
    ((226, 183, 62), "crop cropland field agriculture agricultural farm farmland arable cultivated parcel orchard"),
    ((180, 128, 40), "vineyard plantation"),
    ((214, 69, 54), "building built urban house roof settlement residential city town"),
    ((96, 96, 102), "road street highway railway runway path track"),
    ((150, 144, 150), "impervious pavement paved asphalt concrete parking sidewalk artificial"),
    ((201, 166, 120), "bare soil sand barren beach desert ground land dune quarry bareland"),
    ((146, 121, 105), "rock cliff gravel"),
    ((222, 240, 247), "snow ice glacier"),
    ((205, 208, 214), "cloud"),
    ((58, 54, 70), "shadow"),
    ((199, 55, 149), "car vehicle boat ship truck"),
    ((185, 178, 163), "background other unknown unclassified rest nothing"),
)  # fmt: skip
_ENDINGS = ("", "s", "es", "e", "al", "ed")
_DENIALS = frozenset(("no", "non", "not", "without"))

# Okabe and Ito's (2008) colours, which people with any kind of colour vision tell apart, black left out; then others
# of the same kind of spacing (Paul Tol's "muted").
_DISTINCT: tuple[Color, ...] = (
    (230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (0, 114, 178), (213, 94, 0), (204, 121, 167),
    (51, 34, 136), (136, 34, 85), (153, 153, 51), (170, 68, 153), (68, 170, 153),
)  # fmt: skip
_APART = 48.0  # distance of two colours, in steps of 0..255 along red, green and blue, below which they look alike
_SHADES = (1.0, 0.72, 1.3, 0.5)  # of a colour that several names mean, darker and lighter in turn


def colors_of(names: Sequence[str], taken: Iterable[Color] = ()) -> list[Color]:
    """Return a colour (red, green, blue; 0..255) for each name, no two alike.

    A name that means something in land cover has the colour that people expect of it (water blue, forest green);
    of two names that mean the same the second has another shade. All others have colours that people with any kind
    of colour vision tell apart, as long as there are no more than a dozen.

    Args:
        names: of the classes; words are English ones and their plurals.
        taken: colours that other classes have already.

    >>> colors_of(["water", "trees", "non-water"])
    [(52, 121, 201), (31, 107, 58), (230, 159, 0)]
    """
    used = list(taken)
    found: dict[int, Color] = {}
    for index, name in enumerate(names):
        expected = expected_color(name)
        if expected is not None:
            found[index] = _free((_shaded(expected, shade) for shade in _SHADES), used)
            used.append(found[index])
    for index in range(len(names)):
        if index not in found:
            found[index] = _free(_DISTINCT, used)
            used.append(found[index])
    return [found[index] for index in range(len(names))]


def expected_color(name: str) -> Color | None:
    """Return the colour that people expect of a class of this name, None where the name says nothing.

    The last word with a meaning counts, since that is the noun in English: "road vegetation" is vegetation.
    """
    words = re.findall(r"[a-z]+", name.lower())
    if _DENIALS.intersection(words):
        return None
    for word in reversed(words):
        for color, roots in _MEANINGS:
            if any(word == root + ending for root in roots.split() for ending in _ENDINGS):
                return color
    return None


def _free(wanted: Iterable[Color], used: Sequence[Color]) -> Color:
    """Return the first colour that is not like one in use: a wanted one, else one from around the colour circle."""
    for color in wanted:
        if all(_distance(color, other) >= _APART for other in used):
            return color
    circle = [
        _rgb(number * 0.618034 % 1, saturation, value)
        for saturation, value in ((0.65, 0.9), (0.9, 0.6), (0.4, 0.75))
        for number in range(64)
    ]

    def apart(color: Color) -> float:
        return min(2 * _APART, *(_distance(color, other) for other in used))

    return max(circle, key=apart)


def _distance(one: Color, other: Color) -> float:
    return math.dist(one, other)


def _shaded(color: Color, factor: float) -> Color:
    """Return a darker (below 1) or lighter (above 1) shade of a colour."""
    if factor <= 1:
        return _whole(part * factor for part in color)
    return _whole(255 - (255 - part) / factor**2 for part in color)


def _rgb(hue: float, saturation: float, value: float) -> Color:
    return _whole(255 * part for part in colorsys.hsv_to_rgb(hue, saturation, value))


def _whole(parts: Iterable[float]) -> Color:
    red, green, blue = (round(part) for part in parts)
    return red, green, blue
