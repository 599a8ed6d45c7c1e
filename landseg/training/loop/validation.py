"""A glimpse of how a network does while it learns: a few windows of the scenes that are kept out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from landseg.classes import IGNORE_INDEX
from landseg.geo.grid import Rect, scaled_size
from landseg.metrics.confusion import Confusion
from landseg.runtime.device import choose_precision
from landseg.scenes.scene import Scene
from landseg.training.batches import Scaling
from landseg.training.crops import Crop, read_crop
from landseg.training.sampler import base_zoom

EDGE = 768  # of a window, in pixels
MOST = 8  # windows: some 5 million pixels


class QuickValidation:
    """Figures of a network on up to `MOST` windows in the middle of kept-out scenes, at the training resolution.

    They show where a run is going and choose the best weights, at the price of a few seconds; `training.holdout`
    measures the finished model on whole scenes, predicted as users predict them.

    Args:
        scenes: kept out.
        names: of the classes.
        scaling: of the network.
        resolution_m: that scenes which know theirs are brought to; None: their own.
    """

    def __init__(
        self, scenes: Sequence[Scene], names: Sequence[str], scaling: Scaling, *, resolution_m: float | None = None
    ) -> None:
        self._names, self._windows = tuple(names), []
        for scene in _spread(scenes):
            crop = _middle(scene, 1 / base_zoom(scene, resolution_m))
            truth = np.where(crop.target < len(names), crop.target, np.uint8(IGNORE_INDEX))
            if (truth != IGNORE_INDEX).any():
                self._windows.append((scaling.apply(crop.pixels[None].float(), crop.valid[None]), truth))

    def __bool__(self) -> bool:
        """Whether there is anything to look at."""
        return bool(self._windows)

    def __call__(self, network: nn.Module) -> dict[str, float]:
        """Mean IoU, pixel accuracy and each class's IoU of a network in eval mode."""
        confusion = Confusion(len(self._names))
        device = next(network.parameters()).device
        for inputs, truth in self._windows:
            with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=_fast(device)):
                logits: Tensor = network(inputs.to(device).contiguous(memory_format=torch.channels_last))
            confusion.update(truth, logits[0].argmax(0).to(torch.uint8).cpu().numpy())
        iou = dict(zip(self._names, confusion.iou().tolist(), strict=True))
        figures = {"mean_iou": confusion.mean_iou(), "pixel_accuracy": confusion.pixel_accuracy()}
        return figures | {f"iou_{name}": value for name, value in iou.items()}


def _spread(scenes: Sequence[Scene]) -> list[Scene]:
    """At most `MOST` of the scenes, evenly taken."""
    step = max(1, -(-len(scenes) // MOST))
    return list(scenes[::step])


def _middle(scene: Scene, factor: float) -> Crop:
    sizes = [scaled_size(length, factor) for length in scene.shape]
    height, width = (min(length, EDGE) for length in sizes)
    return read_crop(scene, Rect((sizes[0] - height) // 2, (sizes[1] - width) // 2, height, width), factor=factor)


def _fast(device: torch.device) -> bool:
    """Whether the device computes in bfloat16 itself."""
    return choose_precision("auto", device) == "bf16"
