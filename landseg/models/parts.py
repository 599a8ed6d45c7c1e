"""The parts of a card: bands, receptive field, data sources, training, figures; each to and from JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

from landseg.errors import ModelError
from landseg.text.strict import LARGEST, is_number, read_dataclass
from landseg.text.untrusted import brief

SMALL, LARGE = 1e-30, 1e30
"""The range of numbers that scale images: float32 holds them and their quotients."""
_NAME = 1000  # maximum number of characters of a name


@dataclass(frozen=True)
class Band:
    """An input band and its scaling: the network reads (raw - mean) / std.

    Attributes:
        name: the name for display and matching, for example "red".
        common_name: STAC's common name (red, green, blue, nir, ...), or None.
        mean: in raw units of the raster.
        std: in raw units of the raster; above 0.
        scale: declared by the training imagery: value = raw * scale + offset; 1 without a declaration.
        offset: see `scale`; 0 without a declaration.
    """

    name: str
    common_name: str | None
    mean: float
    std: float
    scale: float = 1.0
    offset: float = 0.0

    def __post_init__(self) -> None:
        if not self.name:
            raise ModelError("a band needs a name")
        check_line(self.name, "the name of a band")
        if not (is_number(self.scale) and is_number(self.offset) and self.scale):
            raise ModelError(
                f"band {self.name!r} should have a finite scale other than 0 and a finite offset, "
                f"got scale {self.scale}, offset {self.offset}"
            )
        if not (is_number(self.mean) and is_number(self.std) and self.std > 0):
            raise ModelError(
                f"band {self.name!r} should have a finite mean and a std above 0, "
                f"got mean {self.mean}, std {self.std}"
            )
        if not (abs(self.mean) <= LARGE and SMALL <= self.std <= LARGE):
            raise ModelError(
                f"band {brief(self.name)} should have a mean and a std that 32 bits hold ({SMALL:g} to {LARGE:g}), "
                f"got mean {self.mean}, std {self.std}"
            )

    def to_json(self) -> dict[str, Any]:
        """Return the band as JSON values, without a scale of 1 and an offset of 0, which change nothing."""
        declared = {} if (self.scale, self.offset) == (1, 0) else {"scale": self.scale, "offset": self.offset}
        values = {"name": self.name, "common_name": self.common_name, "mean": self.mean, "std": self.std}
        return {**values, **declared}

    @classmethod
    def from_json(cls, data: object, where: str = "band") -> Band:
        """Return the band of JSON values; raise ModelError if a field is missing, unknown or mistyped."""
        band: Band = read_part(cls, data, where, optional=("scale", "offset"))
        return band


class Measured(Protocol):
    """The attributes of `landseg.models.graph.receptive_field.ReceptiveField` that a card holds."""

    @property
    def size(self) -> int | None: ...
    @property
    def stride(self) -> int: ...
    @property
    def offset(self) -> float: ...
    @property
    def halo(self) -> int | None: ...
    @property
    def unbounded_by(self) -> str | None: ...


@dataclass(frozen=True)
class Field:
    """The receptive field of the network's output pixels, in input pixels.

    Attributes:
        size: rows (and columns) of the field; None if unbounded.
        stride: window origins are multiples of it.
        offset: distance from an output pixel to the centre of its field.
        halo: the context with which tiled inference is exact; None if no halo is enough.
        unbounded_by: the layer that makes the field unbounded, or None.
    """

    size: int | None
    stride: int
    offset: float
    halo: int | None
    unbounded_by: str | None = None

    def __post_init__(self) -> None:
        for name, least in (("size", 1), ("stride", 1), ("halo", 0)):
            value = getattr(self, name)
            if value is not None and not least <= value <= LARGEST:
                raise ModelError(f"the {name} of a receptive field should be at least {least}, got {brief(value)}")

    @property
    def exact(self) -> bool:
        """True if tiled inference can equal whole-image inference."""
        return self.halo is not None

    @classmethod
    def of(cls, measured: Measured) -> Field:
        """Return the card's summary of a measured receptive field."""
        return cls(measured.size, measured.stride, measured.offset, measured.halo, measured.unbounded_by)

    def to_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("size", "stride", "offset", "halo", "unbounded_by")}

    @classmethod
    def from_json(cls, data: object, where: str = "receptive field") -> Field:
        """Return the field of JSON values; raise ModelError if a field of them is missing, unknown or mistyped."""
        found: Field = read_part(cls, data, where)
        return found


@dataclass(frozen=True)
class DataSource:
    """A data set of the training: its name, licence, credit line and, if known, its hash."""

    name: str
    licence: str
    credit: str
    sha256: str | None = None

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, "licence": self.licence, "credit": self.credit, "sha256": self.sha256}

    @classmethod
    def from_json(cls, data: object, where: str = "source") -> DataSource:
        """Return the source of JSON values; raise ModelError if a field is missing, unknown or mistyped."""
        source: DataSource = read_part(cls, data, where)
        return source


@dataclass(frozen=True)
class Training:
    """The origin of the weights.

    Attributes:
        sources: the data sets.
        options: the options of the training command, JSON values by name.
        started_from: the weights at the start of training, for example "imagenet"; None for random weights.
    """

    sources: tuple[DataSource, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    started_from: str | None = None

    def to_json(self) -> dict[str, Any]:
        sources = [source.to_json() for source in self.sources]
        return {"sources": sources, "options": plain(self.options), "started_from": self.started_from}

    @classmethod
    def from_json(cls, data: object, where: str = "training") -> Training:
        """Return the training of JSON values; raise ModelError if a field is missing, unknown or mistyped."""
        training: Training = read_part(cls, data, where)
        return training


@dataclass(frozen=True)
class Metrics:
    """The figures of the model, with the data of their measurement; a figure that means nothing is nan.

    Attributes:
        measured_on: a sentence about the data, and how it was kept out of training.
        overall: figures by name, for example {"miou": 0.71}.
        per_class: figures by class name, for example {"road": {"iou": 0.6}}.
    """

    measured_on: str
    overall: Mapping[str, float] = field(default_factory=dict)
    per_class: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {
            "measured_on": self.measured_on,
            "overall": _figures_out(self.overall),
            "per_class": {name: _figures_out(figures) for name, figures in self.per_class.items()},
        }

    @classmethod
    def from_json(cls, data: object, where: str = "metrics") -> Metrics:
        """Return the figures of JSON values; raise ModelError if a field is missing, unknown or mistyped."""
        read: _Figures = read_part(_Figures, data, where)
        per_class = {name: _nan_for_none(figures) for name, figures in read.per_class.items()}
        return cls(read.measured_on, _nan_for_none(read.overall), per_class)


@dataclass(frozen=True)
class _Figures:
    """Metrics as JSON has them: null for nan."""

    measured_on: str
    overall: Mapping[str, float | None]
    per_class: Mapping[str, Mapping[str, float | None]]


read_part = partial(read_dataclass, error=ModelError, optional=(), floats=True)
"""Read a dataclass of a card from JSON values: every field is there, but those that are named as optional."""


def plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a mapping after a trip through JSON: tuples are lists, keys are text; other values raise ModelError."""
    try:
        result: dict[str, Any] = json.loads(json.dumps(dict(values), allow_nan=False))
    except (TypeError, ValueError, RecursionError) as problem:
        got = brief(values)
        raise ModelError(f"options should be JSON values (text, numbers, lists), got {got}") from problem
    return result


def _figures_out(figures: Mapping[str, float]) -> dict[str, float | None]:
    return {name: float(value) if math.isfinite(value) else None for name, value in figures.items()}


def _nan_for_none(figures: Mapping[str, float | None]) -> dict[str, float]:
    return {name: math.nan if value is None else value for name, value in figures.items()}


def check_line(text: str, place: str) -> None:
    """Raise ModelError if a text has several lines, or is too long to be read as a name."""
    if len(text) > _NAME or set(text) & set("\n\r\t"):
        raise ModelError(f"{place} should be one line of text of up to {_NAME} characters, got {brief(text)}")
