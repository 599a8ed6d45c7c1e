"""The heads of a detector that PyTorch runs: from crops of features in arrays to logits in arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

_AT_ONCE = 256  # crops of a forward pass


class CropHeads:
    """Two heads on the network's device, in its precision.

    Args:
        boxes: from crops (n, C, s, s) to logits and differences.
        masks: from crops to logits of masks.
    """

    def __init__(self, boxes: nn.Module, masks: nn.Module) -> None:
        self._boxes, self._masks = boxes.eval(), masks.eval()

    def boxes(self, crops: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the logits (n, K) and differences (n, 4 K) of crops (n, C, s, s)."""
        logits, deltas = zip(*(_run(self._boxes, part) for part in _parts(crops)), strict=True)
        return np.concatenate(logits), np.concatenate(deltas)

    def masks(self, crops: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the logits of masks (n, K, m, m) of crops (n, C, s, s)."""
        return np.concatenate([_run(self._masks, part)[0] for part in _parts(crops)])


def _parts(crops: NDArray[Any]) -> list[NDArray[Any]]:
    return [crops[start : start + _AT_ONCE] for start in range(0, max(1, len(crops)), _AT_ONCE)]


def _run(head: nn.Module, crops: NDArray[Any]) -> list[NDArray[np.float32]]:
    """Return the results of a head as float32."""
    like = next(head.parameters())
    with torch.inference_mode():
        made = head(torch.from_numpy(crops).to(like))
    results: tuple[Tensor, ...] = made if isinstance(made, tuple) else (made,)
    return [part.float().cpu().numpy() for part in results]
