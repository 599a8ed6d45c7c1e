"""The pixel sizes that a model is for, and the warning about a raster with pixels of another size."""

from __future__ import annotations

from collections.abc import Sequence

from landseg.errors import ModelError
from landseg.models import shipped
from landseg.models.card import Card
from landseg.models.read_card import card_in

_NEARLY = 0.05  # sizes that differ by less than a twentieth count as equal


def sizes_text(sizes: Sequence[float] | None) -> str:
    """Return the smallest and the largest pixel size, in metres, as text; "" for None.

    >>> sizes_text((0.1, 2.0)), sizes_text((10.0, 10.0)), sizes_text(None)
    ('0.1 to 2 m', '10 m', '')
    """
    if sizes is None:
        return ""
    low, high = sizes
    return f"{low:.3g} m" if low == high else f"{low:.3g} to {high:.3g} m"


def outside_warning(card: Card, *, pixel_m: float | None, run_m: float | None) -> str | None:
    """Return the warning about a raster outside the pixel sizes that a model is for; None if inside or unknown.

    Pixels that are averaged to a size inside the range are inside: the network reads that size. Pixels above the
    range are outside for every size of the network's input, since resampling adds no detail.

    Args:
        card: the card of the model.
        pixel_m: pixel size of the raster in metres; None if unknown.
        run_m: pixel size of the network's input in metres; None if unknown.
    """
    if card.usable_resolution_m is None or pixel_m is None or run_m is None:
        return None
    purpose = f"model {card.name} is for {sizes_text(card.usable_resolution_m)} a pixel"
    if pixel_m > card.usable_resolution_m[1] and not _holds(card, pixel_m):
        size, finding = pixel_m, f"its pixels are {pixel_m:.3g} m wide"
    elif not _holds(card, run_m):
        size, finding = run_m, f"the network runs at {run_m:.3g} m a pixel"
    else:
        return None
    finest = card.usable_resolution_m[0]
    averaged = f"--resolution {finest:.3g} averages them to a size that it is for" if size < finest else None
    return (
        f"{finding}, but {purpose}: its map may be wrong throughout, however high the confidence; "
        f"{better_text(card, size) or averaged or 'train a model on such imagery (landseg train)'}"
    )


def better_text(card: Card, metres: float) -> str | None:
    """Return the text about a shipped model that is for pixels of this size; None without such a model.

    Only models that read the bands and the dtypes of this card, and are of its task, are named.
    """
    for name in shipped.names():
        try:
            other = card_in(shipped.resolve(name))
        except ModelError:  # a damaged model is reported to a user who chooses it
            continue
        same_pixels = set(other.dtypes) & set(card.dtypes) and _bands(other) == _bands(card)
        fits = same_pixels and other.task == card.task and other.usable_resolution_m and _holds(other, metres)
        if fits and name != card.name:
            return f"{name} is for {sizes_text(other.usable_resolution_m)} a pixel: use -m {name}"
    return None


def _bands(card: Card) -> tuple[str, ...]:
    return tuple(band.common_name or band.name for band in card.bands)


def _holds(card: Card, metres: float) -> bool:
    """Return True if a size lies in the card's range, within the tolerance."""
    low, high = card.usable_resolution_m or (0.0, float("inf"))
    return low / (1 + _NEARLY) <= metres <= high * (1 + _NEARLY)
