"""What a card is made of: bands, receptive field, data sources, training, figures; each to and from JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from landseg.errors import ModelError
from landseg.models.fields import Fields, is_number
from landseg.text.untrusted import brief

SMALL, LARGE = 1e-30, 1e30
"""What numbers that images are scaled by lie between: float32 holds them, and their quotients."""


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
        fields = Fields(data, where)
        band = cls(
            name=fields.name("name"),
            common_name=fields.text_or_none("common_name"),
            mean=fields.number("mean"),
            std=fields.number("std"),
            scale=fields.number_or("scale", 1.0),
            offset=fields.number_or("offset", 0.0),
        )
        fields.close()
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
        fields = Fields(data, where)
        result = cls(
            size=fields.whole_or_none("size", least=1),
            stride=fields.whole("stride", least=1),
            offset=fields.number("offset"),
            halo=fields.whole_or_none("halo"),
            unbounded_by=fields.text_or_none("unbounded_by"),
        )
        fields.close()
        return result


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
        fields = Fields(data, where)
        source = cls(
            name=fields.text("name"),
            licence=fields.text("licence"),
            credit=fields.text("credit"),
            sha256=fields.text_or_none("sha256"),
        )
        fields.close()
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
        fields = Fields(data, where)
        training = cls(
            sources=fields.items("sources", DataSource.from_json),
            options=fields.mapping("options"),
            started_from=fields.text_or_none("started_from"),
        )
        fields.close()
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
        fields = Fields(data, where)
        metrics = cls(
            measured_on=fields.text("measured_on"),
            overall=_figures_in(fields.mapping("overall"), f"{where} field 'overall'"),
            per_class={
                name: _figures_in(figures, f"{where} field 'per_class' of {name!r}")
                for name, figures in fields.mapping("per_class").items()
            },
        )
        fields.close()
        return metrics


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


def _figures_in(figures: object, where: str) -> dict[str, float]:
    fields = Fields(figures, where)
    values = {name: fields.number_or_none(name) for name in list(dict(figures))}  # type: ignore[call-overload]
    return {name: math.nan if value is None else value for name, value in values.items()}
