"""Target assignment: the truth for a logit lies at the centre of its receptive field.

Unit ``f`` of the scores before a network's upsampling sits at input pixel ``stride * f + shift``: 0.0 for odd,
symmetrically padded kernels (ResNet-like), ``(stride - 1) / 2`` behind even pools (VGG-like). Either the scores are
upsampled to the pixels of the targets (DeepLab v3), or the targets are sampled at the units (DeepLab v1 and v2); no
other pairing of the two is centred.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from landseg.classes import IGNORE_INDEX
from landseg.errors import TrainingError
from landseg.models.graph.rules import traced_modules
from landseg.models.layers.upsample import AlignedUpsample


@dataclass(frozen=True)
class UnitGrid:
    """The places of units in their input: unit ``f`` is centred on pixel ``stride * f + shift``.

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

    def centre(self, unit: int) -> float:
        """Return the input pixel that a unit is centred on, 0-based; x.5 is midway between two pixels."""
        return self.stride * unit + self.shift


class UnitScores:
    """The scores of a network at its own units: the input of the bilinear upsampling that is its last layer.

    That layer has no weights, so a network that learns from its units has the same weights, by the same names.

    Args:
        network: maps (N, C, H, W) to logits (N, K, H, W).

    Attributes:
        grid: the places of the units.

    Raises:
        TrainingError: the network ends in another layer.
    """

    def __init__(self, network: nn.Module) -> None:
        self._network, self._last = network, _last_upsampling(network)
        self.grid = UnitGrid(self._last.factor, self._last.shift)

    def __call__(self, inputs: Tensor) -> Tensor:
        """Return the scores (N, K, h, w) of inputs (N, C, H, W)."""
        scores: list[Tensor] = []
        with self._last.register_forward_pre_hook(lambda layer, arguments: scores.append(arguments[0])):
            self._network(inputs)
        return scores[0]


def _last_upsampling(network: nn.Module) -> AlignedUpsample:
    traced, modules = traced_modules(network)
    node = next(node for node in traced.graph.nodes if node.op == "output").args[0]
    last = modules.get(str(node.target)) if isinstance(node, fx.Node) else None
    if isinstance(last, AlignedUpsample) and last.factor > 1:
        return last
    raise TrainingError(
        f'loss.at = "units" needs a network that ends in bilinear upsampling without weights, which this '
        f'{type(network).__name__} does not: use loss.at = "pixels", or a DeepLab, FPN or UPerNet with the option '
        'upsampler = "aligned"'
    )


def target_at_units(target: Tensor, units: UnitGrid, size: tuple[int, int]) -> Tensor:
    """Return the targets (N, h, w) at the centres of ``size`` (h, w) units.

    A centre on a pixel takes that pixel's target. A centre midway between two pixels (four, where that is so in both
    axes) takes the class of most of them, and IGNORE_INDEX where two classes have as many: rounding to either side
    would move every target by half a pixel. Pixels at IGNORE_INDEX, and pixels outside the input, do not count.

    Args:
        target: (N, H, W) integers, class indices or IGNORE_INDEX; of any size.
        units: the places of the units.
        size: (h, w) of the scores.
    """
    rows = _around(units, size[0], target.shape[-2], target.device)
    columns = _around(units, size[1], target.shape[-1], target.device)
    padded = F.pad(target, (0, 1, 0, 1), value=IGNORE_INDEX)  # the last row and column stand for all outside
    votes = torch.stack([padded[:, y[:, None], x] for y in rows for x in columns])
    return votes[0] if len(votes) == 1 else _majority(votes)


def _around(units: UnitGrid, count: int, pixels: int, device: torch.device) -> list[Tensor]:
    """Return the pixel at each unit's centre (count,), or the pixels below and above it; ``pixels`` is outside."""
    twice = 2 * (units.stride * torch.arange(count, device=device)) + round(2 * units.shift)
    low, high = twice.div(2, rounding_mode="floor"), -(-twice).div(2, rounding_mode="floor")
    found = [low] if round(2 * units.shift) % 2 == 0 else [low, high]
    return [torch.where((at >= 0) & (at < pixels), at, pixels) for at in found]


def _majority(votes: Tensor) -> Tensor:
    """Return the commonest of (V, ...) targets but IGNORE_INDEX, which stands where no target or a tie is."""
    dtype, votes = votes.dtype, votes.long()
    counted = votes != IGNORE_INDEX
    counts = torch.stack([((votes == vote) & counted).sum(0) for vote in votes])  # of each vote's own class
    counts = torch.where(counted, counts, 0)
    most = counts.max(0).values
    leads = (counts == most) & (most > 0)
    first = torch.where(leads, votes, 1 << 30).min(0).values
    last = torch.where(leads, votes, -1).max(0).values
    return torch.where(first == last, last, IGNORE_INDEX).to(dtype)
