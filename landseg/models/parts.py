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
"""What numbers that images are scaled by lie between: float32 holds them, and their quotients."""
_NAME = 1000  # characters


@dataclass(frozen=True)
class Band:
    """One input band and its scaling: the network sees (raw - mean) / std.

    Attributes:
        name: As printed and matched, e.g. "red".
        common_name: STAC's common name (red, green, blue, nir, ...), or None.
        mean: In raw units of the raster.
        std: In raw units of the raster; above 0.
        scale: What the training imagery declared with `offset`: value = raw * scale + offset. 1 and 0: nothing.
        offset: See `scale`.
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
        """The band as JSON values; a scale of 1 and an offset of 0, which say nothing, are left out."""
        declared = {} if (self.scale, self.offset) == (1, 0) else {"scale": self.scale, "offset": self.offset}
        plain_ = {"name": self.name, "common_name": self.common_name, "mean": self.mean, "std": self.std}
        return {**plain_, **declared}

    @classmethod
    def from_json(cls, data: object, where: str = "band") -> Band:
        """Return the band of JSON values; raise ModelError if a field is missing, unknown or mistyped."""
        band: Band = read_part(cls, data, where, optional=("scale", "offset"))
        return band


class Measured(Protocol):
    """What `landseg.models.graph.receptive_field.receptive_field` returns, as far as a card cares."""

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
        size: None when unbounded.
        stride: What window origins must be multiples of.
        offset: From an output pixel to the centre of its field.
        halo: The context that makes tiled inference exact; None when no halo does.
        unbounded_by: The layer that makes the field unbounded, or None.
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
        """Whether tiled inference can equal whole-image inference."""
        return self.halo is not None

    @classmethod
    def of(cls, measured: Measured) -> Field:
        """Returns the card's summary of a measured receptive field."""
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
    """One data set that the model learned from: its name, licence, credit line and, where known, its hash."""

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
    """How the weights came about.

    Attributes:
        sources: The data sets.
        options: The training command's options, JSON values by name.
        started_from: The weights that training began with, e.g. "imagenet"; None for random ones.
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
    """The figures and how they were measured; one that means nothing (a class that occurs nowhere) is nan.

    Attributes:
        measured_on: A sentence: which data, kept out how.
        overall: Figures by name, e.g. {"miou": 0.71}.
        per_class: Figures by class name, e.g. {"road": {"iou": 0.6}}.
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
    """Returns a mapping as JSON gives it back: tuples as lists, keys as text; anything else is an error."""
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
