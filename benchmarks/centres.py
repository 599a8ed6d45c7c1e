"""Centres and offsets beside the flood, from the maps of one network: the second way to group pixels bottom-up.

    python benchmarks/centres.py IMAGES LABELS WORK --background NAME --keep-out NAME [--steps 1280] [--factor 2]

The task is that of instances with three more channels, as in Panoptic-DeepLab (Cheng et al. 2020): a peak at the
centre of each thing, and from each of its pixels the way there. Peaks are the first pixel of their window of 2 r + 1
in the order of falling value and of reading; a pixel of a thing belongs to the nearest peak within R of where its
offset, of at most the reach, leads. Images are averaged to ``factor`` times their pixels, and the options of both
groupings are chosen on what was learned from.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter
from scipy.spatial import cKDTree
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.objects import mosaic
from landseg.dense.grouping import Maps
from landseg.dense.instance_files import CLASSES, IDS, write_ids
from landseg.dense.instance_measure import InstanceMeasure
from landseg.dense.instances import Instances
from landseg.dense.losses import LabelSets
from landseg.dense.objective import LossOptions
from landseg.dense.task import Examples, Loss, Request
from landseg.dense.tasks import TASKS
from landseg.evaluate import evaluate
from landseg.labels.id_rasters import NODATA
from landseg.models.heads import Heads
from landseg.models.read_card import read_card
from landseg.output.layer import Layer
from landseg.output.outputs import Outputs
from landseg.predict import predict
from landseg.train import train

CENTRE, OFFSET = "centre", "offset"
SIGMA = 8.0  # pixels of the peak of a centre
WEIGHTS = (200.0, 0.01)  # of the losses over centres and offsets, as published
WINDOW, REACH, NEAR = 8, 64.0, 20.0  # r; the longest offset; R: all in pixels
SCORES = tuple(round(0.05 * step, 2) for step in range(1, 15))
Ids = NDArray[np.uint32]


class Centres(Instances):
    """Instances whose network also learns the centre of each thing, and the way there from each of its pixels."""

    name = "centres"
    defaults: ClassVar[Mapping[str, Any]] = {**Instances.defaults, "peak": 0.1}
    grouping: ClassVar[str] = "centres"  # or "flood", from the same maps

    @property
    def heads(self) -> Heads:
        return Heads((*super().heads.sizes, (CENTRE, 1), (OFFSET, 2)))

    def targets(self, labels: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        made = dict(super().targets(labels))
        centre, offset = centre_targets(labels["instance"].numpy())
        return {**made, CENTRE: torch.from_numpy(centre), OFFSET: torch.from_numpy(offset)}

    def loss(self, options: LossOptions, sets: LabelSets, counts: NDArray[np.int64]) -> Loss:
        usual, heads = super().loss(options, sets, counts), self.heads

        def loss(output: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
            total = usual(output, targets)
            output = output.float()
            for name, weight in zip((CENTRE, OFFSET), WEIGHTS, strict=True):
                truth, made = targets[name], output[:, heads[name]]
                truth = truth[:, None] if name == CENTRE else truth
                known = ~truth.isnan()
                made = made.sigmoid() if name == CENTRE else made * REACH
                wrong = F.mse_loss if name == CENTRE else F.l1_loss
                if known.any():
                    total = total + weight * wrong(made[known], truth[known])
            return total

        return loss

    def choose_options(self, given: Mapping[str, Any], examples: Examples) -> tuple[Mapping[str, Any], str]:
        chosen, line = super().choose_options(given, examples)
        every, best = list(examples()), (-1.0, 0.0)
        for score in SCORES:
            measure = InstanceMeasure(self.classes)
            for number, one in enumerate(every):
                maps = self.maps(one.output, one.valid)
                ids, scores = self.by_centres(maps, one.output, least=score)
                layers = {
                    "classes": self.classes.to_values(maps.classes, one.valid),
                    "instances": ids,
                    "scores": scores,
                }
                measure.update(layers, one.valid, one.labels, raster=number)
            best = max(best, (measure.figures()["f1"], score))
        return {**chosen, "peak": best[1]}, f"{line}; peak = {best[1]:g}: F1 {best[0]:.3f}"

    def layers(self, request: Request) -> list[Layer]:
        made = super().layers(request)
        if IDS in {layer.name for layer in made} and "logits" not in {layer.name for layer in made}:
            channels = [f"{name} {number}" for name, count in self.heads.sizes for number in range(count)]
            names = tuple(channels)
            made.append(
                Layer(
                    "logits",
                    request.output,
                    "float32",
                    len(names),
                    nodata=float("nan"),
                    band_names=names,
                    scratch=True,
                )
            )
        return made

    def write_objects(self, outputs: Outputs, request: Request) -> tuple[NDArray[np.float32], dict[str, int]]:
        if self.grouping == "flood":
            return super().write_objects(outputs, request)
        write_ids(outputs, request, self.classes, self.options)  # so that the layer is there; its ids are replaced
        rect = outputs.grid.rect
        valid = outputs.read(CLASSES, rect)[0] != self.classes.nodata
        output = np.nan_to_num(outputs.read("logits", rect))
        ids, scores = self.by_centres(self.maps(output, valid), output, least=self.options["peak"])
        outputs.rewrite(IDS, rect, np.where(valid, ids, np.uint32(NODATA))[None])
        return scores, {"instances": len(scores), "below_score": 0, "below_area": 0}

    def by_centres(self, maps: Maps, output: NDArray[np.float32], *, least: float) -> tuple[Ids, NDArray[np.float32]]:
        """Return the ids (h, w) of things grouped by centres of at least a value, and their scores (n,)."""
        heat = 1 / (1 + np.exp(-output[self.heads[CENTRE]][0]))
        peaks = peaks_of(heat, least)
        mask = np.isin(maps.classes, self.classes.things)
        ids = np.zeros(heat.shape, np.uint32)
        if len(peaks) and mask.any():
            rows, columns = np.nonzero(mask)
            there = np.clip(output[self.heads[OFFSET]][:, rows, columns] * REACH, -REACH, REACH).T
            far, nearest = cKDTree(peaks).query(np.stack([rows, columns], axis=1) + there)
            ids[rows, columns] = np.where(far <= NEAR, nearest + 1, 0)
        kept, first = np.unique(ids[ids > 0], return_index=True)
        order = np.argsort(first, kind="stable")
        table = np.zeros(len(peaks) + 1, np.uint32)
        table[kept[order]] = np.arange(1, len(kept) + 1)
        ids = table[ids]
        count = len(kept)
        sums = np.bincount(ids.ravel(), maps.probability.ravel(), count + 1)[1:]
        share = sums / np.maximum(1, np.bincount(ids.ravel(), minlength=count + 1)[1:]) / 255
        value = heat[tuple(peaks[kept[order] - 1].T)] if count else np.zeros(0)
        return ids, (share * value).astype(np.float32)


def centre_targets(ids: NDArray[np.int32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the peaks (h, w) and the ways to the centres (2, h, w) of numbers (h, w); nan where not known.

    A thing that the crop cuts has no known centre.
    """
    height, width = ids.shape
    heat = np.where(ids < 0, np.nan, 0).astype(np.float32)
    offset = np.full((2, height, width), np.nan, np.float32)
    edge = np.unique(np.concatenate([ids[0], ids[-1], ids[:, 0], ids[:, -1]]))
    for number in np.unique(ids[ids > 0]).tolist():
        rows, columns = np.nonzero(ids == number)
        if number in edge:
            heat[rows, columns] = np.nan
            continue
        row, column = rows.mean(), columns.mean()
        offset[:, rows, columns] = np.stack([row - rows, column - columns])
        reach = int(3 * SIGMA)
        top, left = max(0, int(row) - reach), max(0, int(column) - reach)
        part = heat[top : int(row) + reach + 1, left : int(column) + reach + 1]
        down, across = np.ogrid[top : top + part.shape[0], left : left + part.shape[1]]
        peak = np.exp(-((down - row) ** 2 + (across - column) ** 2) / (2 * SIGMA**2))
        np.maximum(part, peak, out=part, where=~np.isnan(part))
    return heat, offset


def peaks_of(heat: NDArray[np.floating], least: float) -> NDArray[np.int64]:
    """Return the rows and columns (n, 2) of peaks: the first of their window in falling value and reading order."""
    order = np.lexsort((np.arange(heat.size), -heat.ravel()))
    ranks = np.empty(heat.size, np.int64)
    ranks[order] = np.arange(heat.size, 0, -1)
    rank = ranks.reshape(heat.shape)
    found: NDArray[np.int64] = np.argwhere((maximum_filter(rank, 2 * WINDOW + 1) == rank) & (heat >= least))
    return found


def main() -> None:
    """Train, and print the figures of both groupings on the images that were kept out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=Path, help="a folder of GeoTIFFs")
    parser.add_argument("labels", help="the vector file, or files, of things")
    parser.add_argument("work", type=Path)
    parser.add_argument("--background", required=True)
    parser.add_argument("--keep-out", nargs="+", required=True)
    parser.add_argument("--steps", type=int, default=1280)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--factor", type=float, default=1.0)
    given = parser.parse_args()
    TASKS[Centres.name] = Centres
    given.work.mkdir(parents=True, exist_ok=True)
    folder, config, model = given.work / "averaged", given.work / "centres.toml", given.work / "centres.safetensors"
    folder.mkdir(exist_ok=True)
    for path in sorted(given.images.glob("*.tif")):
        if not (folder / path.name).exists():
            mosaic([str(path)], folder / path.name, factor=given.factor)
    config.write_text(f'task = "{Centres.name}"\n')
    options: Any = {"things": True, "background": given.background, "keep_out": given.keep_out, "config": config}
    if not model.exists():
        train(folder, given.labels, model, steps=given.steps, seed=given.seed, scale=(0.8, 1.25), **options)
    print("| grouping | AP50 | AP | precision | recall | F1 |", "|---|--:|--:|--:|--:|--:|", sep="\n")
    kept = [path for path in sorted(folder.glob("*.tif")) if path.stem in given.keep_out]
    card = read_card(model)
    for grouping in ("centres", "flood"):
        ids = [given.work / f"{grouping}_{path.name}" for path in kept]
        for path, out in zip(kept, ids, strict=True):
            files = {"instances": out, "polygons": out.with_suffix(".gpkg"), "overwrite": True}
            Centres.grouping = grouping
            predict(path, out.with_name(f"map_{out.name}"), model=model, precision="fp32", **files)
        made = evaluate([str(out.with_suffix(".gpkg")) for out in ids], given.labels, samples=0)
        figures = [made.means[name] for name in ("ap50", "ap", "precision", "recall", "f1")]  # type: ignore[union-attr]
        print(f"| {grouping} | {' | '.join(f'{one:.3f}' for one in figures)} |")
    print(card.task_options, file=sys.stderr)


if __name__ == "__main__":
    main()
