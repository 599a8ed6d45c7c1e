"""Receptive fields as data, without torch; `landseg.models.graph.receptive_field` computes them."""

from __future__ import annotations

from dataclasses import dataclass


def not_streamed(layer: str, why: str) -> str:
    """Return the sentence that a layer, with the reason, stands against streaming."""
    return f"{layer} cannot be streamed ({why}); use --engine windows"


@dataclass(frozen=True)
class LayerField:
    """The field of a layer's units: ``size`` and ``offset`` in input pixels, None where unbounded.

    ``apart`` is the distance in input pixels between the centres of the paths to a unit: 0.0 where all agree.
    """

    name: str
    kind: str
    size: int | None
    stride: float
    offset: float | None
    apart: float = 0.0


@dataclass(frozen=True)
class ReceptiveField:
    """The receptive field of an output unit, in input pixels.

    Attributes:
        size: rows (and columns) of the field, over all phases of the upsampling; None = unbounded.
        stride: the network's total stride: window origins must be multiples of it.
        offset: input pixel at which output unit 0 is centred: 0.0 for full-resolution networks, 15.5 for VGG's
            stride-32 units.
        radius: distance to the farthest input pixel that an output reads; None = unbounded.
        unbounded_by: the layer that makes the field unbounded, with the reason.
        layers: every layer that changes the field, in order.
    """

    size: int | None
    stride: int
    offset: float
    radius: int | None
    unbounded_by: str | None
    layers: tuple[LayerField, ...]

    @property
    def halo(self) -> int | None:
        """The smallest halo for exact results: the radius rounded up to the stride; None if no halo is enough."""
        return None if self.radius is None else -(-self.radius // self.stride) * self.stride
