"""The facts about a raster in JSON values, and whether a model can read it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from landseg.errors import LandsegError
from landseg.evaluation.area_counts import count_areas
from landseg.geo.class_areas import AREAS
from landseg.geo.crs import crs_text
from landseg.geo.extents import covered_pixels
from landseg.geo.rasters.address import File, file_name
from landseg.geo.rasters.bands import band_table
from landseg.geo.rasters.opacity import misnamed_alpha_text
from landseg.geo.rasters.raster import RasterFile
from landseg.geo.rasters.raster_info import RasterInfo
from landseg.geo.rasters.rescaled import comparable, indices_text, one_sided_text
from landseg.geo.seams import BORDERS
from landseg.geo.tags import CLASSES, MADE_WITH
from landseg.inference.match import bands_text, chosen_bands, declared_by, scaling_text, stored_dtype
from landseg.labels.legend import is_class_raster
from landseg.models import shipped
from landseg.models.card import Card
from landseg.models.compatibility import incompatibility
from landseg.models.named import named_model
from landseg.models.usable import outside_warning
from landseg.vector.classraster import ClassRaster

if TYPE_CHECKING:
    from landseg.models.file import Model

_log = logging.getLogger(__name__)
COUNTED = 1 << 25
"""The largest number of pixels of a class raster whose areas are counted: a second of reading."""
PROVENANCE = "LANDSEG_"  # the tags that landseg leaves in its outputs


def raster_facts(path: File, *, model: File | Model | None = None, stored_values: bool = False) -> dict[str, Any]:
    """Return the facts about a raster: size, bands, place, layout, validity, provenance, and whether a model fits.

    For a class raster they hold the area of each class; "areas" is None for one of more pixels than `COUNTED`.

    Args:
        path: the raster.
        model: the model that may read the raster, see `named_model`; None takes the default model, and for a class
            raster no model.
        stored_values: the model takes the numbers that the raster stores, whatever scale and offset it declares.

    Raises:
        RasterError: the raster cannot be opened.
        ModelError: a model is named that cannot be read.
    """

    file = RasterFile(file_name(path))
    try:
        info = file.info
        grid, card = info.grid, _card(file, model)
        return {
            "kind": "raster",
            "path": file.label,
            "driver": info.driver,
            "width": grid.width,
            "height": grid.height,
            "bands": _bands(info),
            "crs": None if grid.crs is None else crs_text(grid.crs),
            "georeference": _georeference(info),
            "transform": list(grid.transform)[:6],
            "bounds": list(grid.bounds),
            "resolution_m": grid.resolution_m,
            "block": list(info.block),
            "overviews": list(info.overviews),
            "validity": _validity(file),
            "holds_classes": is_class_raster(file),
            "areas": _areas(file, path),
            "provenance": {
                name: text
                for name, text in sorted(info.tags.items())
                if name.startswith(PROVENANCE)
                and name not in (AREAS, BORDERS, CLASSES, MADE_WITH)  # for programs only
            },
            "model": (verdict := None if card is None else _verdict(file, card, stored_values=stored_values)),
            "warnings": _warnings(file, verdict, card),
        }
    finally:
        file.close()


def _bands(info: RasterInfo) -> list[dict[str, Any]]:
    columns = zip(info.names, info.dtypes, info.nodata, info.colorinterp, info.values, strict=True)
    return [
        {"number": number, "name": name, "dtype": dtype, "nodata": nodata, "color": color, **values.to_json()}
        for number, (name, dtype, nodata, color, values) in enumerate(columns, start=1)
    ]


def _georeference(info: RasterInfo) -> str:
    if info.grid.gcps:
        return "control points"
    if not info.grid.is_placed:
        return "none"
    turned = info.grid.transform.b or info.grid.transform.d
    return "rotated" if turned else "south-up" if info.grid.transform.e > 0 else "north-up"


def _validity(file: RasterFile) -> str:
    """Return the means by which the file marks pixels with data, as text; several are combined."""
    info = file.info
    means = ["alpha band"] if file.validity.opacity else []
    if info.masked != "none":
        means.append("mask" if info.masked == "dataset" else "a mask for each band")
    if any(value is not None for value in info.nodata):
        means.append("nodata value")
    extents = file.validity.extents(range(1, len(info.dtypes) + 1))
    if extents is not None:
        share = 100 * covered_pixels(extents) / info.grid.rect.area
        means.append(f"the members' places, which are {share:.2g} % of it")
    elif file.validity.gaps:
        means.append("the members' places")
    return " and ".join(means) or "none declared: every pixel counts as data, except NaN"


def _areas(file: RasterFile, path: File) -> list[dict[str, Any]] | None:
    """Return the area of each class; None for other rasters, for very large ones, and for unreadable values."""
    if not is_class_raster(file) or file.info.grid.rect.area > COUNTED:
        return None
    try:
        with ClassRaster(file_name(path)) as source:
            return [row.to_json() for row in count_areas(source).whole.classes]
    except LandsegError as error:
        _log.warning("areas are not counted: %s", error)
        return None


def _card(file: RasterFile, model: File | Model | None) -> Card | None:
    """Return the card of the model that may read a raster; None where none is named, and none is for the raster."""
    if model is None and (shipped.DEFAULT not in shipped.names() or is_class_raster(file)):
        return None
    return named_model(model).card


def _warnings(file: RasterFile, verdict: dict[str, Any] | None, card: Card | None) -> list[str]:
    """Return the warnings about a raster, as sentences, see `ModelInput.warnings`."""
    found = [misnamed_alpha_text(number, len(file.info.dtypes)) for number in file.validity.misnamed_alpha]
    if verdict is not None and verdict["fits"] and card is not None:
        pixel = file.info.grid.resolution_m
        outside = outside_warning(card, pixel_m=pixel, run_m=card.resolution_m or pixel)
        found += [] if outside is None else [outside]
    return found


def _verdict(file: RasterFile, card: Card, *, stored_values: bool) -> dict[str, Any]:
    """Return whether a model reads a raster, and the reason why not."""
    table = band_table(file, None)
    if (chosen := chosen_bands(table, card)) is not None:
        table = band_table(file, chosen)
    problem = incompatibility(
        card,
        bands=len(table.numbers),
        dtype=stored_dtype(table, card, stored_values=stored_values),
        resolution_m=file.info.grid.resolution_m,
    )
    reason = None if problem is None else str(problem)
    if table.indexed:
        reason = indices_text(file.label, f"model {card.name} reads {bands_text(card)}")
    elif reason is None and not stored_values and not comparable(table.value_tags, declared_by(card)):
        like = f"model {card.name} learned from"
        reason = one_sided_text(file.label, table.value_tags, declared_by(card), like=like)
    scaling = None if reason is not None else scaling_text(table, card, stored_values=stored_values)
    verdict = {"name": card.name, "fits": reason is None, "reason": reason}
    return verdict if scaling is None else {**verdict, "scaling": scaling}
