"""Does alignment matter? The default network trained with heads aligned and not, on the same data and seeds.

    python benchmarks/alignment.py --data DIR --out DIR [--steps N] [--arms ...] [--seeds ...] [--write PAGE]

DIR holds `landcover_dubai/`: the Dubai scenes of landcover_rgb.toml. Tiles 7 and 8 are kept out. Every arm has the
encoder, its ImageNet weights, crops, steps, loss and schedule in common; the heads are

- `aligned`: landseg's DeepLab v3+;
- `smp`: the decoder and head of segmentation_models_pytorch's DeepLabV3Plus, as they are;
- `corners` (on request): landseg's, its two upsamplers alone replaced by smp's (bilinear, align_corners=True).

A run that has left its figures in the output folder is not repeated.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.pages import write_table
from landseg.classes import IGNORE_INDEX
from landseg.dense.losses import LabelSets, partial_cross_entropy
from landseg.metrics.boundary import BoundaryIoU
from landseg.metrics.confusion import Confusion
from landseg.models.layers.upsample import AlignedUpsample
from landseg.models.networks.backbones import load_encoder_weights
from landseg.models.networks.build import build_network
from landseg.scenes.scene import Scene
from landseg.training.batches import Batch, Batches, Scaling
from landseg.training.loop.fit import fit
from landseg.training.loop.run import Lesson
from landseg.training.recipe import Recipe, read_recipe
from landseg.training.sampler import CropSampler
from landseg.training.sources import load_scenes

ARMS = ("aligned", "smp", "corners")
KEPT_OUT = ("tile7_", "tile8_")
WIDTHS = (1, 3)  # of the boundary's band, in pixels
WINDOW, CORE = 384, 256  # as large as a training crop, and what is kept of it
BEGIN = "<!-- table: python benchmarks/alignment.py -->"


class Corners(nn.Module):
    """What smp upsamples with, in place of AlignedUpsample."""

    def forward(self, x: Tensor, like: Tensor) -> Tensor:
        return F.interpolate(x, like.shape[-2:], mode="bilinear", align_corners=True)


class Padded(nn.Module):
    """A network that needs sizes in multiples of 32, for any: zeros are added at the bottom and the right."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network, self.encoder = network, network.get_submodule("encoder")

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        logits: Tensor = self.network(F.pad(x, (0, -width % 32, 0, -height % 32)))
        return logits[..., :height, :width]


def make(arm: str, recipe: Recipe) -> nn.Module:
    """The recipe's network with the arm's head."""
    import segmentation_models_pytorch as smp

    options = dict(recipe.options)
    classes = len(recipe.classes)
    network = build_network(recipe.arch, encoder=recipe.encoder, bands=3, channels=classes, **options)
    encoder = network.get_submodule("encoder")
    load_encoder_weights(encoder, recipe.encoder, "imagenet")
    if arm == "corners":
        for name, module in list(network.named_modules()):
            if isinstance(module, AlignedUpsample):
                network.set_submodule(name, Corners())
    if arm != "smp":
        return network
    theirs = smp.DeepLabV3Plus(
        "tu-efficientnet_lite0",
        encoder_weights=None,
        classes=classes,
        encoder_output_stride=options["output_stride"],
        decoder_channels=options["decoder_channels"],
        decoder_atrous_rates=tuple(options["rates"]),
        decoder_aspp_dropout=0.1,
    )
    theirs.encoder = encoder.get_submodule("body")
    return Padded(theirs)


def logits_of(network: nn.Module, inputs: Tensor, *, windows: bool) -> Tensor:
    """Logits (K, H, W) of a scene: in one pass, or from windows as large as a crop, of which the middle is kept."""
    if not windows:
        return network(inputs)[0]
    height, width = inputs.shape[-2:]
    halo = (WINDOW - CORE) // 2
    canvas: Tensor | None = None
    for core_top in range(0, height, CORE):
        for core_left in range(0, width, CORE):
            top, left = (max(0, min(c - halo, n - WINDOW)) for c, n in ((core_top, height), (core_left, width)))
            made = network(inputs[..., top : top + WINDOW, left : left + WINDOW])[0]
            if canvas is None:
                canvas = made.new_empty(made.shape[0], height, width)
            bottom, right = min(core_top + CORE, height), min(core_left + CORE, width)
            canvas[:, core_top:bottom, core_left:right] = made[
                :, core_top - top : bottom - top, core_left - left : right - left
            ]
    assert canvas is not None
    return canvas


def measure(network: nn.Module, scenes: list[Scene], scaling: Scaling, classes: int) -> dict[str, object]:
    """Figures over the kept-out scenes, predicted both ways."""
    found: dict[str, object] = {}
    for windows in (False, True):
        confusion = Confusion(classes)
        outlines = [BoundaryIoU(classes, width) for width in WIDTHS]
        for scene in scenes:
            pixels, valid, target = scene.read(scene.rect)
            inputs = scaling.apply(torch.from_numpy(pixels.astype(np.float32))[None], torch.from_numpy(valid)[None])
            with torch.inference_mode():
                logits = logits_of(network, inputs.contiguous(memory_format=torch.channels_last), windows=windows)
            predicted = logits.argmax(0).to(torch.uint8).numpy()
            truth: NDArray[np.uint8] = np.where(target < classes, target, np.uint8(IGNORE_INDEX))
            confusion.update(truth, predicted)
            for outline in outlines:
                outline.update(truth, predicted)
        found["windows" if windows else "whole"] = {
            "iou": confusion.iou().tolist(),
            "mean_iou": confusion.mean_iou(),
            "pixel_accuracy": confusion.pixel_accuracy(),
            **{f"boundary_{outline.distance}": outline.compute().tolist() for outline in outlines},
        }
    return found


def run(
    arm: str, seed: int, recipe: Recipe, scenes: list[Scene], sets: LabelSets, options: argparse.Namespace
) -> None:
    """Train one arm with one seed, and leave its figures."""
    path = options.out / f"{arm}-{seed}.json"
    if path.exists():
        return
    torch.manual_seed(seed)
    network = make(arm, recipe)
    scaling = recipe.scaling
    kept = [s for s in scenes if any(part in s.name for part in KEPT_OUT)]
    learned = [s for s in scenes if not any(part in s.name for part in KEPT_OUT)]
    print(f"{arm} seed {seed}: {len(learned)} scenes to learn from, {len(kept)} kept out", flush=True)
    fitting = replace(recipe.fit, steps=options.steps, seed=seed)
    folder = options.out / f"{arm}-{seed}.run"
    begin = time.monotonic()
    batches = Batches(CropSampler(learned, recipe.sampling, seed=seed, sets=sets))

    def loss(logits: Tensor, batch: Batch) -> Tensor:
        return partial_cross_entropy(logits, batch.targets["class"], sets)

    trained = fit(network, Lesson(batches, loss, scaling), options=fitting, folder=folder, resume=True)
    minutes = (time.monotonic() - begin) / 60
    figures = {"arm": arm, "seed": seed, "steps": options.steps, "minutes": minutes}
    figures["parameters"] = sum(p.numel() for p in network.parameters())
    path.write_text(json.dumps({**figures, **measure(trained, kept, scaling, len(recipe.classes))}, indent=1))


def spread(values: list[float]) -> str:
    """Mean and, where there are several seeds, their standard deviation."""
    text = f"{np.mean(values):.3f}"
    return text if len(values) < 2 else f"{text} ± {np.std(values, ddof=1):.3f}"


def table(found: list[dict[str, Any]], names: Sequence[str]) -> list[str]:
    """One row for each figure, one column for each arm; and the paired differences from `aligned`."""
    arms = [arm for arm in ARMS if any(f["arm"] == arm for f in found)]
    seeds = {arm: {f["seed"]: f for f in found if f["arm"] == arm} for arm in arms}
    head = [*(f"{arm} ({len(seeds[arm])} seeds)" for arm in arms), *(f"aligned − {arm}" for arm in arms[1:])]
    lines = ["| | " + " | ".join(head) + " |", "|---" * (len(head) + 1) + "|"]
    for way, title in (("whole", "whole scenes"), ("windows", f"windows of {WINDOW}")):
        for label, figure in figures(names):
            values = {arm: {seed: figure(f[way]) for seed, f in seeds[arm].items()} for arm in arms}
            cells = [spread(list(values[arm].values())) for arm in arms]
            for arm in arms[1:]:
                common = sorted(set(values[arm]) & set(values["aligned"]))
                cells.append(spread([values["aligned"][s] - values[arm][s] for s in common]))
            lines.append(f"| {title}: {label} | " + " | ".join(cells) + " |")
    return lines


def figures(names: Sequence[str]) -> Iterator[tuple[str, Callable[[dict[str, Any]], float]]]:
    """What is read off a run, by name."""
    yield "mean IoU", lambda way: way["mean_iou"]
    for index, name in enumerate(names):
        yield f"IoU {name}", lambda way, index=index: way["iou"][index]  # type: ignore[misc]
    yield "pixel accuracy", lambda way: way["pixel_accuracy"]
    for width in WIDTHS:
        yield f"boundary IoU, {width} px", lambda way, width=width: float(np.mean(way[f"boundary_{width}"]))  # type: ignore[misc]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=180, help="of 8 crops of 384 x 384; about 8 minutes on 2 cores")
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=ARMS[:2])
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--write", type=Path, help="the page whose table is replaced")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    recipe = read_recipe(Path(__file__).with_name("landcover_rgb.toml"))
    dubai = tuple(replace(s, zoom=(0.7, 1.4)) for s in recipe.sources if s.images.startswith("landcover_dubai"))
    recipe = replace(recipe, sources=dubai)
    missing = [(a, s) for s in options.seeds for a in options.arms if not (options.out / f"{a}-{s}.json").exists()]
    if missing:
        scenes, sets = load_scenes(recipe, options.data)
        for arm, seed in missing:
            run(arm, seed, recipe, scenes, sets, options)
    found = [json.loads((options.out / f"{a}-{s}.json").read_text()) for s in options.seeds for a in options.arms]
    lines = table(found, recipe.classes.names)
    print("\n".join(lines))
    if options.write is not None:
        write_table(options.write, BEGIN, lines)


if __name__ == "__main__":
    main()
