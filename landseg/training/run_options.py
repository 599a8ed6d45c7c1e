"""The options of `train` by name: the same from Python as on the command line."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from landseg.errors import TrainingError
from landseg.geo.rasters.address import File, Files, file_names
from landseg.geo.vectors.names import with_layer
from landseg.training.recipe_from_files import DataFiles

if TYPE_CHECKING:
    from landseg.training.overrides import Overrides
    from landseg.training.recipe import Recipe


class TrainKeywords(TypedDict, total=False):
    """The options of `train` by name, see `RunOptions`."""

    config: File | None
    classes: File | None
    ignore: int | Sequence[int]
    layer: str | None
    class_field: str | None
    background: str | None
    buffer: float | None
    all_touched: bool
    label_colors: bool
    partial: str | None
    bands: Sequence[int] | None
    stored_values: bool
    coarse: File | Sequence[File] | None
    coarse_table: File | None
    coarse_share: str | float | None
    things: bool
    ids: File | Sequence[File] | None
    border: float | None
    task: str | None
    split: str | None
    share: float | None
    aoi: str | None
    resolution: float | None
    scale: Sequence[float] | None
    arch: str | None
    encoder: str | None
    encoder_weights: File | None
    option: Mapping[str, Any] | None
    init: File | None
    map_classes: Mapping[str, str] | None
    time_budget: str | float | None
    epochs: float | None
    steps: int | None
    crop: int | None
    batch: int | None
    learning_rate: float | None
    seed: int | None
    set: Mapping[str, Any] | Sequence[str]


@dataclass(frozen=True)
class RunOptions:
    """The options of a training run; None: as the recipe, the configuration or the files have it.

    Attributes:
        config: a TOML file with sections of a recipe, for images and labels.
        classes: a class table's file.
        ignore: value or values of label rasters that mean "not known".
        layer: of the vector file, or of each.
        class_field: its column with the class.
        background: the class of all that lies outside its polygons.
        buffer: metres around its lines and points that count as theirs.
        all_touched: burn every pixel that a polygon touches.
        label_colors: label rasters are pictures in the colours of the class table.
        partial: the labels know only some classes: outside them a pixel is "unknown" or "others".
        bands: of the images, 1-based.
        stored_values: learn from stored numbers, whatever scale and offset images declare.
        coarse: coarse labels: a raster, several as a mosaic, or a folder with one for each image.
        coarse_table: a file with the shares of the classes in each coarse class.
        coarse_share: of coarse labels in what is minimised, such as "1/40" or 0.025.
        things: each polygon of a vector file is an object: the model learns to tell them apart.
        ids: rasters with a number for each object, 0 for none: one, or several by the names of their images.
        border: metres on each side of the outline of an object that are learned as its boundary.
        task: "points" learns each feature of vector files, a point or the centre of a polygon, as a point.
        split: file, block, column, aoi, random or none.
        share: of the labelled pixels that is kept out.
        aoi: the area that is kept out, for the split "aoi".
        resolution: metres a pixel to learn at.
        scale: range of magnification of crops, such as (0.5, 2).
        arch: the architecture.
        encoder: the encoder.
        encoder_weights: "none", "imagenet" or a file.
        option: options of the architecture by name.
        init: a model to go on from.
        map_classes: new names of that model's classes, by the old ones.
        time_budget: how long to learn, such as "45m"; a number is minutes.
        epochs: as many pixels as there are, so often.
        steps: steps to learn for.
        crop: side of a crop in pixels.
        batch: crops a step.
        learning_rate: of the head at its peak.
        seed: of everything that is drawn.
        set: any other entries of a recipe, such as {"fit.optimizer": "sgd"}, or texts "fit.optimizer=sgd".
    """

    config: File | None = None
    classes: File | None = None
    ignore: int | Sequence[int] = ()
    layer: str | None = None
    class_field: str | None = None
    background: str | None = None
    buffer: float | None = None
    all_touched: bool = False
    label_colors: bool = False
    partial: str | None = None
    bands: Sequence[int] | None = None
    stored_values: bool = False
    coarse: Files | None = None
    coarse_table: File | None = None
    coarse_share: str | float | None = None
    things: bool = False
    ids: Files | None = None
    border: float | None = None
    task: str | None = None
    split: str | None = None
    share: float | None = None
    aoi: str | None = None
    resolution: float | None = None
    scale: Sequence[float] | None = None
    arch: str | None = None
    encoder: str | None = None
    encoder_weights: File | None = None
    option: Mapping[str, Any] | None = None
    init: File | None = None
    map_classes: Mapping[str, str] | None = None
    time_budget: str | float | None = None
    epochs: float | None = None
    steps: int | None = None
    crop: int | None = None
    batch: int | None = None
    learning_rate: float | None = None
    seed: int | None = None
    set: Mapping[str, Any] | Sequence[str] = ()

    def data(self, images: Any, labels: Any, folder: File = ".") -> DataFiles:
        """Return images and labels, as paths or open datasets, with their options.

        Args:
            images: folders, globs, files, a list, or a recipe.
            labels: label rasters or vector files; None where the list or the recipe names them.
            folder: what names start from.

        Raises:
            RasterError: what has no name, such as an array.
            VectorError: a layer of what is no vector file.
        """
        named = None if labels is None else [with_layer(name, self.layer) for name in file_names(labels)]
        return DataFiles(
            tuple(file_names(images)),
            None if named is None else tuple(named),
            classes=None if self.classes is None else Path(self.classes),
            ignore=(self.ignore,) if isinstance(self.ignore, int) else tuple(self.ignore),
            class_field=self.class_field,
            background=self.background,
            all_touched=self.all_touched,
            label_colors=self.label_colors,
            partial=self.partial,
            bands=None if self.bands is None else tuple(self.bands),
            folder=Path(folder),
            coarse=None if not self.coarse else tuple(file_names(self.coarse)),
            buffer_m=self.buffer,
            things=self.things or self.task is not None,
            ids=None if not self.ids else tuple(file_names(self.ids)),
            border_m=self.border,
            task=self.task,
        )

    def recipe_from(self, images: Any, labels: Any, folder: Path, *, name: str) -> Recipe:
        """Return the recipe of images and labels, of a recipe's file, or a recipe that was read already.

        Args:
            images: folders, globs, files, a list, or a recipe.
            labels: label rasters or vector files; None where the list or the recipe names them.
            folder: the folder that names start from.
            name: of the model.

        Raises:
            TrainingError: labels or options for a recipe that was read already.
            LandsegError: images, labels, a recipe or a model that are not there.
        """
        from landseg.training.ready import refuse_missing
        from landseg.training.recipe import Recipe

        if isinstance(images, Recipe):
            if labels is not None or self != RunOptions():
                raise TrainingError(
                    "labels and options do not go with a Recipe that was read: change it with dataclasses.replace, "
                    "or name its file"
                )
            return images
        data = self.data(images, labels, folder)
        init = None if self.init is None else str(self.init)
        refuse_missing(data, config=self.config_file, init=init, said=self.map_classes)
        return self.recipe(data, name=name)

    def recipe(self, data: DataFiles, *, name: str) -> Recipe:
        """Return the recipe of images and labels, or of the recipe file in their place, with these options over it.

        Raises:
            TrainingError: entries that do not exist or do not go together.
            ModelError: a network that does not exist.
        """
        return self._settings().recipe(data, self.config_file, name=name)

    @property
    def config_file(self) -> Path | None:
        """Return the path of the configuration."""
        return None if self.config is None else Path(self.config)

    def _settings(self) -> Overrides:
        from landseg.training.coarse.options import share_of
        from landseg.training.fit_options import minutes_of
        from landseg.training.overrides import Overrides

        names = {name: getattr(self, name) for name in ("encoder_weights", "init")}
        texts = {name: None if value is None else str(value) for name, value in names.items()}
        return Overrides(
            model={"arch": self.arch, "encoder": self.encoder, **texts, "map_classes": self.map_classes or None},
            options=self.option or {},
            fit={"minutes": None if self.time_budget is None else minutes_of(str(self.time_budget))}
            | {name: getattr(self, name) for name in ("epochs", "steps", "learning_rate", "seed")},
            sampling={
                "crop": self.crop,
                "batch": self.batch,
                "resolution_m": self.resolution,
                "scale": None if self.scale is None else tuple(self.scale),
                "stored_values": self.stored_values or None,
            },
            split={"by": self.split, "share": self.share, "aoi": self.aoi},
            coarse={
                "table": None if self.coarse_table is None else str(self.coarse_table),
                "share": None if self.coarse_share is None else share_of(str(self.coarse_share)),
            },
            more=_entries(self.set),
        )


def _entries(given: Mapping[str, Any] | Sequence[str]) -> tuple[str, ...]:
    """Return entries of a recipe as texts SECTION.KEY=VALUE, their values as in TOML."""
    if isinstance(given, Mapping):
        return tuple(f"{name}={json.dumps(value)}" for name, value in given.items())
    return (given,) if isinstance(given, str) else tuple(given)
