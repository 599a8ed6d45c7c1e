"""What `landseg train` costs: a step of a run over the bare step, and which settings of a CPU are fastest.

    python benchmarks/train.py [--data DIR] [--steps 12] [--rounds 3] [--workers 2] [--write docs/performance.md]
    python benchmarks/train.py --settings [--repeats 3] [--write docs/performance.md]

The network is that of landcover_rgb.toml, with its crops. The first compares a run of `fit` (crops
drawn, augmented and made ahead by loader workers; Lightning; the average of the weights; the log) with forward pass,
backward pass and step of the optimizer on one batch in memory, in turns, and takes the medians. DIR holds
`landcover_dubai/`; without it scenes of noise are as large as those of Dubai. The second tries memory formats,
precisions, threads, gradients of depthwise convolutions, the allocator's settings and optimizers, each in a
process of its own.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.pages import write_table
from landseg.dense.losses import LabelSets, partial_cross_entropy
from landseg.models.networks.build import build_network
from landseg.runtime.memory import keep_freed_memory
from landseg.scenes.scene import ArrayScene, Scene
from landseg.training.batches import Batch, Batches
from landseg.training.fit_options import FitOptions
from landseg.training.loop.depthwise import quick_depthwise
from landseg.training.loop.fit import fit
from landseg.training.loop.learner import parameter_groups
from landseg.training.loop.process import Place
from landseg.training.loop.run import Feedback, Lesson
from landseg.training.recipe import Recipe, read_recipe
from landseg.training.sampler import CropSampler
from landseg.training.sources import load_scenes

COST = "<!-- table: python benchmarks/train.py -->"
SETTINGS = "<!-- table: python benchmarks/train.py --settings -->"
WARM = 2  # first steps of a run that are not counted


def read(data: Path | None) -> tuple[Recipe, list[Scene], LabelSets]:
    """The recipe, and Dubai's scenes or noise in their place."""
    recipe = read_recipe(Path(__file__).with_name("landcover_rgb.toml"))
    if data is not None:
        dubai = tuple(s for s in recipe.sources if s.images.startswith("landcover_dubai"))
        recipe = replace(recipe, sources=dubai)
        return (recipe, *load_scenes(recipe, data))
    rng = np.random.default_rng(0)
    scenes = []
    for index in range(8):
        target = rng.integers(0, 5, (80, 100), dtype=np.uint8).repeat(20, 0).repeat(20, 1)
        pixels = rng.integers(0, 255, (3, *target.shape), dtype=np.uint8)
        scenes.append(ArrayScene(f"noise {index}", pixels, np.ones(target.shape, bool), target, zoom=(0.7, 5.0)))
    return recipe, scenes, LabelSets.of(len(recipe.classes))


def network_of(recipe: Recipe) -> nn.Module:
    torch.manual_seed(0)
    return build_network(
        recipe.arch, encoder=recipe.encoder, bands=len(recipe.bands), channels=len(recipe.classes), **recipe.options
    )


def batches_of(recipe: Recipe, scenes: list[Scene], sets: LabelSets) -> Batches:
    return Batches(CropSampler(scenes, recipe.sampling, seed=recipe.fit.seed, sets=sets))


def bare(
    network: nn.Module, inputs: Tensor, target: Tensor, sets: LabelSets, *, settings: dict[str, Any] | None = None
) -> Callable[[], None]:
    """One forward pass, backward pass and step of the optimizer on a batch in memory, as a function."""
    chosen = {"precision": "bf16", "channels_last": True, "fused": False, "quick": True, **(settings or {})}
    order = torch.channels_last if chosen["channels_last"] else torch.contiguous_format
    network.train().to(memory_format=order)
    inputs = inputs.contiguous(memory_format=order)
    groups = parameter_groups(network, FitOptions())
    optimizer = torch.optim.AdamW(groups, weight_decay=0.02, fused=chosen["fused"] or None)

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=chosen["precision"] == "bf16"):
            logits = network(inputs)
        loss = partial_cross_entropy(logits, target, sets)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimizer.step()

    def quick_step() -> None:
        with quick_depthwise(network):
            step()

    return quick_step if chosen["quick"] else step


def timed(step: Callable[[], None], count: int) -> list[float]:
    """Seconds of each of the last ``count`` calls, the first ones left out."""
    seconds = []
    for _ in range(WARM + count):
        began = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - began)
    return seconds[WARM:]


def run(recipe: Recipe, scenes: list[Scene], sets: LabelSets, *, steps: int, workers: int) -> list[float]:
    """Seconds between the ends of a run's steps, from its log."""
    options = replace(recipe.fit, steps=WARM + steps, workers=workers)

    def loss(logits: Tensor, batch: Batch) -> Tensor:
        return partial_cross_entropy(logits, batch.targets["class"], sets)

    with tempfile.TemporaryDirectory() as folder:
        lesson = Lesson(batches_of(recipe, scenes, sets), loss, recipe.scaling)
        fit(network_of(recipe), lesson, options=options, folder=Path(folder), feedback=Feedback(quiet=True))
        with (Path(folder) / "log.csv").open() as file:
            ends = [float(row["seconds"]) for row in csv.DictReader(file)]
    return list(np.diff(ends))[WARM - 1 :]


def cost(options: argparse.Namespace) -> list[str]:
    """The table of a step's cost."""
    recipe, scenes, sets = read(options.data)
    batch = batches_of(recipe, scenes, sets)[0]
    inputs = recipe.scaling.apply(batch.pixels, batch.valid)
    precision = Place.of(recipe.fit).precision
    found: dict[str, list[float]] = {"bare": [], "run": []}
    keep_freed_memory()  # as a run does
    for _ in range(options.rounds):  # in turns: the machine's mood is the same for both
        step = bare(network_of(recipe), inputs, batch.targets["class"], sets, settings={"precision": precision})
        found["bare"] += timed(step, options.steps)
        found["run"] += run(recipe, scenes, sets, steps=options.steps, workers=options.workers)
    batches, began = batches_of(recipe, scenes, sets), time.perf_counter()
    for number in range(4):
        batches[number]
    made = (time.perf_counter() - began) / 4
    once, whole = (statistics.median(found[name]) for name in ("bare", "run"))
    return [
        "| threads | workers | precision | bare step, s | step of a run, s | ratio | one batch made alone, s |",
        "|---|---|---|---|---|---|---|",
        f"| {torch.get_num_threads()} | {options.workers} | {precision} | {once:.2f} | {whole:.2f} "
        f"| {whole / once:.2f} | {made:.2f} |",
    ]


def combinations() -> Iterator[dict[str, Any]]:
    cores = len(os.sched_getaffinity(0))
    plain = {"fused": False, "keep": False, "quick": False}
    for threads, precision, last in itertools.product(sorted({1, cores}), ("fp32", "bf16"), (False, True)):
        yield {"threads": threads, "precision": precision, "channels_last": last, **plain}
    for precision in ("fp32", "bf16"):
        yield {"threads": cores, "precision": precision, "channels_last": True, **plain, "quick": True}
    best = {"threads": cores, "precision": "bf16", "channels_last": True, "quick": True}
    for fused, keep in ((False, True), (True, True)):
        yield {**best, "fused": fused, "keep": keep}


def measure(settings: dict[str, Any], repeats: int) -> float:
    """Median seconds of a bare step with these settings, in this process."""
    torch.set_num_threads(settings["threads"])
    if settings["keep"]:
        keep_freed_memory()
    recipe = read_recipe(Path(__file__).with_name("landcover_rgb.toml"))
    sets = LabelSets.of(len(recipe.classes))
    inputs = torch.randn(recipe.sampling.batch, 3, recipe.sampling.crop, recipe.sampling.crop)
    target = torch.randint(
        0, len(recipe.classes), (recipe.sampling.batch, recipe.sampling.crop, recipe.sampling.crop)
    )
    return statistics.median(timed(bare(network_of(recipe), inputs, target, sets, settings=settings), repeats))


def settings_table(options: argparse.Namespace) -> list[str]:
    """Every combination in a process of its own, the fastest first."""
    rows = []
    for settings in combinations():
        command = [sys.executable, __file__, "--one", json.dumps(settings), "--repeats", str(options.repeats)]
        environment = {**os.environ, "OMP_NUM_THREADS": str(settings["threads"])}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        rows.append((float(done.stdout), settings))
        print(f"{rows[-1][0]:.2f} s  {settings}", file=sys.stderr, flush=True)
    lines = [
        "| threads | precision | channels last | landseg's gradients | freed memory kept | fused AdamW | s a step |",
        "|---|" + "---|" * 6,
    ]
    for seconds, settings in sorted(rows, key=lambda row: row[0]):
        said = ["yes" if settings[name] else "no" for name in ("channels_last", "quick", "keep", "fused")]
        lines.append(f"| {settings['threads']} | {settings['precision']} | {' | '.join(said)} | {seconds:.2f} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="the folder with landcover_dubai/")
    parser.add_argument("--steps", type=int, default=12, help="counted, a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--settings", action="store_true", help="which settings are fastest, in place of the cost")
    parser.add_argument("--repeats", type=int, default=3, help="counted steps of each setting")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--write", type=Path, help="the page whose table is replaced")
    options = parser.parse_args()
    if options.one is not None:
        print(measure(json.loads(options.one), options.repeats))
        return
    lines = settings_table(options) if options.settings else cost(options)
    print("\n".join(lines))
    if options.write is not None:
        write_table(options.write, SETTINGS if options.settings else COST, lines)


if __name__ == "__main__":
    main()
