"""Whether a model can read a raster: the card's bands, dtype and resolution against the raster's."""

from __future__ import annotations

from landseg.errors import BandError, GridError, LandsegError
from landseg.models.card import Card
from landseg.models.usable import better_text
from landseg.text.amounts import counted

MAX_FACTOR = 4.0
"""How far a raster's resolution may lie from the card's, either way, before it is refused."""


def reads_rgb(card: Card) -> bool:
    """Whether the model reads red, green and blue, which can be found in a raster without being told."""
    return tuple(band.common_name for band in card.bands) == ("red", "green", "blue")


def incompatibility(
    card: Card, *, bands: int, dtype: str | None, resolution_m: float | None = None
) -> LandsegError | None:
    """Returns why the model cannot read a raster, as the error to raise; None when it can.

    Args:
        card: The model's.
        bands: The raster's bands, alpha left out; or the number of those that were chosen.
        dtype: Of its pixels; None where it does not matter, since scale and offset say what they mean.
        resolution_m: Ground metres a pixel; None when unknown or overruled, which is not a misfit.
    """
    wanted = f"{counted(len(card.bands), 'band')} ({', '.join(band.name for band in card.bands)})"
    if bands < len(card.bands):
        return BandError(
            f"model {card.name} reads {wanted}, the raster has {bands}: use a raster with all of them, "
            "or a model trained on the ones it has"
        )
    if bands > len(card.bands) and not reads_rgb(card):
        return BandError(
            f"model {card.name} reads {wanted}, the raster has {bands}: name the ones to use, in this "
            "order, with --bands"
        )
    if dtype is not None and dtype not in card.dtypes:
        return BandError(
            f"model {card.name} reads {' or '.join(card.dtypes)} pixels, the raster has {dtype}: convert it "
            f"as the training data was, or use a model trained on {dtype}"
        )
    return _scale_misfit(card, resolution_m)


def _scale_misfit(card: Card, resolution_m: float | None) -> GridError | None:
    if card.resolution_m is None or resolution_m is None:
        return None
    factor = card.resolution_m / resolution_m
    if 1 / MAX_FACTOR <= factor <= MAX_FACTOR:
        return None
    times = max(factor, 1 / factor)
    better = better_text(card, resolution_m)
    way = f"{better}, or say" if better else "say"
    return GridError(
        f"model {card.name} works at {card.resolution_m:.3g} m a pixel, the raster has {resolution_m:.3g} m: "
        f"{times:.3g} times apart, more than {MAX_FACTOR:g}; {way} with --resolution what to run it at"
    )
