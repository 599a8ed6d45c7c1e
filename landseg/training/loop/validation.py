"""Quick figures of a network while it learns: a few windows of the scenes that are kept out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from landseg.dense.label_maps import UNKNOWN
from landseg.dense.task import Task
from landseg.geo.grid import Rect, scaled_size
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
        task: of the network.
        scaling: of the network.
        resolution_m: that scenes which know theirs are brought to; None: their own.
    """

    def __init__(
        self, scenes: Sequence[Scene], task: Task, scaling: Scaling, *, resolution_m: float | None = None
    ) -> None:
        self._task = task
        self._windows: list[tuple[Tensor, NDArray[np.bool_], dict[str, NDArray[Any]]]] = []
        for _, crop in windows(scenes, resolution_m):
            labels = label_arrays(crop)
            if _measurable(labels, len(task.classes)):
                inputs = scaling.apply(crop.pixels[None].float(), crop.valid[None])
                self._windows.append((inputs, crop.valid.numpy(), labels))

    def __bool__(self) -> bool:
        """Return whether there is a window with labels."""
        return bool(self._windows)

    def __call__(self, network: nn.Module) -> dict[str, float]:
        """Return the task's figures of a network in eval mode, the headline first."""
        measure, task = self._task.measure(), self._task.of_network(network)
        for number, (inputs, valid, labels) in enumerate(self._windows):
            layers = task.result(output_of(network, inputs), valid)
            measure.update(layers, valid, labels, raster=number)
        figures = measure.figures()
        return {self._task.headline: figures[self._task.headline], **figures}


def windows(scenes: Sequence[Scene], resolution_m: float | None) -> Iterator[tuple[Scene, Crop]]:
    """Yield up to `MOST` of the scenes, evenly taken, each with the window in its middle, `EDGE` pixels at most.

    Args:
        scenes: any number.
        resolution_m: that scenes which know theirs are brought to; None: their own.
    """
    for scene in _spread(scenes):
        yield scene, _middle(scene, 1 / base_zoom(scene, resolution_m))


def label_arrays(crop: Crop) -> dict[str, NDArray[Any]]:
    """Return the label maps (h, w) of a crop by name."""
    return {name: labels.numpy() for name, labels in crop.labels.items()}


def output_of(network: nn.Module, inputs: Tensor) -> NDArray[np.float32]:
    """Return the output (C, h, w) of a network in eval mode for scaled pixels (1, B, h, w), on its own device."""
    device = next(network.parameters()).device
    with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=_fast(device)):
        output: Tensor = network(inputs.to(device).contiguous(memory_format=torch.channels_last))
    made: NDArray[np.float32] = output[0].float().cpu().numpy()
    return made


def _measurable(labels: Mapping[str, NDArray[Any]], classes: int) -> bool:
    """Return whether a window has labels to measure on: coarse labels, and those of several classes, are none."""
    further = (part != UNKNOWN[name] for name, part in labels.items() if name not in ("class", "coarse"))
    return bool((labels["class"] < classes).any()) or any(part.any() for part in further)


def _spread(scenes: Sequence[Scene]) -> list[Scene]:
    """Return at most `MOST` of the scenes, evenly taken."""
    step = max(1, -(-len(scenes) // MOST))
    return list(scenes[::step])


def _middle(scene: Scene, factor: float) -> Crop:
    sizes = [scaled_size(length, factor) for length in scene.shape]
    height, width = (min(length, EDGE) for length in sizes)
    return read_crop(scene, Rect((sizes[0] - height) // 2, (sizes[1] - width) // 2, height, width), factor=factor)


def _fast(device: torch.device) -> bool:
    """Return whether the device computes in bfloat16 itself."""
    return choose_precision("auto", device) == "bf16"
