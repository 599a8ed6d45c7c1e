"""Semantic segmentation: a class for every pixel, with probabilities, confidence and the logits themselves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from landseg.classes import IGNORE_INDEX, ClassMap
from landseg.dense.task import Agreement, Arrays, Decoder, Loss, Measure, Request, Summary, Task
from landseg.geo.tags import CLASSES
from landseg.labels.legend import class_tag
from landseg.metrics import figures
from landseg.metrics.bootstrap import Blocks, intervals
from landseg.models.heads import Heads
from landseg.output.layer import Layer
from landseg.output.outputs import Outputs
from landseg.text.amounts import counted
from landseg.tiling.stitch import Finished

if TYPE_CHECKING:
    from torch import Tensor

    from landseg.dense.losses import LabelSets
    from landseg.dense.objective import LossOptions

Array = NDArray[np.float32]
BLOCK = 256
"""Edge in pixels of the blocks of the bootstrap."""
BAND = 1 << 16
"""Pixels decoded at a time."""


class Semantic(Task):
    """The task of a network with one channel of logits a class, of which the largest wins."""

    name = "semantic"
    headline = "mean_iou"
    noun = "class"
    files: ClassVar[tuple[str, ...]] = ("probs", "confidence", "logits", "polygons", "preview")
    takes_views = True

    @property
    def heads(self) -> Heads:
        return Heads.of_classes(len(self.classes))

    def loss(self, options: LossOptions, sets: LabelSets, counts: NDArray[np.int64]) -> Loss:
        from landseg.dense.objective import class_loss

        loss = class_loss(options, sets, counts)

        def of_targets(output: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
            return loss(output, targets["class"])

        return of_targets

    def layers(self, request: Request) -> list[Layer]:
        classes, files = self.classes, request.files
        layers = [Layer.of_classes("classes", request.output, classes)]
        if "probs" in files:
            layers.append(Layer.of_probs("probs", files["probs"], classes, dtype=request.probs_dtype))
        if "confidence" in files:
            layers.append(Layer("confidence", files["confidence"], "uint8", scale=1 / 255, mask=True))
        if "logits" in files:
            path, count, nodata = files["logits"], len(classes), float("nan")
            layers.append(Layer("logits", path, "float32", count, nodata=nodata, band_names=classes.names))
        return layers

    def decoder(self, layers: list[Layer], *, temperature: float = 1.0) -> Decoder:
        dtypes = {layer.name: layer.dtype for layer in layers}
        return ClassDecoder(self.classes, dtypes, temperature=temperature).decode

    def finish(self, outputs: Outputs, request: Request) -> Mapping[str, int]:
        if not {"polygons", "preview"} & set(request.files):
            return {}  # a run without them does without the libraries for vector files
        from landseg.dense.class_files import draw_map_preview, write_class_polygons

        if "polygons" in request.files:
            write_class_polygons(outputs, request, self.classes)
        if "preview" in request.files:
            draw_map_preview(outputs, request, self.classes)
        return {}

    def tags(self) -> dict[str, str]:
        return {CLASSES: class_tag(self.classes)}  # without a task: these rasters are older than that tag

    def agreement(self, one: Array, other: Array, valid: NDArray[np.bool_], *, tie: float) -> Agreement:
        one, other = one[:, valid], other[:, valid]
        differs = top(one[:, None])[0][0] != top(other[:, None])[0][0]
        ties = np.zeros_like(differs)
        if len(other) > 1:
            second, first = np.sort(other, axis=0)[-2:]
            ties = first - second <= tie
        return Agreement(differs, ties)

    def measure(self) -> Measure:
        return ClassMeasure(self.classes)


class ClassMeasure:
    """Confusion of the class raster with labels that name one class; all other labels do not count.

    A label on a pixel without data counts as missed.
    """

    def __init__(self, classes: ClassMap) -> None:
        self._classes, self._missed = classes, 0
        self._blocks = Blocks(len(classes), BLOCK)

    def update(
        self,
        layers: Arrays,
        valid: NDArray[np.bool_],
        labels: Mapping[str, NDArray[Any]],
        *,
        at: tuple[int, int] = (0, 0),
        raster: int = 0,
    ) -> None:
        values, target = layers["classes"], labels["class"]
        if values is None:
            predicted = np.full(valid.shape, IGNORE_INDEX, np.uint8)
        else:
            predicted, _ = self._classes.to_indices_and_unmapped(values, valid)
        truth = np.where(target < len(self._classes), target, np.uint8(IGNORE_INDEX))
        self._missed += int(((truth != IGNORE_INDEX) & ~valid).sum())
        self._blocks.update(truth, predicted, top=at[0], left=at[1], raster=raster)

    def figures(self) -> dict[str, float]:
        table = self._blocks.table()
        iou = dict(zip(self._classes.names, figures.iou(table).tolist(), strict=True))
        made = {"mean_iou": float(figures.mean_iou(table)), "pixel_accuracy": float(figures.pixel_accuracy(table))}
        return made | {f"iou_{name}": value for name, value in iou.items()}

    def summary(self) -> Summary:
        table = self._blocks.table()
        overall = {
            "mean_iou": float(figures.mean_iou(table)),
            "pixel_accuracy": float(figures.pixel_accuracy(table)),
            "commonest_class_accuracy": float(figures.commonest_class_accuracy(table)),
        }
        if len(self._blocks) > 1:
            low, high = intervals(self._blocks, {"mean_iou": figures.mean_iou})["mean_iou"]
            overall |= {"mean_iou_low": float(low), "mean_iou_high": float(high)}
        by_name = {"iou": figures.iou(table), "precision": figures.precision(table), "recall": figures.recall(table)}
        per_class = {
            name: {figure: float(found[index]) for figure, found in by_name.items()}
            for index, name in enumerate(self._classes.names)
        }
        many = counted(self._missed, "labelled pixel", "labelled pixels")
        note = f"{many} without data in their image count{'s' if self._missed == 1 else ''} as missed"
        return Summary(overall, per_class, note if self._missed else "")


class ClassDecoder:
    """Decodes finished logits (K, h, w) for each of the layers asked for.

    Args:
        classes: the model's table.
        layers: dtype of each layer, by its name: classes, probs, confidence, logits. Probabilities and
            confidence in uint8 are rounded to steps of 1/255.
        temperature: what logits are divided by before they become probabilities. The layer of logits has them as
            the network gives them.
    """

    def __init__(self, classes: ClassMap, layers: Mapping[str, str], *, temperature: float = 1.0) -> None:
        self._classes, self._temperature = classes, temperature
        self._layers = dict(layers)

    def decode(self, finished: Finished) -> dict[str, NDArray[Any] | None]:
        """Return arrays (h, w) or (K, h, w) by layer; None where no pixel is valid."""
        logits = finished.logits
        if logits is None or not finished.valid.any():
            return dict.fromkeys(self._layers)
        arrays = {name: self._empty(name, logits.shape) for name in self._layers}
        rows = max(1, BAND // logits.shape[2])
        for start in range(0, logits.shape[1], rows):  # what lies between them stays in the cache
            some = slice(start, start + rows)
            few = logits[:, some]
            if few.strides[2] != few.itemsize:  # each class is read several times: its pixels side by side
                few = np.ascontiguousarray(few)
            for name, values in self._rows(few, finished.valid[some]):
                arrays[name][..., some, :] = values
        return dict(arrays)

    def _empty(self, name: str, shape: tuple[int, ...]) -> NDArray[Any]:
        dtype = self._classes.dtype if name == "classes" else self._layers[name]
        return np.empty(shape if name in ("probs", "logits") else shape[1:], dtype)

    def _rows(self, logits: Array, valid: NDArray[np.bool_]) -> Iterator[tuple[str, NDArray[Any]]]:
        """The layers of a few rows."""
        indices, best = top(logits)
        weights = total = np.zeros(0, np.float32)
        if "probs" in self._layers or "confidence" in self._layers:
            weights = logits - best
            if self._temperature != 1:
                weights /= np.float32(self._temperature)
            np.exp(weights, out=weights)
            total = weights.sum(axis=0)
        for name, dtype in self._layers.items():
            if name == "classes":
                yield name, self._classes.to_values(indices, valid)
            elif name == "probs":
                yield name, _quantised(weights / total, dtype)
            elif name == "confidence":
                yield name, _quantised(np.float32(1) / total, dtype)
            else:
                yield name, logits


def top(logits: Array) -> tuple[NDArray[np.uint8], Array]:
    """Return the index of the largest logit, the first of equals, and that logit: both (h, w).

    >>> [part.tolist() for part in top(np.array([[[1.0, 2.0]], [[3.0, 2.0]]], np.float32))]
    [[[1, 0]], [[3.0, 2.0]]]
    """
    best = np.array(logits[0])
    indices = np.zeros(best.shape, np.uint8)
    larger = np.empty(best.shape, np.bool_)
    for number in range(1, len(logits)):  # many times as fast as argmax over the first axis
        np.greater(logits[number], best, out=larger)
        found = larger.view(np.uint8)
        np.multiply(found, np.uint8(number), out=found)
        np.maximum(indices, found, out=indices)  # a later index is the larger one
        np.maximum(best, logits[number], out=best)
    return indices, best


def _quantised(shares: Any, dtype: str) -> NDArray[Any]:
    if dtype == "uint8":
        levels: NDArray[Any] = np.rint(shares * np.float32(255)).astype(np.uint8)
        return levels
    return np.asarray(shares, dtype)
