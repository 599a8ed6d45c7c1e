"""Every architecture learns four real crops by heart, from random weights: what is built can be trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from landseg.classes import IGNORE_INDEX
from landseg.models.networks.build import ARCHITECTURES, architecture, build_network

SIDE, ENOUGH = 96, 0.95
# Scene, top row and left column: two or three classes each, in pieces that scores 32 px apart can still outline
# (the best such scores get 0.974 of the labels right; the commonest class of each crop, 0.79).
CROPS = (
    ("train/tile1_part9", 16, 224),
    ("train/tile2_part5", 400, 288),
    ("train/tile3_part3", 320, 144),
    ("val/tile8_part4", 768, 1968),
)
NARROW = {"head_channels": 64, "decoder_channels": 32, "pyramid_channels": 32}
STEPS = 80
RATES = {"efficientnet-lite0": 2e-3, "vgg16": 5e-4}  # without batch norm VGG takes smaller steps

Examples = tuple[Tensor, Tensor]
"""Pixels (N, 3, H, W) as the network sees them, and class indices (N, H, W)."""


@pytest.fixture(scope="module")
def crops() -> Examples:
    folder = Path(__file__).resolve().parents[3] / "sample_tiles" / "landcover"
    pixels, targets = [], []
    for name, top, left in CROPS:
        place = slice(top, top + SIDE), slice(left, left + SIDE)
        pixels.append(np.asarray(Image.open(folder / f"{name}.jpg"))[place].transpose(2, 0, 1).astype(np.float32))
        labels = np.asarray(Image.open(folder / f"{name}_labels.png"))[place].astype(np.int64)
        targets.append(np.where(labels == 0, IGNORE_INDEX, labels - 1))
    return (torch.from_numpy(np.stack(pixels)) - 127) / 128, torch.from_numpy(np.stack(targets))


def train(arch: str, examples: Examples) -> nn.Module:
    """The architecture on the smallest encoder that it goes with, after STEPS steps on all examples; in eval mode."""
    encoder = (ARCHITECTURES[arch].encoders or ("efficientnet-lite0",))[0]
    known = architecture(arch, encoder).options
    narrow: dict[str, Any] = {key: value for key, value in NARROW.items() if key in known}
    if arch == "unet":
        narrow["decoder_channels"] = (64, 32, 32, 16, 16)
    pixels, target = examples
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = build_network(arch, encoder=encoder, bands=3, channels=5, **narrow).train()
        optimizer = torch.optim.AdamW(network.parameters(), weight_decay=0.0)
        for step in range(STEPS):
            for group in optimizer.param_groups:
                group["lr"] = RATES[encoder] * min(1, (step + 1) / 5) * (1 - step / STEPS) ** 0.9
            optimizer.zero_grad(set_to_none=True)
            F.cross_entropy(network(pixels), target, ignore_index=IGNORE_INDEX).backward()
            nn.utils.clip_grad_norm_(network.parameters(), 5.0)
            optimizer.step()
    return network.eval()


def accuracy(network: nn.Module, pixels: Tensor, target: Tensor) -> float:
    """The share of the labelled pixels whose class is right."""
    with torch.inference_mode():
        labels = network(pixels).argmax(1)
    return float((labels == target)[target != IGNORE_INDEX].float().mean())


def test_the_crops_are_worth_learning(crops: Examples) -> None:
    _, target = crops
    counts = torch.stack([torch.bincount(t[t != IGNORE_INDEX], minlength=5) for t in target])
    assert ((counts > 0).sum(1) >= 2).all() and (counts.sum(0) > 0).sum() >= 4
    assert (counts.amax(1).sum() / counts.sum()) < 0.8  # naming each crop's commonest class is not enough
    assert (counts.sum(1) > 0.9 * SIDE**2).all()


@pytest.mark.slow
@pytest.mark.parametrize("arch", [arch for arch, entry in ARCHITECTURES.items() if not entry.fitted])
def test_every_network_overfits_four_crops(arch: str, crops: Examples) -> None:
    pixels, target = crops
    network = train(arch, crops)
    reached = accuracy(network, pixels, target)
    others = accuracy(network, pixels, target.roll(1, 0))
    print(f"{arch}: {reached:.3f} (against the labels of the next crop: {others:.3f})")
    assert reached > ENOUGH
    assert others < ENOUGH  # twin: these are not just any labels


@pytest.mark.slow
def test_twin_shuffled_labels_are_not_learned_in_as_many_steps(crops: Examples) -> None:
    pixels, target = crops
    order = torch.randperm(SIDE**2, generator=torch.Generator().manual_seed(1))
    shuffled = target.flatten(1)[:, order].view_as(target)
    reached = accuracy(train("deeplab-v3plus", (pixels, shuffled)), pixels, shuffled)
    print(f"deeplab-v3plus on shuffled labels: {reached:.3f}")
    assert reached < ENOUGH
