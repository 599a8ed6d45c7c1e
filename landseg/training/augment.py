"""Random changes to a crop that the labels survive."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from landseg.training.scenes import Crop


def augment(crop: Crop, rng: np.random.Generator) -> Crop:
    """Return the crop turned or mirrored, with other light, contrast, colour balance, haze and noise.

    Geometry is one of the eight symmetries of the square, applied to pixels, validity and target alike: it moves
    whole pixels only. The light changes are in units of the crop's own brightness and hold for any number of bands.
    """
    turns, mirrored = int(rng.integers(4)), bool(rng.integers(2))

    def turn(x: Tensor) -> Tensor:
        x = torch.rot90(x, turns, dims=(-2, -1))
        return x.flip(-1) if mirrored else x

    return Crop(_light(turn(crop.pixels), rng), turn(crop.valid), turn(crop.target))


def _light(pixels: Tensor, rng: np.random.Generator) -> Tensor:
    bands = pixels.shape[0]
    mean = pixels.mean(dim=(-2, -1), keepdim=True)
    gain = torch.from_numpy(rng.normal(1.0, 0.05, size=(bands, 1, 1)).astype(np.float32))
    contrast, brightness = float(rng.uniform(0.7, 1.4)), float(rng.uniform(0.6, 1.3))
    pixels = ((pixels - mean) * contrast + mean * brightness) * gain
    if bands > 1 and rng.random() < 0.8:  # saturation: towards or away from the bands' mean
        grey = pixels.mean(dim=0, keepdim=True)
        pixels = grey + (pixels - grey) * float(rng.uniform(0.5, 1.5))
    if rng.random() < 0.15:  # haze lifts the dark parts most
        depth = float(rng.uniform(0.05, 0.35))
        pixels = pixels * (1 - depth) + depth * pixels.amax(dim=(-2, -1), keepdim=True)
    if rng.random() < 0.2:
        spread = float(pixels.std()) * float(rng.uniform(0.02, 0.12))
        pixels = pixels + torch.from_numpy(rng.standard_normal(pixels.shape, dtype=np.float32)) * spread
    return pixels
