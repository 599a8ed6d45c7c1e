"""A raster as a model reads it: bands, numbers and grid are matched, or refused, before any work."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any

from landseg.errors import BandError, GridError
from landseg.geo.rasters.bands import BandTable
from landseg.geo.rasters.mixed_members import refuse_mixed_members
from landseg.geo.rasters.mosaic import open_source
from landseg.geo.rasters.rescaled import alike, refuse_indices, with_tags
from landseg.geo.rasters.source import Source
from landseg.geo.rasters.value_tags import ValueTags, tags_text
from landseg.inference.options import InferenceOptions
from landseg.models.card import Card
from landseg.models.compatibility import incompatibility, reads_rgb
from landseg.models.usable import outside_warning
from landseg.text.once import mark_logged, warn_once, was_logged
from landseg.tiling.placement import GridPlacement

_log = logging.getLogger(__name__)
_RESOLUTION, _REMARKS = "resolution", "remarks"  # kinds of warnings
NEARLY = 0.05  # resolutions that agree to a twentieth are one: nothing is resampled
_APART = (
    "; bands that lie in a file each are read as one raster with --stack (B02.tif B03.tif ..., in the order of the "
    "model), or through a VRT (gdalbuildvrt -separate)"
)
Paths = str | PathLike[str] | Sequence[str | PathLike[str]]


@dataclass(frozen=True)
class ModelInput:
    """A raster as a model reads it: at its own pixels, and at the network's.

    Attributes:
        source: the raster, its numbers as they are stored.
        network: the same at the network's resolution, its numbers as the training imagery stores them.
        placement: where one lies on the other.
        scaling: a sentence on the declared scales and offsets; None where neither side declares any.
        warnings: sentences without the raster's name: an alpha band that is no opacity, pixels of a size that the
            model is not for.
        limitations: the conditions in which the model fails, by its card, for a raster outside the sizes that it is
            for; else None.
    """

    source: Source
    network: Source
    placement: GridPlacement
    scaling: str | None = None
    warnings: tuple[str, ...] = ()
    limitations: str | None = None

    def close(self) -> None:
        """Close every file."""
        self.source.close()

    def __enter__(self) -> ModelInput:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def match_raster(
    paths: Paths,
    card: Card,
    *,
    bands: Sequence[int] | None = None,
    resolution_m: float | None = None,
    source_resolution_m: float | None = None,
    stored_values: bool = False,
    stack: bool = False,
) -> ModelInput:
    """Return the raster or mosaic with the model's bands in the model's order, and the placement of its pixels.

    Without `bands`, a model of red, green and blue takes the raster's true colours, and any model takes bands
    that carry its names; otherwise the raster must have exactly the model's bands. The network runs at
    `resolution_m`, else at the card's resolution where that is named, else at the raster's pixels. Pixels of a raster
    that does not say how large they are, are `source_resolution_m` wide. With `stack`, several rasters are one with
    the bands of all. Where raster and model declare different scales and offsets, the network gets the numbers that
    the training imagery would have stored for the same values; with `stored_values` it gets those that are stored.

    Raises:
        BandError: number, dtype or order of bands, indices of a colour table, a scale that one side alone declares.
        GridError: resolutions too far apart, or one that is not known.
        RasterError: a raster cannot be opened.
    """
    source = open_source(paths, bands=bands, stored_values=stored_values, stack=stack)
    try:
        if bands is not None and len(bands) != len(card.bands):
            wanted = ", ".join(band.name for band in card.bands)
            raise BandError(
                f"--bands names {len(bands)}, model {card.name} reads {len(card.bands)} ({wanted}): name as many"
            )
        chosen = chosen_bands(source.bands, card) if bands is None else None
        if chosen is not None and chosen != source.band_numbers:
            source.close()
            source = open_source(paths, bands=chosen, stored_values=stored_values, stack=stack)
        refuse_indices(source, f"model {card.name} reads {bands_text(card)}")
        own = _resolution(source, source_resolution_m)
        known = own if resolution_m is None else None
        dtype = stored_dtype(source.bands, card, stored_values=stored_values)
        problem = incompatibility(card, bands=source.count, dtype=dtype, resolution_m=known)
        if problem is not None:
            apart = source.count == 1 < len(card.bands) and not stack
            hint = "".join(f"; {text}" for text in source.remarks) if source.count < len(card.bands) else ""
            raise type(problem)(f"{source.name}: {problem}{hint}{_APART if apart else ''}")
        if not stored_values:
            refuse_mixed_members(source.paths)
        if stack:
            _log_stack(source, card)
        factor = _factor(source, card, own, resolution_m)
        network = source.at_scale(factor)
        if not stored_values:
            network = with_tags(network, declared_by(card), like=f"model {card.name} learned from")
    except BaseException:
        source.close()
        raise
    scaling = scaling_text(source.bands, card, notes=source.notes, stored_values=stored_values)
    place = GridPlacement(source.grid.shape, network.grid.shape, factor)
    outside = outside_warning(card, pixel_m=own, run_m=None if own is None else own * factor)
    warnings = (*source.remarks, *(() if outside is None else (outside,)))
    fails = card.limitations if outside is not None and card.limitations else None
    return ModelInput(source, network, place, scaling, warnings, fails)


def match_options(sources: Sequence[str], card: Card, options: InferenceOptions) -> ModelInput:
    """Return the raster, mosaic or stack of a run as the model reads it, by the options of the run.

    Raises:
        LandsegError: as `match_raster`.
    """
    return match_raster(
        sources if len(sources) > 1 else sources[0],
        card,
        bands=options.bands,
        resolution_m=options.resolution,
        source_resolution_m=options.source_resolution,
        stored_values=options.stored_values,
        stack=options.stack,
    )


def declared_by(card: Card) -> tuple[ValueTags, ...]:
    """Return the scale and offset that the training imagery of a model declared, one a band."""
    return tuple(ValueTags(band.scale, band.offset) for band in card.bands)


def stored_dtype(bands: BandTable, card: Card, *, stored_values: bool) -> str | None:
    """Return the dtype that has to be one of the model's; None where both sides declare what their numbers mean."""
    want = declared_by(card)
    both = len(want) == len(bands.numbers) and all(
        one.declared and other.declared for one, other in zip(bands.value_tags, want, strict=True)
    )
    return None if both and not stored_values else bands.dtype


def bands_text(card: Card) -> str:
    """Return the names of the bands that a model reads, for a sentence."""
    return "red, green and blue" if reads_rgb(card) else ", ".join(band.name for band in card.bands)


def scaling_text(bands: BandTable, card: Card, *, notes: Sequence[str] = (), stored_values: bool) -> str | None:
    """Return a sentence on the declared scales and offsets; None where neither side declares any."""
    have, want = bands.value_tags, declared_by(card)
    if not any(one.declared for one in (*have, *want)):
        return None
    if stored_values:
        return f"stored numbers as they are: {tags_text(have)} here, {tags_text(want)} in training"
    if alike(have, want):
        return "; ".join((*notes, f"{tags_text(have)}, as in training"))
    return "; ".join((*notes, f"{tags_text(have)} brought over to the training's {tags_text(want)}"))


def _log_stack(source: Source, card: Card) -> None:
    """Log for each band of the model the stacked band that it reads: their order is the user's."""
    names = [name or f"band {number}" for name, number in zip(source.band_names, source.band_numbers, strict=True)]
    read = ", ".join(f"{band.name} from {name}" for band, name in zip(card.bands, names, strict=True))
    _log.info("model %s reads %s", card.name, read)


def log_warnings(raster: ModelInput, logged: set[str] | None = None) -> None:
    """Log the warnings about a raster; `logged` holds those of other rasters, which are left out, and is added to."""
    before = set() if logged is None else logged
    for text in () if was_logged(_key(_REMARKS, raster.source.paths[0])) else raster.warnings:
        if text not in before:
            before.add(text)
            _log.warning("%s: %s", raster.source.name, text)


def mute_warnings(path: str | PathLike[str]) -> None:
    """Log no warning about a raster from now on: the training that learned from it has logged them."""
    mark_logged(_key(_RESOLUTION, path))
    mark_logged(_key(_REMARKS, path))


def _key(kind: str, path: str | PathLike[str]) -> tuple[str, str]:
    return kind, str(path)


def chosen_bands(bands: BandTable, card: Card) -> tuple[int, ...] | None:
    """Return the raster's bands, of all that it has, for the card's; None where only their number can decide."""
    numbers = dict(zip((_plain(name) for name in bands.names), bands.numbers, strict=True))
    wanted = [_plain(band.name) for band in card.bands]
    if len(numbers) == len(bands.numbers) and all(name in numbers for name in wanted):
        return tuple(numbers[name] for name in wanted)
    return bands.default_rgb if reads_rgb(card) else None


def _plain(name: Any) -> str:
    return str(name or "").strip().lower()


def _resolution(source: Source, given: float | None) -> float | None:
    """Return the width of a pixel in metres: the raster's, or the user's where the raster has none."""
    own = source.grid.resolution_m
    if given is None:
        return own
    if not (math.isfinite(given) and given > 0):
        raise GridError(f"--source-resolution {given}: expected a positive number of metres, such as 0.5")
    if own is not None:
        raise GridError(
            f"{source.name} says itself that its pixels are {own:.4g} m wide: leave out --source-resolution"
        )
    return given


def _factor(source: Source, card: Card, have: float | None, resolution_m: float | None) -> float:
    """Return the source pixels per network pixel; 1.0 where nothing is resampled."""
    if resolution_m is not None and not (math.isfinite(resolution_m) and resolution_m > 0):
        raise GridError(f"--resolution {resolution_m}: expected a positive number of metres, such as 0.5")
    want = card.resolution_m if resolution_m is None else resolution_m
    if want is None:
        if have is None:
            warn_once(
                _log,
                _key(_RESOLUTION, source.paths[0]),
                "%s has no usable coordinate system: its resolution is unknown; say it by --source-resolution METRES",
                source.name,
            )
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
