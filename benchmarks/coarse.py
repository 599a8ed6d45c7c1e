"""Do coarse labels help? A third of the patches with fine labels, alone and with NLCD on those that have none.

    python benchmarks/coarse.py --data DIR --out DIR [--steps N] [--seeds N] [--arms ...] [--write PAGE]

DIR holds `landcover_chesapeake/`: 12 patches of 256 x 256 pixels at 1 m in West Virginia, with fine labels
(`_lc.png`) and NLCD's 30 m classes on the same pixels (`_nlcd.png`). Sorted by their share of low vegetation the
patches are dealt out into three thirds. Each ordered pair of thirds is one trial: the fine labels of the first are
known, the second is kept out and measured on, of the remaining one the imagery is known and, depending on the arm,
its labels:

- `third`: none; the network learns from the first third alone;
- `coarse`: NLCD on both, by the super-resolution loss, the joint statistics being estimated from the first third;
- `published`: the same with the statistics that Robinson et al. published, not tuned (which raises impervious);
- `both`: the fine labels of both thirds: what the coarse ones would have to replace.

A step takes four crops of the first third in every arm, and four of the remaining one in all but `third`: what is
learnt from fine labels is the same, and the rest comes on top. A run that has left its figures in the output folder
is not repeated. Crops, augmentation, loss and loop are those of `landseg train`.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.pages import write_table
from landseg.classes import IGNORE_INDEX, ClassMap, LandClass
from landseg.dense.losses import LabelSets
from landseg.dense.objective import LossOptions
from landseg.dense.semantic import Semantic
from landseg.geo.rasters.source import FileSource
from landseg.metrics.confusion import Confusion
from landseg.models.networks.build import build_network
from landseg.scenes.scene import ArrayScene
from landseg.training.batches import Batch, Batches, Scaling
from landseg.training.coarse.loss import SHARE
from landseg.training.coarse.sources import count_statistics
from landseg.training.coarse.statistics import JointStatistics, read_statistics
from landseg.training.fit_options import FitOptions
from landseg.training.loop.fit import fit
from landseg.training.loop.run import Lesson
from landseg.training.objective import objective
from landseg.training.sampler import CropSampler, SamplingOptions

ARMS = ("third", "coarse", "published", "both")
NAMES = ("tree canopy", "low vegetation", "impervious")
CLASSES = ClassMap(tuple(LandClass(n, name, (128, 128, 128)) for n, name in enumerate(NAMES, 1)))
FINE = {2: 0, 3: 1, 4: 1, 5: 2, 6: 2}  # barren has no pixel here, nor has water
PUBLISHED = {"forest": "tree canopy", "field": "low vegetation", "impervious": "impervious"}
NLCD_SIDE = 30
CROP, BATCH, RATE = 112, 4, 1e-3
BEGIN = "<!-- table: python benchmarks/coarse.py -->"


@dataclass(frozen=True)
class Patch:
    """Imagery (4, H, W), fine targets (H, W) and NLCD's values (H, W)."""

    name: str
    pixels: NDArray[np.float32]
    target: NDArray[np.uint8]
    nlcd: NDArray[np.uint8]

    def scene(self, coarse: ClassMap | None, *, fine: bool) -> ArrayScene:
        """The patch to be learned from, with either kind of labels, both or none."""
        target = self.target if fine else np.full_like(self.target, IGNORE_INDEX)
        blocks = None if coarse is None else coarse.to_indices(np.where(self.nlcd == 0, np.nan, self.nlcd))  # 0: none
        valid = np.ones(target.shape, np.bool_)
        return ArrayScene(self.name, self.pixels, valid, target, coarse=blocks, side=NLCD_SIDE)


def read_patches(folder: Path) -> list[list[Patch]]:
    """The three thirds."""
    table = np.full(256, IGNORE_INDEX, np.uint8)
    table[list(FINE)] = list(FINE.values())
    patches = []
    for path in sorted(folder.glob("*_naip.tif")):
        stem = path.name.removesuffix("_naip.tif")
        with FileSource(path, [1, 2, 3, 4]) as source:  # the fourth, near infrared, is no alpha band
            pixels = source.read(source.grid.rect)[0].astype(np.float32)
        labels, nlcd = (np.asarray(Image.open(folder / f"{stem}_{kind}.png")) for kind in ("lc", "nlcd"))
        patches.append(Patch(stem, pixels, table[labels], nlcd))
    patches.sort(key=lambda patch: -float((patch.target == 1).mean()))
    return [patches[start::3] for start in range(3)]


def statistics_of(arm: str, known: list[Patch], values: list[int]) -> JointStatistics:
    """The joint statistics that an arm works with."""
    if arm == "published":
        read = read_statistics(Path(__file__).with_name("nlcd_chesapeake.csv"))
        keep = [read.classes.index(name) for name in PUBLISHED]
        mean = read.mean[:, keep] / np.maximum(read.mean[:, keep].sum(1, keepdims=True), 1e-9)
        weights = np.where(read.mean[:, keep].sum(1) > 0.5, read.weights, 0)  # water is no class here
        mean[weights == 0] = 0
        return JointStatistics(read.coarse, NAMES, mean, read.spread[:, keep], weights, read.note)
    classes = ClassMap(tuple(LandClass(value, f"NLCD {value}", (128, 128, 128)) for value in values))
    return count_statistics([patch.scene(classes, fine=True) for patch in known], classes, NAMES)


class Groups:
    """As many crops of each group of scenes in every batch."""

    def __init__(self, groups: list[list[ArrayScene]], seed: int) -> None:
        sampling = SamplingOptions(crop=CROP, batch=BATCH, balanced=0)
        self._parts = [Batches(CropSampler(group, sampling, seed=seed + n)) for n, group in enumerate(groups)]

    def __len__(self) -> int:
        return len(self._parts[0])

    def __getitem__(self, number: int) -> Batch:
        parts = [part[number] for part in self._parts]
        pixels, valid = (torch.cat([getattr(p, k) for p in parts]) for k in ("pixels", "valid"))
        unknown = torch.full_like(parts[0].targets["class"], IGNORE_INDEX)
        targets = {
            name: torch.cat([part.targets.get(name, unknown) for part in parts]) for name in ("class", "coarse")
        }
        return Batch(pixels, valid, targets, tuple(name for part in parts for name in part.names))


def run(arm: str, trial: tuple[int, int], seed: int, thirds: list[list[Patch]], options: argparse.Namespace) -> None:
    """Train one arm of one trial with one seed, and leave its figures."""
    path = options.out / f"{arm}-{trial[0]}{trial[1]}-{seed}.json"
    if path.exists():
        return
    known, kept = thirds[trial[0]], thirds[trial[1]]
    rest = thirds[3 - sum(trial)]
    torch.manual_seed(seed)
    network = build_network(
        "deeplab-v3plus", encoder="efficientnet-lite0", bands=4, channels=len(NAMES), encoder_weights="imagenet",
        decoder_channels=64,
    )  # fmt: skip
    everything = np.concatenate([p.pixels.reshape(len(p.pixels), -1) for p in known + rest], axis=1)
    scaling = Scaling(tuple(everything.mean(1).tolist()), tuple(everything.std(1).tolist()))
    values = sorted({int(v) for third in thirds for p in third for v in np.unique(p.nlcd)})
    statistics = statistics_of(arm, known, values) if arm in ("coarse", "published") else None
    coarse = None if statistics is None else statistics.coarse
    groups = [[p.scene(coarse, fine=True) for p in known]]
    if arm != "third":
        groups.append([p.scene(coarse, fine=arm == "both") for p in rest])
    fitting = FitOptions(
        steps=options.steps, learning_rate=RATE, warmup=0.05, ema=0.9, precision="bf16", workers=0, seed=seed
    )  # fmt: skip
    learned = None if statistics is None else (statistics, options.share)
    loss = objective(Semantic(CLASSES, {}), LossOptions(), LabelSets.of(len(NAMES)), (), learned)
    begin = time.monotonic()
    lesson = Lesson(Groups(groups, seed), loss, scaling)
    trained = fit(network, lesson, options=fitting, folder=options.out / f"{path.stem}.run").eval()
    confusion = Confusion(len(NAMES))
    for patch in kept:
        pixels = torch.from_numpy(patch.pixels)[None]
        with torch.inference_mode():
            logits = trained(scaling.apply(pixels, torch.ones(pixels[:, 0].shape, dtype=torch.bool)))
        confusion.update(patch.target, logits[0].argmax(0).numpy().astype(np.uint8))
    figures = {
        "arm": arm, "trial": trial, "seed": seed, "steps": options.steps, "seconds": time.monotonic() - begin,
        "counts": confusion.counts.tolist(),
    }  # fmt: skip
    path.write_text(json.dumps(figures))
    print(f"{path.stem}: mIoU {confusion.mean_iou():.3f}, accuracy {confusion.pixel_accuracy():.3f}", flush=True)


def figures_of(counts: NDArray[np.int64]) -> dict[str, float]:
    """What the table shows of a confusion matrix."""
    iou = np.diag(counts) / (counts.sum(0) + counts.sum(1) - np.diag(counts))
    return {
        "pixel accuracy": float(np.trace(counts) / counts.sum()),
        **{f"IoU {name}": float(value) for name, value in zip(NAMES, iou, strict=True)},
        "mean IoU of canopy and low vegetation": float(iou[:2].mean()),
        "mean IoU of all three": float(iou.mean()),
    }


def table(found: list[dict[str, Any]]) -> list[str]:
    """Figures over all kept-out pixels of a seed's six trials; mean and deviation over seeds, and paired wins."""
    arms = [arm for arm in ARMS if any(f["arm"] == arm for f in found)]
    seeds = sorted(set.intersection(*({f["seed"] for f in found if f["arm"] == arm} for arm in arms)))
    found = [f for f in found if f["seed"] in seeds]

    def of(arm: str, **which: Any) -> dict[str, float]:
        rows = [f for f in found if f["arm"] == arm and all(f[k] == v for k, v in which.items())]
        return figures_of(np.sum([f["counts"] for f in rows], axis=0))

    head = f"{len(seeds)} seed{'s' * (len(seeds) > 1)} of 6 trials"
    lines = [f"| {head} | " + " | ".join(arms) + " |", "|---" * (len(arms) + 1) + "|"]
    for name in of(arms[0], seed=seeds[0]):
        cells = []
        for arm in arms:
            each = [of(arm, seed=seed)[name] for seed in seeds]
            cells.append(f"{np.mean(each):.3f}" + (f" ± {np.std(each, ddof=1):.3f}" if len(each) > 1 else ""))
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    runs = [(f["trial"], f["seed"]) for f in found if f["arm"] == "third"]
    for name in ("pixel accuracy", "mean IoU of canopy and low vegetation"):
        cells = ["" if arm == "third" else _wins(arm, name, runs, of) for arm in arms]
        lines.append(f"| runs with a higher {name} than `third` | " + " | ".join(cells) + " |")
    return lines


def _wins(arm: str, name: str, runs: list[Any], of: Any) -> str:
    better = sum(of(arm, trial=t, seed=s)[name] > of("third", trial=t, seed=s)[name] for t, s in runs)
    return f"{better} of {len(runs)}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=ARMS)
    parser.add_argument("--share", type=float, default=SHARE)
    parser.add_argument("--write", type=Path, help="the page whose table is replaced")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    thirds = read_patches(options.data / "landcover_chesapeake")
    for seed, trial, arm in itertools.product(
        range(options.seeds), itertools.permutations(range(3), 2), options.arms
    ):
        run(arm, trial, seed, thirds, options)
    found = [json.loads(path.read_text()) for path in sorted(options.out.glob("*.json"))]
    lines = table([f for f in found if f["steps"] == options.steps])
    print("\n".join(lines))
    if options.write is not None:
        write_table(options.write, BEGIN, lines)


if __name__ == "__main__":
    main()
