"""The semantic branch of Panoptic Feature Pyramid Networks (Kirillov et al. 2019): levels summed at stride 4."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from landseg.errors import ModelError
from landseg.models.layers.aligned import check_whole
from landseg.models.networks.backbones import Encoder

_GROUPS = 32
_LEVELS = 4


def make_branches(
    encoder: Encoder, *, inputs: int, outputs: int, norm: str = "batch", upsampler: str = "aligned"
) -> tuple[nn.ModuleList, nn.ModuleList]:
    """Return the blocks of each level's branch, and the upsamplers by 2 that follow them; none at stride 4.

    Args:
        encoder: says where units sit.
        inputs: channels of the pyramid's levels.
        outputs: channels of the branches.
        norm: "batch" or "group".
        upsampler: name of the upsampler.

    Raises:
        ModelError: numbers or names that make no branch.
    """
    check_whole("head_channels", outputs)
    if norm not in ("batch", "group"):
        raise ModelError(f"norm must be 'batch' or 'group', got {norm!r}")
    if norm == "group" and outputs % _GROUPS:
        raise ModelError(f"group norm needs head_channels that {_GROUPS} divides, got {outputs}")
    branches = nn.ModuleList([_branch(inputs, outputs, max(1, i), norm) for i in range(_LEVELS)])
    up = nn.ModuleList(
        [nn.ModuleList([encoder.upsampler(2, upsampler, channels=outputs) for _ in range(i)]) for i in range(_LEVELS)]
    )
    return branches, up


def sum_branches(branches: nn.ModuleList, up: nn.ModuleList, pyramid: Sequence[Tensor]) -> Tensor:
    """Return the sum (N, C, h, w) of all branches at stride 4, for a pyramid's levels, the finest first."""
    total: Tensor | None = None
    for i, (branch, ups) in enumerate(zip(branches, up, strict=True)):
        y = pyramid[i]
        for step, block in enumerate(branch.children()):
            y = block(y)
            if i:
                y = ups.get_submodule(str(step))(y, pyramid[i - step - 1])
        total = y if total is None else total + y
    assert total is not None
    return total


def _branch(inputs: int, outputs: int, blocks: int, norm: str) -> nn.ModuleList:
    """Return ``blocks`` of a 3 x 3 convolution, a norm and a ReLU, between which the levels are upsampled by 2."""
    made = nn.ModuleList()
    for i in range(blocks):
        layer = nn.GroupNorm(_GROUPS, outputs) if norm == "group" else nn.BatchNorm2d(outputs)
        convolution = nn.Conv2d(outputs if i else inputs, outputs, 3, padding=1, bias=False)
        made.append(nn.Sequential(convolution, layer, nn.ReLU(inplace=True)))
    return made
