"""One data set of a recipe: its images, what labels them, and what the labels know."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from landseg.errors import TrainingError

UNSTATED = "unstated"
"""The licence of data whose licence is not stated."""


@dataclass(frozen=True)
class SourceSpec:
    """One data set of a recipe.

    Attributes:
        images: A folder, a glob, a file or a list (CSV, GeoParquet), or several, below the data folder. Sources with
            the same images label the same scenes together.
        name, licence, credit: For the model's card.
        labels: Label rasters: a folder, a glob or a file, paired with the images by name; or a pattern in which
            ``{stem}`` stands for the image's stem. None with a list that names them.
        suffix: End of the images' stems that ``{stem}`` leaves out, here and below.
        values: What the label raster's values mean where they are not the recipe's own classes: each (as text) a
            class name, "only NAME" (from a source that knows no other class), "not NAME" or "ignore".
        label_colors: The label rasters are pictures in red, green and blue, in the classes' own colours.
        ignored_colors: Of these pictures: further colours [red, green, blue] that mean "not known".
        polygons: Vector file, or a layer of one (FILE:LAYER), that labels all images; or vector files that label the
            images of their names, named as ``labels`` are. Below the data folder or beside the recipe; or None.
            With ``partial_class`` its polygons are all there is of that class; otherwise nothing is known outside
            them but by ``background``.
        class_field: Column of ``polygons`` that holds each one's class name or value.
        background: Class of all that lies outside the polygons.
        all_touched: Burn every pixel that a polygon touches, not those alone whose centre it covers.
        buffer_m: Metres around lines and points of ``polygons`` that count as theirs; None: these are refused.
        partial: The labels know only some classes, those that they show (or ``known``): outside them a pixel is
            "unknown", or "others": none of them.
        known: The classes that a partial label raster knows; None: all.
        ndvi: In place of labels: at or above the second number a pixel is ``partial_class``, at or below the first
            it is not, between them nothing is known. ``(nir - red) / (nir + red)`` of the first (red) and the last
            (near infrared) band, in whatever unit; 0 where both are 0, unknown where their sum is below.
        greenness: The same by excess green (Woebbecke et al. 1995), ``(2 g - r - b) / (r + g + b)`` of the first
            three bands; pixels darker on average than 30/255 of the imagery's scale are left unknown. The scale is
            255 for 8-bit imagery, otherwise mean + std of the recipe's first three bands (which is 255 for the 127
            and 128 of 8 bits), whatever unit they are in.
        partial_class: A class name; a pixel is known to be of that class, or *not* to be of it, no more.
            Where no other source labels the same images, it teaches the one logit of that class and no other.
        coarse: Coarse labels, beside the others or in place of them: one raster under all images (a file, or several
            or a glob that make a mosaic), or one for each image, paired by name: a folder, or a pattern with
            ``{stem}``. Images without any are learned from their other labels alone, and the other way round.
        weight: How much oftener than its area says crops are drawn from it.
        zoom: Range of magnification of its crops.
        bands: 1-based; None = the first that the model needs.
        resolution_m: Metres a pixel of images that do not say so themselves.
        things: Polygons of classes of things are objects, each by itself; a smaller one covers a larger one. Of
            sources with the same images the first one's objects hold.
        ids: Rasters with a number for each object, 0 for none, paired with the images as ``labels`` are. Without
            ``labels`` an object is of the one class of things, and all else of ``background`` or of the only other.
    """

    images: str | tuple[str, ...]
    name: str = ""
    licence: str = UNSTATED
    credit: str = ""
    labels: str | tuple[str, ...] | None = None
    suffix: str = ""
    values: Mapping[str, str] | None = None
    label_colors: bool = False
    ignored_colors: tuple[tuple[int, int, int], ...] = ()
    polygons: str | tuple[str, ...] | None = None
    class_field: str | None = None
    background: str | None = None
    all_touched: bool = False
    partial: Literal["unknown", "others"] | None = None
    known: tuple[str, ...] | None = None
    ndvi: tuple[float, float] | None = None
    greenness: tuple[float, float] | None = None
    partial_class: str | None = None
    coarse: str | tuple[str, ...] | None = None
    weight: float = 1.0
    zoom: tuple[float, float] = (1.0, 1.0)
    bands: tuple[int, ...] | None = None
    resolution_m: float | None = None
    buffer_m: float | None = None
    things: bool = False
    ids: str | tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if not self.paths or not all(self.paths):
            raise TrainingError(f"source {self.name!r} names no images: name a folder, a glob, files or a list")
        if not self.name:
            first = self.images if isinstance(self.images, str) else self.images[0]
            object.__setattr__(self, "name", first.rstrip("/").rpartition("/")[2] or first)
        if sum(kind is not None for kind in (self.labels, self.polygons, self.ndvi, self.greenness)) > 1:
            raise TrainingError(f"source {self.name!r} needs one of labels, polygons, ndvi and greenness")
        if (self.ndvi or self.greenness) and self.partial_class is None:
            raise TrainingError(f"source {self.name!r}: an index tells one class; name it as partial_class")
        self._check_objects()
        if self.polygons is None and (self.class_field or self.all_touched or self.buffer_m or self._lone_background):
            raise TrainingError(
                f"source {self.name!r}: class_field, background, all_touched and buffer_m go with polygons; name the "
                "file"
            )
        known = self.polygons or self.ndvi or self.greenness
        if self.partial_class is not None and (not known or self.class_field or self.labels or self.partial):
            raise TrainingError(f"source {self.name!r}: a partial_class goes with polygons of one class or an index")
        if self.label_colors and (self.values or not (self.labels or self._lists_labels)):
            raise TrainingError(
                f"source {self.name!r}: label_colors goes with label rasters in the classes' own colours, not with "
                "values, polygons or an index: leave it out"
            )
        if self.ignored_colors and not self.label_colors:
            raise TrainingError(f"source {self.name!r}: ignored_colors goes with label_colors: set that too")
        if self.partial not in (None, "unknown", "others"):
            raise TrainingError(f"source {self.name!r}: partial is unknown or others, got {self.partial!r}")
        if not self.weight > 0 or not 0 < self.zoom[0] <= self.zoom[1]:
            raise TrainingError(
                f"source {self.name!r}: weight is above 0 and zoom a range such as [0.5, 2], got {self.weight} and "
                f"{list(self.zoom)}"
            )
        if self.bands is not None and (not self.bands or min(self.bands) < 1):
            raise TrainingError(f"source {self.name!r}: bands count from 1, got {list(self.bands)}")

    def table(self) -> dict[str, Any]:
        """Return the entries of the source's table in a recipe; those of pictures and objects for these alone."""
        entries = asdict(self)
        if not self.label_colors:
            del entries["label_colors"]
        if not self.ignored_colors:
            del entries["ignored_colors"]
        if not self.things:
            del entries["things"]
        if self.ids is None:
            del entries["ids"]
        return entries

    def _check_objects(self) -> None:
        """Raise TrainingError for objects that nothing shows, or that two files show."""
        if self.things and (self.polygons is None or self.partial_class is not None):
            raise TrainingError(
                f"source {self.name!r}: things are polygons of classes, so they go with polygons, and not with a "
                "partial_class; name the file, or rasters of ids as ids"
            )
        if self.ids is not None and (self.polygons or self.ndvi or self.greenness):
            raise TrainingError(
                f"source {self.name!r}: ids go with label rasters, or alone, not with polygons or an index: polygons "
                "are objects by themselves (things = true)"
            )

    @property
    def _lone_background(self) -> bool:
        """True where a class of all that lies outside goes with nothing."""
        return self.background is not None and (self.ids is None or self.labels is not None)

    @property
    def _lists_labels(self) -> bool:
        """True where labels may be named in a list of images."""
        return not (self.polygons or self.ndvi or self.greenness)

    @property
    def only_coarse(self) -> bool:
        """True where there are no labels but coarse ones and those that a list of images names."""
        others = (self.labels, self.polygons, self.ndvi, self.greenness, self.ids)
        return self.coarse is not None and not any(others)

    @property
    def sampled(self) -> bool:
        """True where labels are of single classes or places, so that they do not show how common a class is."""
        places = self.polygons is not None and self.background is None
        return bool(places or self.partial or self.partial_class or self.known)

    @property
    def paths(self) -> tuple[str, ...]:
        """The images as they are named in the recipe."""
        return (self.images,) if isinstance(self.images, str) else self.images
