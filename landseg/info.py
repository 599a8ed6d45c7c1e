"""What a file is: a raster's facts and whether a model can read it, or a model's card; in JSON values."""

from __future__ import annotations

import logging
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from landseg.errors import LandsegError
from landseg.geo.rasters.address import file_name
from landseg.models import header, shipped
from landseg.models import read_card as peek
from landseg.models.compatibility import incompatibility

if TYPE_CHECKING:
    from landseg.geo.rasters.raster import RasterFile, RasterInfo

_log = logging.getLogger(__name__)
COUNTED = 1 << 25
"""Pixels of the largest map of classes whose areas `describe` counts: a second of reading."""
PROVENANCE = "LANDSEG_"  # the tags that landseg leaves in its outputs


def describe(
    target: str | PathLike[str], *, model: str | Path | None = None, stored_values: bool = False
) -> dict[str, Any]:
    """Returns the facts about a raster or a model, told apart by "kind".

    Args:
        target: Anything GDAL opens, a model file, or the name of a shipped model.
        model: The model that the raster is held against; None = the default one, where one ships.
        stored_values: Hold stored numbers against it, whatever scale and offset the raster declares.

    Raises:
        LandsegError: The file cannot be read.
    """
    target = file_name(target)
    if is_model(target):
        return describe_model(target)
    return describe_raster(target, model=model, stored_values=stored_values)


def is_model(target: str | Path) -> bool:
    """Whether a name stands for a model: a shipped one, or a file with a model's (or a pickle's) suffix.

    Rasters have some of the pickles' suffixes too, such as ENVI's .bin: what GDAL opens is one.
    """
    suffix = Path(target).suffix.lower()
    if str(target) in shipped.names() or suffix == shipped.SUFFIX:
        return True
    if suffix not in header.PICKLE_SUFFIXES:
        return False
    from landseg.geo.rasters.raster import opens

    return not opens(target)


def describe_model(path_or_name: str | Path | None = None) -> dict[str, Any]:
    """Returns the card of a model with its file's name, size and hash; `exact` = tiled can equal whole-image.

    Raises:
        ModelError: No model by that name, or a file that is none.
    """
    path = shipped.resolve(path_or_name)
    card = peek.card_in(path)
    return {
        "kind": "model",
        "path": str(path),
        "bytes": path.stat().st_size,
        "sha256": peek.file_hash(path),
        "exact": card.receptive_field.exact,
        "temperature": card.temperature,
        **card.to_json(),
    }


def describe_models() -> list[dict[str, Any]]:
    """Returns `describe_model` of every shipped model, the default one first."""
    return [describe_model(name) for name in shipped.names()]


def describe_networks() -> dict[str, Any]:
    """Returns the networks that can be built by name: "architectures", what their "options" mean, and "encoders".

    An architecture's "options" hold the defaults, null for what the network chooses by itself; "on" has those of
    encoders that make another network of it; its "encoders" are null where any goes with it.
    """
    from landseg.models.networks.catalogue import ARCHITECTURES, ENCODERS, OPTIONS

    architectures = [
        {
            "name": name,
            "paper": entry.summary,
            "encoders": None if entry.encoders is None else list(entry.encoders),
            "options": dict(entry.options),
            "on": {} if entry.on_vgg16 is None else {"vgg16": dict(entry.on_vgg16.options)},
        }
        for name, entry in ARCHITECTURES.items()
    ]
    return {"architectures": architectures, "options": dict(OPTIONS), "encoders": [*ENCODERS, "timm:NAME"]}


def describe_raster(
    path: str | Path, *, model: str | Path | None = None, stored_values: bool = False
) -> dict[str, Any]:
    """Returns a raster's facts: size, bands, place, layout, validity, provenance and whether the model fits.

    Of a map of classes also what each of them covers; "areas" is null for larger ones than `COUNTED`.

    Raises:
        RasterError: It cannot be opened.
        ModelError: `model` was named and cannot be read.
    """
    from landseg.geo.class_areas import AREAS
    from landseg.geo.grid import crs_text
    from landseg.geo.rasters.raster import RasterFile
    from landseg.geo.seams import BORDERS
    from landseg.geo.tags import CLASSES, MADE_WITH
    from landseg.labels.legend import is_class_raster

    file = RasterFile(path)
    try:
        info = file.info
        grid = info.grid
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
                and name not in (AREAS, BORDERS, CLASSES, MADE_WITH)  # which are for programs
            },
            "model": (verdict := _verdict(file, model, stored_values=stored_values)),
            "warnings": _warnings(file, verdict, model),
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
    """Which of the file's means say where there is data; they are combined where it has several."""
    from landseg.geo.extents import covered_pixels

    info = file.info
    means = ["alpha band"] if file.opacity else []
    if info.masked != "none":
        means.append("mask" if info.masked == "dataset" else "a mask for each band")
    if any(value is not None for value in info.nodata):
        means.append("nodata value")
    extents = file.extents(range(1, len(info.dtypes) + 1))
    if extents is not None:
        share = 100 * covered_pixels(extents) / info.grid.rect.area
        means.append(f"the members' places, which are {share:.2g} % of it")
    elif info.gaps:
        means.append("the members' places")
    return " and ".join(means) or "none declared: every pixel counts as data, except NaN"


def _areas(file: RasterFile, path: str | Path) -> list[dict[str, Any]] | None:
    """Return what each class of a map covers; None of other rasters, of very large ones, and of unreadable values."""
    from landseg.labels.legend import is_class_raster

    if not is_class_raster(file) or file.info.grid.rect.area > COUNTED:
        return None
    from landseg.evaluation.area_counts import count_areas
    from landseg.vector.classraster import ClassRaster

    try:
        with ClassRaster(file_name(path)) as source:
            return [row.to_json() for row in count_areas(source).whole.classes]
    except LandsegError as error:
        _log.warning("areas are not told: %s", error)
        return None


def _warnings(file: RasterFile, verdict: dict[str, Any] | None, model: str | Path | None) -> list[str]:
    """What to know before the raster is read: see `Matched.warnings`."""
    from landseg.geo.rasters.opacity import remark
    from landseg.models.usable import outside_warning

    found = [remark(number, len(file.info.dtypes)) for number in file.alpha if number not in file.opacity]
    if verdict is not None and verdict["fits"]:
        card, pixel = peek.read_card(model), file.info.grid.resolution_m
        outside = outside_warning(card, pixel_m=pixel, run_m=card.resolution_m or pixel)
        found += [] if outside is None else [outside]
    return found


def _verdict(file: RasterFile, model: str | Path | None, *, stored_values: bool) -> dict[str, Any] | None:
    """Return whether the model reads the raster, and why not.

    None where no model was named and none ships, or where the raster is a map of classes, which no model is for.
    """
    from landseg.geo.rasters.bands import band_table
    from landseg.geo.rasters.rescaled import comparable, indices_text, one_sided
    from landseg.inference.match import bands_text, chosen_bands, declared_by, scaling_text, stored_dtype
    from landseg.labels.legend import is_class_raster

    if model is None and (shipped.DEFAULT not in shipped.names() or is_class_raster(file)):
        return None
    card = peek.read_card(model)
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
        reason = one_sided(file.label, table.value_tags, declared_by(card), like=like)
    scaling = None if reason is not None else scaling_text(table, card, stored_values=stored_values)
    verdict = {"name": card.name, "fits": reason is None, "reason": reason}
    return verdict if scaling is None else {**verdict, "scaling": scaling}
