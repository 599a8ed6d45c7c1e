"""Which bands of a raster a model reads, and on which grid: everything that is checked before any work."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any

from landseg.errors import BandError, GridError
from landseg.geo.source import Source, open_source
from landseg.models.card import Card
from landseg.models.fit import misfit, reads_rgb
from landseg.tiling.place import Placement

_log = logging.getLogger(__name__)
_told: set[str] = set()  # rasters of unknown resolution that were already spoken of
NEARLY = 0.05  # resolutions that agree to a twentieth are one: nothing is resampled
_APART = (
    "; bands that lie in a file each are read as one raster with --stack (B02.tif B03.tif ..., in the order of the "
    "model), or through a VRT (gdalbuildvrt -separate)"
)
Paths = str | PathLike[str] | Sequence[str | PathLike[str]]


@dataclass(frozen=True)
class Matched:
    """A raster as a model reads it: at its own pixels, and at the network's."""

    source: Source
    network: Source
    placement: Placement

    def close(self) -> None:
        """Close every file."""
        self.source.close()

    def __enter__(self) -> Matched:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def match(
    paths: Paths,
    card: Card,
    *,
    bands: Sequence[int] | None = None,
    resolution_m: float | None = None,
    source_resolution_m: float | None = None,
    stack: bool = False,
) -> Matched:
    """The raster or mosaic with the model's bands in the model's order, and where the network's pixels lie on it.

    Without `bands`, a model of red, green and blue takes the raster's true colours, and any model takes bands
    that carry its names; otherwise the raster must have exactly the model's bands. The network runs at
    `resolution_m`, else at the card's resolution where that is named, else at the raster's pixels. Pixels of a raster
    that does not say how large they are, are `source_resolution_m` wide. With `stack`, several rasters are one with
    the bands of all.

    Raises:
        BandError: number, dtype or order of bands.
        GridError: resolutions too far apart, or one that is not known.
        RasterError: a raster cannot be opened.
    """
    source = open_source(paths, bands=bands, stack=stack)
    try:
        if bands is not None and len(bands) != len(card.bands):
            wanted = ", ".join(band.name for band in card.bands)
            raise BandError(
                f"--bands names {len(bands)}, model {card.name} reads {len(card.bands)} ({wanted}): name as many"
            )
        chosen = _bands(source, card) if bands is None else None
        if chosen is not None and chosen != source.band_numbers:
            source.close()
            source = open_source(paths, bands=chosen, stack=stack)
        if reads_rgb(card) and "palette" in source.colorinterp:
            raise BandError(
                f"{source.name} holds palette indices, model {card.name} reads red, green and blue: "
                "convert it first (gdal_translate -expand rgb)"
            )
        own = _resolution(source, source_resolution_m)
        known = own if resolution_m is None else None
        problem = misfit(card, bands=source.count, dtype=source.dtype, resolution_m=known)
        if problem is not None:
            apart = source.count == 1 < len(card.bands) and not stack
            raise type(problem)(f"{source.name}: {problem}{_APART if apart else ''}")
        if stack:
            _tell_stack(source, card)
        factor = _factor(source, card, own, resolution_m)
    except BaseException:
        source.close()
        raise
    network = source.at_scale(factor)
    return Matched(source, network, Placement(source.grid.shape, network.grid.shape, factor))


def _tell_stack(source: Source, card: Card) -> None:
    """Says which of the stacked bands the model reads as which of its own: their order is the user's."""
    names = [name or f"band {number}" for name, number in zip(source.band_names, source.band_numbers, strict=True)]
    read = ", ".join(f"{band.name} from {name}" for band, name in zip(card.bands, names, strict=True))
    _log.info("model %s reads %s", card.name, read)


def told(path: str | PathLike[str]) -> bool:
    """Whether it was said before that a raster's resolution is unknown; from now on it was."""
    before = str(path) in _told
    _told.add(str(path))
    return before


def _bands(source: Source, card: Card) -> tuple[int, ...] | None:
    """The raster's bands for the card's, None where only their number can decide."""
    numbers = dict(zip((_plain(name) for name in source.band_names), source.band_numbers, strict=True))
    wanted = [_plain(band.name) for band in card.bands]
    if len(numbers) == source.count and all(name in numbers for name in wanted):
        return tuple(numbers[name] for name in wanted)
    return source.default_rgb() if reads_rgb(card) else None


def _plain(name: Any) -> str:
    return str(name or "").strip().lower()


def _resolution(source: Source, said: float | None) -> float | None:
    """How wide a pixel is, in metres: as the raster says, or as its user does where it does not."""
    own = source.grid.resolution_m
    if said is None:
        return own
    if not (math.isfinite(said) and said > 0):
        raise GridError(f"--source-resolution {said}: expected a positive number of metres, such as 0.5")
    if own is not None:
        raise GridError(
            f"{source.name} says itself that its pixels are {own:.4g} m wide: leave out --source-resolution"
        )
    return said


def _factor(source: Source, card: Card, have: float | None, resolution_m: float | None) -> float:
    """Source pixels per network pixel; 1.0 where nothing is resampled."""
    if resolution_m is not None and not (math.isfinite(resolution_m) and resolution_m > 0):
        raise GridError(f"--resolution {resolution_m}: expected a positive number of metres, such as 0.5")
    want = card.resolution_m if resolution_m is None else resolution_m
    if want is None:
        if have is None and not told(source.paths[0]):
            _log.warning("%s has no usable coordinate system: its resolution is unknown", source.name)
        return 1.0
    if have is None:
        if resolution_m is None:
            _log.warning(
                "%s: the %.3g m a pixel of model %s were not applied, because the raster's resolution is unknown; "
                "the network runs at the raster's own pixels; say how wide they are with --source-resolution",
                source.name,
                want,
                card.name,
            )
            return 1.0
        raise GridError(
            f"{source.name} has no coordinate system, so --resolution means nothing: leave it out, or say how wide "
            "its pixels are with --source-resolution"
        )
    factor = want / have
    nearly = NEARLY if resolution_m is None else 1e-3
    return 1.0 if abs(factor - 1) <= nearly else factor
