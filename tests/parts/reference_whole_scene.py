"""Predictions on whole scenes for measuring a model that is being trained."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from landseg.scenes.scene import Scene
from landseg.training.batches import Scaling


def predict_scene(network: nn.Module, scene: Scene, scaling: Scaling) -> NDArray[np.uint8]:
    """Return class indices (H, W) of a scene from one forward pass over the whole of it, in float32.

    This is what exact tiling reproduces, so it is what users get from ``predict``.
    """
    network.eval()
    pixels, valid, _ = scene.read(scene.rect)
    with torch.inference_mode():
        inputs = scaling.apply(torch.from_numpy(pixels.astype(np.float32))[None], torch.from_numpy(valid)[None])
        logits = network(inputs.contiguous(memory_format=torch.channels_last))
    classes: NDArray[np.uint8] = logits[0].argmax(dim=0).to(torch.uint8).numpy()
    return classes
