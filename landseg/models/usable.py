"""Which pixel sizes a model is for, and what to say of a raster whose pixels are not of such a size."""

from __future__ import annotations

from collections.abc import Sequence

from landseg.errors import ModelError
from landseg.models import shipped
from landseg.models.card import Card
from landseg.models.read_card import card_in

_NEARLY = 0.05  # sizes that agree to a twentieth are one


def sizes_text(sizes: Sequence[float] | None) -> str:
    """Return the smallest and the largest pixel, in metres, as words; nothing for None.

    >>> sizes_text((0.1, 2.0)), sizes_text((10.0, 10.0)), sizes_text(None)
    ('0.1 to 2 m', '10 m', '')
    """
    if sizes is None:
        return ""
    low, high = sizes
    return f"{low:.3g} m" if low == high else f"{low:.3g} to {high:.3g} m"


def outside_warning(card: Card, *, pixel_m: float | None, run_m: float | None) -> str | None:
    """Return the sentence about a raster outside the pixel sizes that a model is for; None inside, or not known.

    Pixels that are averaged to a size inside are inside: the network sees that size. Pixels larger than the largest
    are outside at any size that the network runs at, for resampling makes nothing finer.

    Args:
        card: the model's.
        pixel_m: of the raster, in metres; None: not known.
        run_m: of what the network sees, in metres; None: not known.
    """
    if card.usable_resolution_m is None or pixel_m is None or run_m is None:
        return None
    wanted = f"model {card.name} is for {sizes_text(card.usable_resolution_m)} a pixel"
    if pixel_m > card.usable_resolution_m[1] and not _holds(card, pixel_m):
        size, seen = pixel_m, f"its pixels are {pixel_m:.3g} m wide"
    elif not _holds(card, run_m):
        size, seen = run_m, f"the network runs at {run_m:.3g} m a pixel"
    else:
        return None
    finest = card.usable_resolution_m[0]
    averaged = f"--resolution {finest:.3g} averages them to a size that it is for" if size < finest else None
    return (
        f"{seen}, but {wanted}: its map may be wrong throughout, however high the confidence; "
        f"{better_text(card, size) or averaged or 'train a model on such imagery (landseg train)'}"
    )


def better_text(card: Card, metres: float) -> str | None:
    """Return which shipped model is for pixels of this size, and how to choose it; None where none is.

    Only models that read the bands and the dtypes of this one are named.
    """
    for name in shipped.names():
        try:
            other = card_in(shipped.resolve(name))
        except ModelError:  # whoever chooses it hears of it
            continue
        same_pixels = set(other.dtypes) & set(card.dtypes) and _bands(other) == _bands(card)
        if name != card.name and same_pixels and other.usable_resolution_m and _holds(other, metres):
            return f"{name} is for {sizes_text(other.usable_resolution_m)} a pixel: use -m {name}"
    return None


def _bands(card: Card) -> tuple[str, ...]:
    return tuple(band.common_name or band.name for band in card.bands)


def _holds(card: Card, metres: float) -> bool:
    """Whether a size lies in the card's range, or all but."""
    low, high = card.usable_resolution_m or (0.0, float("inf"))
    return low / (1 + _NEARLY) <= metres <= high * (1 + _NEARLY)
