"""Target assignment: the truth for a logit lies at the centre of its receptive field.

Logit ``f`` of a network without an upsampler sits at input pixel ``stride * f + shift``: 0.0 for odd, symmetrically
padded kernels (ResNet-like), ``(stride - 1) / 2`` behind even pools (VGG-like). Either the targets are sampled there,
or the logits are brought to the targets' pixels; no other pairing of the two is centred.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch
import torch.nn.functional as F
from affine import Affine
from torch import Tensor

from landseg.classes import IGNORE_INDEX
from landseg.errors import TrainingError
from landseg.geo.grid import Grid
from landseg.models.graph.receptive_field import ReceptiveField
from landseg.models.layers.upsample import AlignedUpsample


@dataclass(frozen=True)
class UnitGrid:
    """Where logits sit in their input: unit ``f`` is centred on pixel ``stride * f + shift``.

    >>> UnitGrid(32, 15.5).centre(10)
    335.5

    Raises:
        TrainingError: a stride below 1, or centres neither on a pixel nor midway between two.
    """

    stride: int
    shift: float = 0.0

    def __post_init__(self) -> None:
        if self.stride < 1 or 2 * self.shift != round(2 * self.shift):
            raise TrainingError(
                f"units at {self.stride} * f + {self.shift} have no pixels as centres; use a whole stride of 1 or "
                "more and a shift that is a multiple of 0.5"
            )

    @classmethod
    def of(cls, field: ReceptiveField) -> UnitGrid:
        """Return the grid of a network's output.

        Raises:
            TrainingError: the field is unbounded and has no centre, or the output is finer than the input.
        """
        if field.unbounded_by is not None:
            raise TrainingError(
                f"logits that see the whole input ({field.unbounded_by}) have no centre; name their grid yourself"
            )
        stride = field.layers[-1].stride if field.layers else 1.0
        if stride != int(stride):
            raise TrainingError(f"{1 / stride:g} logits a pixel: targets are sampled for coarser logits only")
        return cls(int(stride), field.offset)

    def centre(self, unit: int) -> float:
        """The input pixel that the unit is centred on, 0-based; x.5 is midway between two pixels."""
        return self.stride * unit + self.shift


def target_at_units(target: Tensor, units: UnitGrid, size: tuple[int, int]) -> Tensor:
    """Return the targets (N, h, w) at the centres of ``size`` (h, w) units.

    A centre on a pixel takes that pixel's target. A centre midway between two pixels (four, where that is so in both
    axes) takes the class of most of them, and IGNORE_INDEX where two classes have as many: rounding to either side
    would move every target by half a pixel. Pixels to be ignored, and those outside the input, have no say.

    Args:
        target: (N, H, W) integers, class indices or IGNORE_INDEX; of any size.
        units: the logits' grid.
        size: (h, w) of the logits.
    """
    rows = _around(units, size[0], target.shape[-2], target.device)
    columns = _around(units, size[1], target.shape[-1], target.device)
    padded = F.pad(target, (0, 1, 0, 1), value=IGNORE_INDEX)  # the last row and column stand for all outside
    votes = torch.stack([padded[:, y[:, None], x] for y in rows for x in columns])
    return votes[0] if len(votes) == 1 else _majority(votes)


def logits_at_pixels(logits: Tensor, units: UnitGrid, size: tuple[int, int]) -> Tensor:
    """Return logits (N, K, H, W) at every pixel of an input of ``size`` (H, W), by aligned bilinear upsampling.

    Beyond the first and the last unit their values are held, so (N, K, h, w) may have any size: pools that round
    down leave the last pixels without a unit of their own.

    Raises:
        TrainingError: units that sit neither at ``stride * f`` nor at ``stride * f + (stride - 1) / 2``.
    """
    if units.shift not in (0.0, (units.stride - 1) / 2):
        raise TrainingError(
            f"logits at {units.stride} * f + {units.shift} cannot be upsampled in place; crop them to a shift of 0.0 "
            f"or {(units.stride - 1) / 2}"
        )
    needed = [-(-pixels // units.stride) for pixels in size]
    missing = [max(0, need - have) for need, have in zip(needed, logits.shape[-2:], strict=True)]
    if any(missing):
        logits = F.pad(logits, (0, missing[1], 0, missing[0]), mode="replicate")
    up = AlignedUpsample(units.stride, units.shift)
    made: Tensor = up(logits[..., : needed[0], : needed[1]], logits.new_empty(1, 1, 1, 1).expand(1, 1, *size))
    return made


def assign(
    logits: Tensor, target: Tensor, units: UnitGrid, *, at: Literal["units", "pixels"] = "pixels"
) -> tuple[Tensor, Tensor]:
    """Return logits (N, K, h, w) and targets (N, h, w) on one grid, ready for any loss.

    Args:
        logits: (N, K, h, w).
        target: (N, H, W) of the input.
        units: the logits' grid.
        at: "units" samples the targets at the logits' own grid (DeepLab v1 and v2); "pixels" upsamples the logits
            to the full resolution (DeepLab v3).

    Raises:
        TrainingError: logits that cannot be upsampled in place.
    """
    if at == "units":
        return logits, target_at_units(target, units, (logits.shape[-2], logits.shape[-1]))
    return logits_at_pixels(logits, units, (target.shape[-2], target.shape[-1])), target


def unit_raster(grid: Grid, units: UnitGrid, size: tuple[int, int]) -> Grid:
    """Return the georeferenced grid of a raster of ``size`` (h, w) logits over an input on ``grid``.

    Its pixels are ``stride`` times as large, and moved so that the middle of pixel f is the centre of unit f: by
    ``shift + 0.5 - stride / 2`` input pixels, which is nothing for VGG-like units and about half a large pixel, up
    and left, for ResNet-like ones.

    >>> unit_raster(Grid(None, Affine.identity(), 64, 64), UnitGrid(8), (8, 8)).transform @ (0.5, 0.5)
    (0.5, 0.5)
    """
    moved = units.shift + 0.5 - units.stride / 2
    stride = units.stride
    gcps = grid.gcps and tuple(
        p._replace(row=(p.row - moved) / stride, col=(p.col - moved) / stride) for p in grid.gcps
    )
    transform = grid.transform @ Affine.translation(moved, moved) @ Affine.scale(stride)
    return replace(grid, transform=transform, height=size[0], width=size[1], gcps=gcps)


def _around(units: UnitGrid, count: int, pixels: int, device: torch.device) -> list[Tensor]:
    """The pixels at each unit's centre, one tensor (count,), or those below and above it; ``pixels`` is outside."""
    twice = 2 * (units.stride * torch.arange(count, device=device)) + round(2 * units.shift)
    low, high = twice.div(2, rounding_mode="floor"), -(-twice).div(2, rounding_mode="floor")
    found = [low] if round(2 * units.shift) % 2 == 0 else [low, high]
    return [torch.where((at >= 0) & (at < pixels), at, pixels) for at in found]


def _majority(votes: Tensor) -> Tensor:
    """The commonest of (V, ...) targets, IGNORE_INDEX left out and given where there is none or a tie."""
    dtype, votes = votes.dtype, votes.long()
    counted = votes != IGNORE_INDEX
    counts = torch.stack([((votes == vote) & counted).sum(0) for vote in votes])  # of each vote's own class
    counts = torch.where(counted, counts, 0)
    most = counts.max(0).values
    leads = (counts == most) & (most > 0)
    first = torch.where(leads, votes, 1 << 30).min(0).values
    last = torch.where(leads, votes, -1).max(0).values
    return torch.where(first == last, last, IGNORE_INDEX).to(dtype)
