"""The recipe of a model: what a ``train.toml`` says, checked."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from landseg.classes import ClassMap
from landseg.errors import TrainingError
from landseg.training.fit import FitOptions

RANDOM = "none"
"""What an encoder without weights starts from."""


@dataclass(frozen=True)
class SourceSpec:
    """One data set of a recipe.

    Attributes:
        images: Glob below the data folder. Sources with the same glob label the same scenes together.
        labels: Pattern of the label raster, ``{stem}`` standing for the image's stem; or None.
        suffix: End of the images' stems that ``{stem}`` leaves out.
        values: What the label raster's values mean where they are not the recipe's own classes: each (as text) a
            class name, "only NAME" (from a source that knows no other class), "not NAME" or "ignore".
        polygons: Vector file, below the data folder or beside the recipe; or None. With ``partial_class`` its
            polygons are all there is of that class; with ``class_field`` they are samples, and nothing is known
            outside them.
        class_field: Column of ``polygons`` that holds each one's class name.
        ndvi: In place of labels: at or above the second number a pixel is ``partial_class``, at or below the first
            it is not, between them nothing is known. From the first (red) and the last (near infrared) band.
        greenness: The same by excess green (Woebbecke et al. 1995), ``(2 g - r - b) / (r + g + b)`` of the first
            three bands; pixels darker than 30 on average are left unknown.
        partial_class: A class name; a pixel is known to be of that class, or *not* to be of it, no more.
            Where no other source labels the same images, it teaches the one logit of that class and no other.
        weight: How much oftener than its area says crops are drawn from it.
        zoom: Range of magnification of its crops.
        bands: 1-based; None = the first that the model needs.
        name, licence, credit: For the model's card.
    """

    images: str
    name: str
    licence: str
    credit: str
    labels: str | None = None
    suffix: str = ""
    values: Mapping[str, str] | None = None
    polygons: str | None = None
    class_field: str | None = None
    ndvi: tuple[float, float] | None = None
    greenness: tuple[float, float] | None = None
    partial_class: str | None = None
    weight: float = 1.0
    zoom: tuple[float, float] = (1.0, 1.0)
    bands: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if sum(kind is not None for kind in (self.labels, self.polygons, self.ndvi, self.greenness)) != 1:
            raise TrainingError(f"source {self.name!r} needs one of labels, polygons, ndvi and greenness")
        if self.class_field is not None and self.polygons is None:
            raise TrainingError(f"source {self.name!r}: class_field is a column of polygons; name the file")
        tells_class = self.labels is not None or self.class_field is not None
        if tells_class == (self.partial_class is not None):
            raise TrainingError(
                f"source {self.name!r}: a partial_class goes with everything but labels and a class_field"
            )


@dataclass(frozen=True)
class BandSpec:
    """A band's name and scaling: the network sees (raw - mean) / std."""

    name: str
    mean: float
    std: float
    common_name: str | None = None


@dataclass(frozen=True)
class Recipe:
    """Everything that decides what a model becomes, but the data folder and what is kept out."""

    name: str
    description: str
    licence: str
    limitations: str
    arch: str
    encoder: str
    encoder_weights: str | None
    options: Mapping[str, Any]
    classes: ClassMap
    bands: tuple[BandSpec, ...]
    sources: tuple[SourceSpec, ...]
    fit: FitOptions
    folder: Path
    trained_at_m: tuple[float, ...] = ()


def read_recipe(path: Path) -> Recipe:
    """Return the recipe in a TOML file.

    Raises:
        TrainingError: a file that is missing or no TOML, or an entry that is missing, unknown or mistyped.
        ClassError: a class table that contradicts itself.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise TrainingError(f"recipe {path} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise TrainingError(f"recipe {path} is not valid TOML: {error}") from error
    try:
        model = dict(table.pop("model"))
        entries = dict(
            table.pop("about"),
            arch=model.pop("arch"),
            encoder=model.pop("encoder"),
            encoder_weights=_weights(model.pop("encoder_weights", RANDOM)),
            options=model,
            classes=ClassMap.from_json({"classes": table.pop("classes"), "ignore": table.pop("ignore", [])}),
            bands=tuple(_make(BandSpec, band) for band in table.pop("bands")),
            sources=tuple(_make(SourceSpec, source) for source in table.pop("sources")),
            fit=_make(FitOptions, table.pop("fit", {})),
            folder=path.parent,
        )
    except KeyError as error:
        raise TrainingError(f"recipe {path} has no entry {error}; add it") from error
    if table:
        raise TrainingError(f"recipe {path} has unknown entries: {', '.join(table)}")
    recipe: Recipe = _make(Recipe, entries)
    return recipe


def _weights(text: str) -> str | None:
    return None if text == RANDOM else text


def _make(kind: Any, entries: Mapping[str, Any]) -> Any:
    known = {f.name for f in fields(kind)}
    if unknown := sorted(set(entries) - known):
        raise TrainingError(
            f"a recipe's {kind.__name__} has no {', '.join(unknown)}; it knows {', '.join(sorted(known))}"
        )
    values = {key: tuple(v) if isinstance(v, list) else v for key, v in entries.items()}
    try:
        return kind(**values)
    except TypeError as error:
        raise TrainingError(f"a recipe's {kind.__name__} is incomplete: {error}") from error
