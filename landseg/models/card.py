"""The card: all facts about a model except its weights, with which a raster is read as in training, or refused.

A card is JSON in the header of the model file (see `landseg.models.file`). Reading is strict: a field that is
missing, unknown or of the wrong type is an error that names it, and a card of a later format is refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from landseg.classes import ClassMap
from landseg.errors import ClassError, ModelError
from landseg.models.heads import CLASSES, Heads, head_item
from landseg.models.networks.catalogue import check_options
from landseg.models.parts import LARGE, Band, DataSource, Field, Metrics, Training, check_line, plain, read_part
from landseg.text.strict import LARGEST, check_table, is_number
from landseg.text.untrusted import brief, unsafe_text

__all__ = [
    "DTYPES", "FORMAT_VERSION", "SEMANTIC", "Band", "Card", "DataSource", "Field", "Heads", "Metrics", "Training",
    "check_options",
]  # fmt: skip

FORMAT_VERSION = 2
"""The latest format of cards. Cards of semantic segmentation are written as format 1, which has no task."""
SEMANTIC = "semantic"
"""The task of a card that names none."""
DTYPES = ("uint8", "uint16", "int16", "uint32", "int32", "float32", "float64")

# The card chooses the network, and a card may come from anywhere: the name of a model hub or a folder
# ("timm:hf-hub:...", "timm:local-dir:...") is no encoder, and no option names weights.
_ENCODER = re.compile(r"(timm:)?[A-Za-z0-9][A-Za-z0-9_.-]*")
_TASK = re.compile(r"[a-z][a-z0-9-]*")
_CLASSES_ALONE = Heads(())
_PLACE = "the model's card"
_OPTIONAL = ("usable_resolution_m", "temperature", "not_measured")
_TASK_FIELDS = ("task", "heads", "task_options")  # of format 2
_METRES, _TEMPERATURES = (1e-6, 1e8), (1e-6, 1e6)
_RESERVED_OPTIONS = frozenset({"arch", "encoder", "bands", "channels", "classes", "encoder_weights"})


@dataclass(frozen=True)
class Card:
    """A model's description: its input, its output, its training and its limits.

    Attributes:
        name: a short name, for example "landcover-rgb".
        arch: the architecture for `build_network`, as are `encoder` and `options`.
        bands: the input bands, in the order of the network's channels.
        classes: the classes, in the order of the network's logits.
        task: the name of the task, which gives the network's output its meaning, see `landseg.dense.tasks`.
        heads: the output's channels by name; empty for semantic segmentation, whose channels are the classes.
        task_options: the task's own options, JSON values by name.
        receptive_field: the receptive field of the network as built.
        parameters: number of learned values.
        dtypes: raster dtypes whose raw values mean the same as in training.
        fill: the network's input where the raster has no data, in scaled units; 0 is the mean.
        resolution_m: the ground sampling distance at which the network runs; None leaves it open.
        trained_at_m: the ground sampling distances of the training.
        usable_resolution_m: the smallest and the largest ground sampling distance that it is for; None if unknown.
        temperature: the divisor of logits before they become probabilities; it changes no class.
        limitations: sentences about conditions in which it fails.
        not_measured: the reason why there are no figures of the holdout scenes; empty if they were measured, or if
            there are none.
        created_by: the landseg that wrote the card.
    """

    name: str
    description: str
    arch: str
    encoder: str
    bands: tuple[Band, ...]
    classes: ClassMap
    receptive_field: Field
    parameters: int
    licence: str
    options: Mapping[str, Any] = field(default_factory=dict)
    dtypes: tuple[str, ...] = ("uint8",)
    fill: float = 0.0
    resolution_m: float | None = None
    trained_at_m: tuple[float, ...] = ()
    usable_resolution_m: tuple[float, float] | None = None
    training: Training | None = None
    metrics: Metrics | None = None
    temperature: float = 1.0
    limitations: str = ""
    not_measured: str = ""
    created_by: str = ""
    task: str = SEMANTIC
    heads: Heads = _CLASSES_ALONE
    task_options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check(self)

    @property
    def means(self) -> tuple[float, ...]:
        """The mean of each band, in raw units."""
        return tuple(band.mean for band in self.bands)

    @property
    def stds(self) -> tuple[float, ...]:
        """The standard deviation of each band, in raw units."""
        return tuple(band.std for band in self.bands)

    @property
    def channels(self) -> int:
        """Return the number of channels of the network's output."""
        return self.heads.total or len(self.classes)

    @property
    def channel_names(self) -> tuple[str, ...]:
        """The name of each channel: its class, or its head, with a number if the head has several channels."""
        names: list[str] = []
        for head, size in (self.heads or Heads.of_classes(len(self.classes))).sizes:
            numbers = [head] if size == 1 else [f"{head} {number}" for number in range(1, size + 1)]
            names += self.classes.names if (head, size) == (CLASSES, len(self.classes)) else numbers
        return tuple(names)

    def to_json(self) -> dict[str, Any]:
        """Return the card as JSON values, `format_version` first; nan figures become null.

        A temperature of 1, which does nothing, is left out, and so are an empty `not_measured`, a range of pixel
        sizes that is not stated and the task of semantic segmentation: every landseg of the format reads such a card.
        """
        semantic = self.task == SEMANTIC
        task: dict[str, Any] = {"task": self.task, "heads": self.heads.to_json()}
        task |= {"task_options": plain(self.task_options)} if self.task_options else {}
        fitted = {} if self.temperature == 1 else {"temperature": self.temperature}
        usable = {} if self.usable_resolution_m is None else {"usable_resolution_m": list(self.usable_resolution_m)}
        unmeasured = {"not_measured": self.not_measured} if self.not_measured else {}
        return {
            "format_version": 1 if semantic else FORMAT_VERSION,
            "name": self.name,
            "description": self.description,
            "arch": self.arch,
            "encoder": self.encoder,
            "options": plain(self.options),
            "bands": [band.to_json() for band in self.bands],
            "dtypes": list(self.dtypes),
            "fill": self.fill,
            "resolution_m": self.resolution_m,
            "trained_at_m": list(self.trained_at_m),
            **usable,
            "classes": self.classes.to_json(),
            **({} if semantic else task),
            "receptive_field": self.receptive_field.to_json(),
            "parameters": self.parameters,
            "training": None if self.training is None else self.training.to_json(),
            "metrics": None if self.metrics is None else self.metrics.to_json(),
            **fitted,
            **unmeasured,
            "limitations": self.limitations,
            "licence": self.licence,
            "created_by": self.created_by,
        }

    @classmethod
    def from_json(cls, data: object) -> Card:
        """Return the card of JSON values as `to_json` gives them.

        Raises:
            ModelError: the format is later, or a field is missing, unknown or mistyped.
        """
        if (text := unsafe_text(data)) is not None:
            raise ModelError(
                f"the model's card holds text with control characters, which could change what a terminal shows: "
                f"{brief(text)}; use another model"
            )
        entries = check_table(data, _PLACE, ModelError)
        version = _version_of(entries)
        if version == 1 and (later := [name for name in _TASK_FIELDS if name in entries]):
            raise ModelError(f"{_PLACE} has no {', '.join(later)}: these are fields of format 2")
        if isinstance(options := entries.get("options"), Mapping):
            entries["options"] = _options_in(options)
        if "classes" in entries:
            entries["classes"] = _classes_in(entries["classes"])
        if isinstance(heads := entries.get("heads"), list):
            entries["heads"] = Heads(tuple(head_item(head, f"{_PLACE}: heads[{i}]") for i, head in enumerate(heads)))
        optional = (*_OPTIONAL, *(_TASK_FIELDS if version == 1 else ("task_options",)))
        card: Card = read_part(cls, entries, _PLACE, optional=optional)
        return card


def _check(card: Card) -> None:
    for name in ("name", "arch", "encoder", "licence"):
        if not getattr(card, name):
            raise ModelError(f"a card needs a {name}: it is empty")
    for name in ("name", "arch", "encoder", "task"):
        check_line(getattr(card, name), f"the {name} of a card")
    if not 0 <= card.parameters <= LARGEST:
        raise ModelError(f"parameters should be a number from 0 to {LARGEST}, got {brief(card.parameters)}")
    if not _ENCODER.fullmatch(card.encoder):
        raise ModelError(f"encoder {card.encoder!r} is not a plain name such as 'resnet18' or 'timm:NAME'")
    if reserved := _RESERVED_OPTIONS.intersection(card.options):
        raise ModelError(f"options may not hold {', '.join(sorted(reserved))}: these are fields of the card")
    plain(card.options)
    check_options(card.options)
    _check_task(card)
    _check_bands(card.bands)
    if not card.dtypes or not set(card.dtypes).issubset(DTYPES):
        got = ", ".join(card.dtypes[:8]) or "none"
        raise ModelError(f"dtypes should be one or more of {', '.join(DTYPES)}, got {got}")
    if not (is_number(card.fill) and abs(card.fill) <= LARGE):
        raise ModelError(f"fill should be a finite number, got {card.fill}")
    if not (is_number(card.temperature) and card.temperature > 0):
        raise ModelError(f"temperature should be a finite number above 0, got {card.temperature}")
    if not _TEMPERATURES[0] <= card.temperature <= _TEMPERATURES[1]:
        least, most = _TEMPERATURES
        raise ModelError(f"temperature should be a number from {least:g} to {most:g}, got {card.temperature:g}")
    usable = card.usable_resolution_m or ()
    for metres in (*card.trained_at_m, *usable, *(() if card.resolution_m is None else (card.resolution_m,))):
        if not (is_number(metres) and metres > 0):
            raise ModelError(f"resolutions should be metres above 0, got {metres}")
        if not _METRES[0] <= metres <= _METRES[1]:
            raise ModelError(f"resolutions should be {_METRES[0]:g} to {_METRES[1]:g} metres, got {metres:g}")
    if usable and usable[0] > usable[1]:
        low, high = usable
        raise ModelError(f"usable_resolution_m should be the smaller and the larger number, got {low:g} and {high:g}")


def _check_task(card: Card) -> None:
    if not _TASK.fullmatch(card.task):
        raise ModelError(f"task {brief(card.task)} is not a plain name such as {SEMANTIC!r}")
    plain(card.task_options)
    if (card.task == SEMANTIC) != (not card.heads and not card.task_options):
        expected = "neither heads nor options" if card.task == SEMANTIC else "one head or more"
        raise ModelError(f"a card of the task {card.task!r} should have {expected}, got the heads {card.heads}")


def _check_bands(bands: tuple[Band, ...]) -> None:
    names = [band.name for band in bands]
    if not names or len(set(names)) != len(names):
        got = ", ".join(names[:8]) or "none"
        raise ModelError(f"bands should be one or more with names of their own, got {got}")


def _version_of(entries: dict[str, Any]) -> int:
    """Return the format of a card, taken out of its entries."""
    version = entries.pop("format_version", None)
    if not (type(version) is int and version >= 1):
        raise ModelError(f"{_PLACE}: format_version is a whole number of at least 1, got {brief(version)}")
    if version > FORMAT_VERSION:
        raise ModelError(
            f"the model was written by a newer landseg (format {version}; this one reads {FORMAT_VERSION}): "
            "upgrade landseg"
        )
    return version


def _options_in(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in options.items()}


def _classes_in(data: object) -> ClassMap:
    try:
        return ClassMap.from_json(data)
    except ClassError as problem:
        raise ModelError(f"{_PLACE}: classes: {problem}") from problem
