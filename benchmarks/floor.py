"""landseg's training beside the plain recipe with segmentation_models_pytorch, for the same time on the same scenes.

    python benchmarks/floor.py --data DIR --out DIR [--arms smp landseg] [--minutes 15] [--seeds 0 1 2] [--write PAGE]

DIR holds `landcover_dubai/`; tile 8 is kept out and measured whole. The arms have encoder and ImageNet weights in
common:

- `smp`: smp's DeepLabV3Plus as it is; crops of 384 anywhere in the scenes at their own pixels, mirrored at random;
  cross-entropy; AdamW with the poly schedule; bfloat16 and channels-last, as landseg trains on a CPU;
- `landseg`: `landseg train` with landcover_rgb.toml, of its sources Dubai alone, at 0.4 to 1.5 times its size and in
  gentler colours.

A run that has left its figures is not repeated. `--time` prints how many steps each arm makes in the time, on a quiet
machine; `--steps`, one number for each of the arms, makes those runs again on a busy one.
"""

from __future__ import annotations

import argparse
import csv
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.pages import write_table
from landseg.classes import IGNORE_INDEX
from landseg.metrics.confusion import Confusion
from landseg.models.networks.backbones import load_encoder_weights
from landseg.models.networks.build import build_network
from landseg.scenes.scene import Scene
from landseg.train import train as landseg_train
from landseg.training.augment import AugmentOptions
from landseg.training.recipe import Recipe, read_recipe
from landseg.training.sources import load_scenes

ARMS = ("smp", "landseg")
KEPT_OUT = "tile8_"
BEGIN = "<!-- table: python benchmarks/floor.py -->"
ZOOM, COLORS = (0.4, 1.5), AugmentOptions(color=0.4)
TIMED, VALIDATIONS = 12, 10
CROP, BATCH, RATE, DECAY, POWER = 384, 8, 5e-4, 0.01, 0.9


def network_of(recipe: Recipe) -> nn.Module:
    """smp's DeepLabV3Plus with the recipe's encoder and its ImageNet weights."""
    import segmentation_models_pytorch as smp

    ours = build_network("deeplab-v3plus", encoder=recipe.encoder, bands=3, channels=len(recipe.classes))
    encoder = ours.get_submodule("encoder")
    load_encoder_weights(encoder, recipe.encoder, "imagenet")
    theirs = smp.DeepLabV3Plus("tu-efficientnet_lite0", encoder_weights=None, classes=len(recipe.classes))
    theirs.encoder.load_state_dict(encoder.get_submodule("body").state_dict())
    return theirs


def scaled(pixels: Tensor) -> Tensor:
    """As the encoder's weights were trained: (raw - 127) / 128."""
    return ((pixels.float() - 127) / 128).contiguous(memory_format=torch.channels_last)


def draw(scenes: Sequence[Scene], rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """A batch of crops (N, 3, s, s) and targets (N, s, s), from anywhere, mirrored at random."""
    areas = np.array([scene.rect.area for scene in scenes], float)
    images, targets = [], []
    for number in rng.choice(len(scenes), BATCH, p=areas / areas.sum()):
        height, width = scenes[number].shape
        top, left = (int(rng.integers(max(1, length - CROP + 1))) for length in (height, width))
        pixels, _, target = scenes[number].read(scenes[number].rect)
        here = slice(top, top + CROP), slice(left, left + CROP)
        image, label = pixels[(slice(None), *here)], target[here]
        for axis in (-1, -2):
            if rng.random() < 0.5:
                image, label = np.flip(image, axis), np.flip(label, axis)
        images.append(torch.from_numpy(np.ascontiguousarray(image)))
        targets.append(torch.from_numpy(np.ascontiguousarray(label)))
    return torch.stack(images), torch.stack(targets).long()


def train(network: nn.Module, scenes: Sequence[Scene], *, minutes: float, most: int | None, seed: int) -> int:
    """Train in place for a time, or for so many steps; the number of steps."""
    optimizer = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=DECAY)
    network.train().to(memory_format=torch.channels_last)
    rng, began, steps = np.random.default_rng(seed), time.monotonic(), 0
    while (done := steps / most if most else (time.monotonic() - began) / (60 * minutes)) < 1:
        for group in optimizer.param_groups:
            group["lr"] = RATE * (1 - done) ** POWER
        images, targets = draw(scenes, rng)
        with torch.autocast("cpu", torch.bfloat16):
            logits = network(scaled(images))
        loss = F.cross_entropy(logits.float(), targets, ignore_index=IGNORE_INDEX)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        steps += 1
        if steps % 20 == 0:
            print(f"{steps} steps, {100 * done:.0f} %, loss {float(loss.detach()):.3f}", flush=True)
    return steps


def measure(network: nn.Module, scenes: Sequence[Scene], classes: int) -> Confusion:
    """The confusion matrix of whole scenes; smp wants multiples of 16, so zeros are added at bottom and right."""
    network.eval()
    confusion = Confusion(classes)
    for scene in scenes:
        pixels, _, target = scene.read(scene.rect)
        height, width = scene.shape
        inputs = F.pad(
            scaled(torch.from_numpy(np.ascontiguousarray(pixels))[None]), (0, -width % 16, 0, -height % 16)
        )
        with torch.inference_mode():
            logits = network(inputs.contiguous(memory_format=torch.channels_last))[0, :, :height, :width]
        confusion.update(target, logits.argmax(0).to(torch.uint8).numpy())
    return confusion


def run_smp(seed: int, recipe: Recipe, options: argparse.Namespace) -> dict[str, Any]:
    """Train and measure the plain recipe."""
    scenes, _ = load_scenes(recipe, options.data)
    torch.manual_seed(seed)
    network = network_of(recipe)
    kept = [scene for scene in scenes if scene.name.startswith(KEPT_OUT)]
    learned = [scene for scene in scenes if not scene.name.startswith(KEPT_OUT)]
    print(f"seed {seed}: {len(learned)} scenes to learn from, {len(kept)} kept out", flush=True)
    steps = train(network, learned, minutes=options.minutes, most=options.steps.get("smp"), seed=seed)
    found = measure(network, kept, len(recipe.classes))
    return {
        "minutes": options.minutes,
        "steps": steps,
        "mean_iou": found.mean_iou(),
        "pixel_accuracy": found.pixel_accuracy(),
        "iou": dict(zip(recipe.classes.names, found.iou().tolist(), strict=True)),
    }


def run_landseg(seed: int, recipe: Recipe, options: argparse.Namespace) -> dict[str, Any]:
    """Train and measure as `landseg train` does."""
    fit = replace(recipe.fit, minutes=options.minutes, steps=options.steps.get("landseg"), seed=seed)
    chosen = replace(recipe, fit=fit)
    path = options.out / f"landseg-{seed}.safetensors"
    made = landseg_train(chosen, path, data=options.data, keep_out=[f"{KEPT_OUT}*"], overwrite=True, quiet=False)
    assert made.metrics is not None
    with (path.with_suffix(".run") / "log.csv").open() as log:
        steps = sum(1 for _ in log) - 1
    return {
        "minutes": options.minutes,
        "steps": steps,
        "mean_iou": made.metrics.overall["mean_iou"],
        "pixel_accuracy": made.metrics.overall["pixel_accuracy"],
        "iou": {name: values["iou"] for name, values in made.metrics.per_class.items()},
    }


def table(folder: Path) -> list[str]:
    """One row a run, and the mean of each arm."""
    lines: list[str] = []
    for arm in ARMS:
        found = [json.loads(path.read_text()) for path in sorted(folder.glob(f"{arm}-*.json"))]
        if not found:
            continue
        names = list(found[0]["iou"])
        if not lines:
            lines.append(f"| arm, seed | steps | mean IoU | pixel accuracy | {' | '.join(names)} |")
            lines.append("|---" * (4 + len(names)) + "|")
        columns = np.array([[one["mean_iou"], one["pixel_accuracy"], *one["iou"].values()] for one in found])
        for one, cells in zip(found, columns, strict=True):
            lines.append(f"| {arm}, {one['seed']} | {one['steps']} | {' | '.join(f'{cell:.3f}' for cell in cells)} |")
        lines.append(f"| **{arm}, mean** | | {' | '.join(f'**{value:.3f}**' for value in columns.mean(0))} |")
    return lines


def times_of(recipe: Recipe, options: argparse.Namespace) -> list[str]:
    """How many steps each arm makes in the time, from a few of them."""
    scenes, _ = load_scenes(recipe, options.data)
    train(network_of(recipe), scenes, minutes=options.minutes, most=2, seed=0)  # kernels are chosen
    network, began = network_of(recipe), time.monotonic()
    train(network, scenes, minutes=options.minutes, most=TIMED, seed=0)
    each = {"smp": (time.monotonic() - began) / TIMED}
    fit = replace(recipe.fit, minutes=options.minutes, steps=2 * TIMED, validate_every=TIMED, keep="last")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "timed.safetensors"
        landseg_train(replace(recipe, fit=fit), path, data=options.data, keep_out=[f"{KEPT_OUT}*"], quiet=True)
        with (path.with_suffix(".run") / "log.csv").open() as log:
            ends = [float(row["seconds"]) for row in csv.DictReader(log)]
    validation = ends[TIMED] - ends[TIMED - 1]
    each["landseg"] = statistics.median(np.diff(ends))
    counts = {"smp": 60 * options.minutes / each["smp"]}
    counts["landseg"] = (60 * options.minutes - VALIDATIONS * validation) / each["landseg"]
    return [
        f"{arm}: {each[arm]:.2f} s a step, {counts[arm]:.0f} steps in {options.minutes:g} minutes" for arm in each
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS))
    parser.add_argument("--minutes", type=float, default=15)
    parser.add_argument("--steps", nargs="+", type=int, default=[])
    parser.add_argument("--time", action="store_true", help="time some steps, and do no more")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--write", type=Path)
    options = parser.parse_args()
    if options.steps and len(options.steps) != len(options.arms):
        parser.error(f"--steps takes one number for each of {' '.join(options.arms)}, got {len(options.steps)}")
    options.steps = dict(zip(options.arms, options.steps, strict=False))  # none: by the clock
    options.out.mkdir(parents=True, exist_ok=True)
    recipe = read_recipe(Path(__file__).with_name("landcover_rgb.toml"))
    dubai = tuple(source for source in recipe.sources if source.images.startswith("landcover_dubai"))
    # The shipped model has to know the same things larger and in the colours of other sensors, which costs it here.
    recipe = replace(recipe, sources=tuple(replace(source, zoom=ZOOM) for source in dubai), augment=COLORS)
    if options.time:
        print("\n".join(times_of(recipe, options)))
        return
    for seed in options.seeds:
        for arm in options.arms:
            path = options.out / f"{arm}-{seed}.json"
            if not path.exists():
                found = {"seed": seed} | {"smp": run_smp, "landseg": run_landseg}[arm](seed, recipe, options)
                path.write_text(json.dumps(found, indent=1))
                print(json.dumps(found), flush=True)
    lines = table(options.out)
    print("\n".join(lines))
    if options.write:
        write_table(options.write, BEGIN, lines)


if __name__ == "__main__":
    main()
