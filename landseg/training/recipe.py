"""The recipe of a model: the content of a ``train.toml``, checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, is_dataclass, replace
from pathlib import Path
from typing import Any

from landseg.classes import ClassMap
from landseg.dense.instances import Instances
from landseg.dense.objective import LossOptions
from landseg.dense.task import Task
from landseg.dense.tasks import make_task, task_class
from landseg.errors import TrainingError
from landseg.geo.rasters.value_tags import ValueTags
from landseg.models.card import SEMANTIC
from landseg.models.networks.catalogue import DETECTORS, NO_ENCODER, detector_task, is_fitted
from landseg.runtime.replacement import written
from landseg.scenes.data_source import UNSTATED, SourceSpec
from landseg.scenes.split import SplitOptions
from landseg.text.strict import read_dataclass, shown
from landseg.text.toml_tables import read_table
from landseg.training.augment import AugmentOptions
from landseg.training.batches import Scaling
from landseg.training.coarse.options import CoarseOptions
from landseg.training.fit_options import FitOptions
from landseg.training.sampler import SamplingOptions

__all__ = ["RANDOM", "BandSpec", "Recipe", "SourceSpec", "read_recipe", "read_table", "recipe_of"]

INSTANCES = Instances.name
OF_BOXES = tuple(str(entry.task) for entry in DETECTORS.values())
"""The tasks whose objects have boxes and masks, and no boundaries."""
OF_OBJECTS = (INSTANCES, *OF_BOXES)
RANDOM = "none"
"""The name of random weights."""
MODEL: dict[str, Any] = {
    "arch": "deeplab-v3plus",
    "encoder": "efficientnet-lite0",
    "encoder_weights": "imagenet",
    "output_stride": 16,
    "rates": [6, 12, 18],
    "image_pooling": False,
    "decoder_channels": 128,
}
POINT_MODEL: dict[str, Any] = {
    "arch": "point-fpn",
    "encoder": "efficientnet-lite0",
    "encoder_weights": "imagenet",
}
"""The network of points where none is named."""
"""The network of a recipe that names none: that of the shipped model."""
_ABOUT = ("name", "description", "licence", "limitations", "trained_at_m", "usable_resolution_m", "dtypes")
_SECTIONS: dict[str, Any] = {
    "fit": FitOptions,
    "sampling": SamplingOptions,
    "augment": AugmentOptions,
    "loss": LossOptions,
    "split": SplitOptions,
    "coarse": CoarseOptions,
}


@dataclass(frozen=True)
class BandSpec:
    """A band's name and scaling: the network sees (raw - mean) / std.

    ``scale`` and ``offset`` are what imagery declares whose raw numbers these are, value = raw * scale + offset;
    other imagery is brought over to them. None: what the first image declares.
    """

    name: str
    mean: float
    std: float
    common_name: str | None = None
    scale: float | None = None
    offset: float | None = None

    def __post_init__(self) -> None:
        if self.scale == 0:
            raise TrainingError(f"band {self.name!r}: scale is what raw numbers are multiplied with, not 0")
        if not self.std > 0:
            raise TrainingError(f"band {self.name!r}: std is what its values are divided by, above 0, got {self.std}")

    @property
    def tags(self) -> ValueTags:
        """Return the scale and offset of its raw numbers."""
        return ValueTags(1.0 if self.scale is None else self.scale, self.offset or 0.0)

    def under(self, tags: ValueTags) -> BandSpec:
        """Return the band with tags that imagery declares; itself where it declares none."""
        return replace(self, scale=tags.scale, offset=tags.offset) if tags.declared else self

    @property
    def says_tags(self) -> bool:
        """Return whether the recipe states them, so that the images need not."""
        return self.scale is not None or self.offset is not None


@dataclass(frozen=True)
class Recipe:
    """Everything that decides what a model becomes, but the data folder.

    Attributes:
        name, description, licence, limitations: for the card.
        arch, encoder, encoder_weights, options: see `build_network`.
        classes: of the model.
        task: the name of what the network's output means, see `landseg.dense.tasks`.
        task_options: of the task, by name.
        bands: that it reads, in their order.
        sources: what it learns from.
        dtypes: of rasters that it reads.
        fit, sampling, augment, loss: how it learns.
        split: what is kept out to be measured on; None: nothing, or what is named besides.
        coarse: how coarse labels are learned from; None: as usual, where sources have any.
        init: a model, by file or shipped name, that learning goes on from, in place of the encoder's weights.
        map_classes: of that model: the name here of some of its classes, where names alone do not say.
        folder: what labels that belong to the recipe lie in.
        trained_at_m: resolutions of the data, for the card.
        usable_resolution_m: the smallest and the largest pixel that the model is for, for the card; None: what the
            imagery says (`usable_range`).
    """

    name: str
    arch: str
    encoder: str
    encoder_weights: str | None
    options: Mapping[str, Any]
    classes: ClassMap
    bands: tuple[BandSpec, ...]
    sources: tuple[SourceSpec, ...]
    description: str = ""
    licence: str = UNSTATED
    limitations: str = ""
    dtypes: tuple[str, ...] = ("uint8",)
    fit: FitOptions = field(default_factory=FitOptions)
    sampling: SamplingOptions = field(default_factory=SamplingOptions)
    augment: AugmentOptions = field(default_factory=AugmentOptions)
    loss: LossOptions = field(default_factory=LossOptions)
    split: SplitOptions | None = None
    coarse: CoarseOptions | None = None
    init: str | None = None
    map_classes: Mapping[str, str] = field(default_factory=dict)
    folder: Path = Path()
    trained_at_m: tuple[float, ...] = ()
    usable_resolution_m: tuple[float, float] | None = None
    task: str = SEMANTIC
    task_options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.task != SEMANTIC and (is_fitted(self.arch) or self.loss.at == "units"):
            raise TrainingError(
                f"the task {self.task!r} needs a network that gives numbers at every pixel: use another arch than "
                'pixel-forest, and loss.at = "pixels"'
            )
        if detector_task(self.arch) != (self.task if self.task in OF_BOXES else None):
            names = (f"{arch} learns objects, as the task {entry.task!r}" for arch, entry in DETECTORS.items())
            raise TrainingError(
                f"{self.arch} is no network for the task {self.task!r}: {' and '.join(names)}, with --things or "
                f"--ids; other networks learn them as the task {INSTANCES!r}"
            )
        if any(source.coarse for source in self.sources) and self._learns_objects:
            raise TrainingError(
                "coarse labels teach shares of classes, and no objects: leave out --coarse, or learn classes alone, "
                "without --things and --ids"
            )
        if any(source.things or source.ids for source in self.sources) and not self._learns_objects:
            raise TrainingError(
                f"sources have things or ids, and the task {self.task!r} learns no objects: say task = "
                f'"{INSTANCES}", or leave them out'
            )
        if self.map_classes and self.init is None:
            raise TrainingError("--map-classes names classes of the model to go on from: name that too, --init MODEL")
        if self.loss.at == "units" and any(source.coarse for source in self.sources):
            raise TrainingError(
                'loss.at = "units" is for fine labels, and coarse ones teach by shares of pixels: leave out one'
            )
        if self.coarse is not None and not any(source.coarse for source in self.sources):
            raise TrainingError(
                "a table or a share of coarse labels was given, but no source has any: name them by --coarse, or by "
                "coarse in a source"
            )

    @property
    def _learns_objects(self) -> bool:
        """Return whether the targets of the task are made of objects.

        The task is not made here: its options may be those of another one, which takes its place with the network.
        """
        return "instance" in task_class(self.task).label_maps

    def make_task(self) -> Task:
        """Return the task, for the classes of the recipe.

        Raises:
            ModelError: a task that does not exist, or options that it refuses.
        """
        return make_task(self.task, self.classes, self.task_options)

    @property
    def scaling(self) -> Scaling:
        """Return the scaling of the raw pixels of its bands."""
        return Scaling(tuple(band.mean for band in self.bands), tuple(band.std for band in self.bands))

    def table(self) -> dict[str, Any]:
        """Return the recipe as tables of a TOML file, with everything that was left out; `recipe_of` reads them."""
        weights = RANDOM if self.encoder_weights is None else self.encoder_weights
        model = {"arch": self.arch, "encoder": self.encoder, "encoder_weights": weights, **self.options}
        model["init"] = self.init
        model["map_classes"] = dict(self.map_classes) or None
        about = {name: getattr(self, name) for name in _ABOUT}
        table: dict[str, Any] = {"about": about, "model": model}
        if self.task != SEMANTIC:
            table |= {"task": self.task, "task_options": dict(self.task_options)}
        table |= {name: asdict(part) for name in _SECTIONS if (part := getattr(self, name)) is not None}
        table |= self.classes.to_json()
        table |= {"bands": [asdict(band) for band in self.bands], "sources": [one.table() for one in self.sources]}
        plain: dict[str, Any] = _plain(table)
        return plain

    def write(self, path: Path) -> None:
        """Write the recipe as a TOML file.

        Raises:
            OutputError: it cannot be written.
        """
        import tomli_w

        with written(path) as place:
            place.write_text(tomli_w.dumps(self.table()), encoding="utf-8")


def read_recipe(path: Path) -> Recipe:
    """Return the recipe in a TOML file.

    Raises:
        TrainingError: a file that is missing or no TOML, or an entry that is missing, unknown or mistyped.
        ClassError: a class table that contradicts itself.
    """
    return recipe_of(read_table(path), path.parent, where=f"recipe {path}")


def recipe_of(table: Mapping[str, Any], folder: Path, *, where: str = "the recipe") -> Recipe:
    """Return the recipe that tables of a TOML file say.

    Args:
        table: by section; sections that may be left out have their defaults.
        folder: of labels that belong to the recipe.
        where: what the tables were read from, for sentences.

    Raises:
        TrainingError: an entry that is missing, unknown or mistyped.
        ClassError: a class table that contradicts itself.
    """
    left = dict(table)
    model, about = _table_of(left.pop("model", MODEL), "[model]", where), left.pop("about", None)
    try:
        if about is None:
            raise KeyError("about")
        entries = dict(
            _about(_table_of(about, "[about]", where), where),
            arch=(arch := model.pop("arch")),
            encoder=model.pop("encoder", NO_ENCODER) if is_fitted(arch) else model.pop("encoder"),
            encoder_weights=_weights(model.pop("encoder_weights", RANDOM)),
            init=model.pop("init", None),
            map_classes=model.pop("map_classes", {}),
            options={name: tuple(v) if isinstance(v, list) else v for name, v in model.items()},
            classes=ClassMap.from_json({"classes": left.pop("classes"), "ignore": left.pop("ignore", [])}),
            bands=_each(BandSpec, left.pop("bands"), "[[bands]]", where),
            sources=_each(SourceSpec, left.pop("sources"), "[[sources]]", where),
            folder=folder,
            task=left.pop("task", SEMANTIC),
            task_options=_table_of(left.pop("task_options", {}), "[task_options]", where),
        )
    except KeyError as error:
        raise TrainingError(f"{where} has no entry {error}; add it") from error
    for name, kind in _SECTIONS.items():
        if name in left:
            entries[name] = read_dataclass(kind, _over_crop(name, left.pop(name), entries), f"{where}, [{name}]")
    if left:
        known = ("task", "task_options", "about", "model", *_SECTIONS, "classes", "ignore", "bands", "sources")
        raise TrainingError(f"{where} has unknown entries: {', '.join(left)}; it knows {', '.join(known)}")
    recipe: Recipe = read_dataclass(Recipe, entries, where)
    return recipe


def _over_crop(name: str, section: Any, entries: Mapping[str, Any]) -> Any:
    """Return the entries of a section; a split gets blocks as large as the crops unless it names their size."""
    if name == "split" and isinstance(section, Mapping) and isinstance(entries.get("sampling"), SamplingOptions):
        return {"crop": entries["sampling"].crop, **section}
    return section


def _table_of(value: Any, place: str, where: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise TrainingError(f"{where}: {place} is a table of entries, got {shown(value)}")
    return dict(value)


def _about(entries: dict[str, Any], where: str) -> dict[str, Any]:
    if unknown := sorted(set(entries) - set(_ABOUT)):
        raise TrainingError(f"{where}, [about] has no {', '.join(unknown)}; it knows {', '.join(_ABOUT)}")
    return entries


def _each(kind: type[Any], rows: Any, place: str, where: str) -> tuple[Any, ...]:
    if not isinstance(rows, list | tuple) or not rows:
        raise TrainingError(f"{where}: {place} is a list of one table or more, got {shown(rows)}")
    return tuple(read_dataclass(kind, row, f"{where}, {place} {number}") for number, row in enumerate(rows, start=1))


def _weights(text: Any) -> Any:
    return None if text == RANDOM else text


def _plain(value: Any) -> Any:
    """Return a value as TOML has it, in which an entry that is None is left out."""
    if is_dataclass(value) and not isinstance(value, type):
        value = asdict(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(entry) for key, entry in value.items() if entry is not None}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return str(value) if isinstance(value, Path) else value
