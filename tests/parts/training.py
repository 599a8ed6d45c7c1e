"""A small network, batches and a loss to train it with; run as a program, one training in a process of its own."""

from __future__ import annotations

import csv
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from landseg.classes import IGNORE_INDEX
from landseg.training.batches import Scaling
from landseg.training.fit_options import FitOptions
from landseg.training.loop.fit import fit
from landseg.training.loop.run import Feedback, Lesson

QUICK = FitOptions(steps=12, learning_rate=1e-2, ema=0.9, workers=0, precision="fp32", warmup=0.25)
SCALING = Scaling((20.0, 30.0, 50.0), (12.0, 17.0, 20.0))


class Tiny(nn.Module):
    """An encoder and a head, with batch norm and dropout where asked for."""

    def __init__(self, *, dropout: float = 0.0, norm: bool = True) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8) if norm else nn.Identity(), nn.ReLU()
        )
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Conv2d(8, 2, 1))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.head(self.encoder(x))
        return y


@dataclass(frozen=True)
class Batch:
    pixels: Tensor
    valid: Tensor
    targets: Mapping[str, Tensor]
    names: tuple[str, ...]


class Batches:
    """Noise that is brighter where the target is 1; each batch a function of its number.

    Args:
        size: crops a batch.
        count: batches.
        spoil: changes a batch as it is drawn, or raises.
    """

    def __init__(self, size: int = 4, count: int = 100, spoil: Callable[[int, Batch], Batch] | None = None) -> None:
        self.size, self.count, self.spoil = size, count, spoil

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, number: int) -> Batch:
        rng = np.random.default_rng((7, number))
        target = np.zeros((self.size, 16, 16), np.uint8)
        for crop in target:
            crop[:, int(rng.integers(4, 12)) :] = 1
        noise = rng.normal(30, 8, (self.size, 3, 16, 16)).astype(np.float32)
        pixels = torch.from_numpy(noise + 25 * target[:, None].astype(np.float32))
        names = tuple(f"scene-{number}-{index} at row 0, column {16 * index}" for index in range(self.size))
        made = Batch(pixels, torch.ones(target.shape, dtype=torch.bool), {"class": torch.from_numpy(target)}, names)
        return made if self.spoil is None else self.spoil(number, made)


def loss(logits: Tensor, batch: Any) -> Tensor:
    return F.cross_entropy(logits.float(), batch.targets["class"].long(), ignore_index=IGNORE_INDEX)


def train(
    folder: Path, *, batches: Batches | None = None, network: nn.Module | None = None, **keywords: Any
) -> nn.Module:
    """One quiet run of the small network from the same weights; keywords are options, or of `fit` and its nouns."""
    shown = {name: keywords.pop(name) for name in ("validate", "samples", "quiet") if name in keywords}
    resume, at = keywords.pop("resume", False), keywords.pop("at", "pixels")
    options = replace(QUICK, **keywords)
    torch.manual_seed(0)
    network = network or Tiny(dropout=0.3)
    lesson = Lesson(batches or Batches(), loss, SCALING, at)
    feedback = Feedback(**{"quiet": True, **shown})
    return fit(network, lesson, options=options, folder=folder, feedback=feedback, resume=resume)


def same(one: nn.Module, other: nn.Module) -> bool:
    """Whether all weights and buffers are equal to the bit."""
    first, second = one.state_dict(), other.state_dict()
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def rows(path: Path) -> list[dict[str, float]]:
    return [
        {name: float(value) for name, value in row.items()} for row in csv.DictReader(path.read_text().splitlines())
    ]


class Judge:
    """Validates by a list of figures, and remembers the weights that it saw."""

    def __init__(self, *figures: float) -> None:
        self.figures, self.seen = list(figures), []  # type: ignore[var-annotated]

    def __call__(self, network: nn.Module) -> dict[str, float]:
        assert not network.training and not torch.is_grad_enabled()
        self.seen.append({name: value.clone() for name, value in network.state_dict().items()})
        return {"mean_iou": self.figures[len(self.seen) - 1], "pixel_accuracy": 0.5}


def main() -> None:
    """FOLDER [KILL_STEP]: train, resuming what is there; die by SIGKILL while batch KILL_STEP is being made."""
    folder = Path(sys.argv[1])
    kill = int(sys.argv[2]) if len(sys.argv) > 2 else -1

    def die(number: int, batch: Batch) -> Batch:
        if number == kill:
            os.kill(os.getppid() if os.environ.get("WORKERS") == "1" else os.getpid(), 9)
        return batch

    workers = int(os.environ.get("WORKERS", "0"))
    dropout = float(os.environ.get("DROPOUT", "0.3"))
    torch.manual_seed(0)
    made = train(
        folder, batches=Batches(spoil=die), network=Tiny(dropout=dropout, norm=dropout > 0), workers=workers,
        resume=True, checkpoint_minutes=1e-9,
    )  # fmt: skip
    torch.save(made.state_dict(), folder / f"made-{os.environ.get('RANK', '0')}.pt")


if __name__ == "__main__":
    main()
