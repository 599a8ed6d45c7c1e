"""Random changes to a crop that the labels survive."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as kernels

from landseg.errors import TrainingError
from landseg.training.crops import Crop


@dataclass(frozen=True)
class AugmentOptions:
    """The changes that a crop may get, and their strength.

    Attributes:
        flips: mirror, half of the time.
        turns: turn by right angles.
        color: strength of the changes to contrast, brightness and saturation; 0 leaves them out.
        gain: spread of the factor that each band is multiplied with.
        haze: share of crops that are veiled.
        noise: share of crops that get noise.
    """

    flips: bool = True
    turns: bool = True
    color: float = 1.0
    gain: float = 0.05
    haze: float = 0.15
    noise: float = 0.2

    def __post_init__(self) -> None:
        for name in ("haze", "noise"):
            if not 0 <= getattr(self, name) <= 1:
                raise TrainingError(f"{name} is a share of crops, 0 to 1, got {getattr(self, name)}")
        if not 0 <= self.color <= 2:
            raise TrainingError(f"color is a strength from 0 (none) over 1 (usual) to 2, got {self.color}")
        if not 0 <= self.gain < 0.5:
            raise TrainingError(f"gain is a spread from 0 to 0.5, got {self.gain}")


NONE = AugmentOptions(flips=False, turns=False, color=0.0, gain=0.0, haze=0.0, noise=0.0)
"""Crops as they are."""


def augment(crop: Crop, rng: np.random.Generator, options: AugmentOptions | None = None) -> Crop:
    """Return the crop turned or mirrored, with other light, contrast, colour balance, haze and noise, as float32.

    Geometry is one of the eight symmetries of the square, by torchvision's kernels, applied to pixels, validity and
    every label map alike: it moves whole pixels only. The light changes are in units of the crop's own
    brightness, hold for any number of bands and are computed from valid pixels alone; what invalid pixels hold
    afterwards means nothing.
    """
    options = options or AugmentOptions()
    angle = 90 * int(rng.integers(4)) * options.turns
    mirrored = bool(rng.integers(2)) and options.flips
    crop = _turned(crop, angle, mirrored)
    pixels = crop.pixels.to(torch.float32, memory_format=torch.contiguous_format)  # turned ones are views
    return replace(crop, pixels=_light(pixels, crop.valid, rng, options))


def _turned(crop: Crop, angle: int, mirrored: bool) -> Crop:
    pixels = crop.pixels
    masks = [part[None] for part in (crop.valid, *crop.labels.values())]
    if angle:
        pixels = kernels.rotate_image(pixels, angle)
        masks = [kernels.rotate_mask(part, angle) for part in masks]
    if mirrored:
        pixels = kernels.horizontal_flip_image(pixels)
        masks = [kernels.horizontal_flip_mask(part) for part in masks]
    valid, *labels = (part[0] for part in masks)
    return Crop(pixels, valid, dict(zip(crop.labels, labels, strict=True)), crop.name)


def _light(pixels: Tensor, valid: Tensor, rng: np.random.Generator, options: AugmentOptions) -> Tensor:
    """Return the pixels under other light: all changes of colour are one affine map of the bands, (C, C) and (C,).

    torchvision's own kernels for colour take one band or three.
    """
    bands = pixels.shape[0]
    mean, brightest = _statistics(pixels, valid)
    matrix, offset = torch.eye(bands), torch.zeros(bands)
    if options.color:
        contrast, brightness = _around(rng, 0.7, 1.4, options.color), _around(rng, 0.6, 1.3, options.color)
        matrix, offset = matrix * contrast, mean * (brightness - contrast)
    if options.gain:
        gain = torch.from_numpy(rng.normal(1.0, options.gain, size=bands).astype(np.float32))
        matrix, offset = gain[:, None] * matrix, gain * offset
    if options.color and bands > 1 and rng.random() < 0.8:  # saturation: towards or away from the bands' mean
        share = _around(rng, 0.5, 1.5, options.color)
        mix = share * torch.eye(bands) + (1 - share) / bands
        matrix, offset = mix @ matrix, mix @ offset
    if rng.random() < options.haze:  # it lifts the dark parts most
        depth = float(rng.uniform(0.05, 0.35))
        veil = matrix @ brightest + offset
        matrix, offset = (1 - depth) * matrix, (1 - depth) * offset + depth * veil
    changed = torch.addmm(offset[:, None], matrix, pixels.flatten(1)).view_as(pixels)
    if rng.random() < options.noise:
        spread = _spread(changed, valid) * float(rng.uniform(0.02, 0.12))
        changed += torch.from_numpy(rng.standard_normal(changed.shape, dtype=np.float32)) * spread
    return changed


def _around(rng: np.random.Generator, low: float, high: float, strength: float) -> float:
    """Return a factor between ``low`` and ``high`` at strength 1, nearer to 1 or farther from it at others."""
    return max(0.0, 1 + (float(rng.uniform(low, high)) - 1) * strength)


def _statistics(pixels: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean and the maximum (C,) of each band over valid pixels; 0 without any."""
    flat, weight = pixels.flatten(1), valid.flatten()
    if bool(weight.all()):
        return flat.mean(1), flat.amax(1)
    if not bool(weight.any()):
        return torch.zeros(len(flat)), torch.zeros(len(flat))
    shown = flat[:, weight]
    return shown.mean(1), shown.amax(1)


def _spread(pixels: Tensor, valid: Tensor) -> float:
    """Return the standard deviation over valid pixels of all bands; 0 for fewer than two values."""
    shown = pixels if bool(valid.all()) else pixels[:, valid]
    return float(shown.std()) if shown.numel() > 1 else 0.0
