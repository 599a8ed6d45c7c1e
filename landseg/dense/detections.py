"""Detections: objects by their boxes, scores and masks, found by Mask R-CNN in the rows of a whole raster."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import fields, replace
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from landseg.classes import ClassMap
from landseg.dense.detection_files import LABELS, write_detected_ids
from landseg.dense.instances import Instances, has_objects, ids_layer
from landseg.dense.pyramid import Level, Pyramid
from landseg.dense.rcnn import DetectionOptions, Detector, SecondStage
from landseg.dense.task import Agreement, Arrays, Decoder, Examples, Loss, Request
from landseg.errors import ModelError
from landseg.labels.id_rasters import NODATA
from landseg.models.heads import Heads
from landseg.output.layer import Layer
from landseg.output.outputs import Outputs
from landseg.text.strict import is_number

if TYPE_CHECKING:
    from torch import Tensor

    from landseg.dense.losses import LabelSets
    from landseg.dense.objective import LossOptions

COARSEST = 32
"""Pixels of a unit of the packed output, along each side."""
_FACTORS = {"p2": 8, "p3": 4, "p4": 2, "p5": 1}  # units of each level along a side of one of the coarsest
_BESIDE = 15  # channels of a level beside its features: objectness and four differences of three anchors
_THRESHOLDS = tuple(one.name for one in fields(DetectionOptions))
_CLAIMED = 18  # bytes of a pixel that a mask may still claim, with its class and whether it has data


class DetectionTask(Instances):
    """The task of Mask R-CNN: the output holds the maps of a pyramid's levels, and two heads read crops of them.

    The one class that is no thing is that of all pixels that no object claims.

    Options:
        features: channels of the features of each level of the network.
        score: objects with a lower probability are left out.
        min_area_m2: objects that keep less area are left out; the class raster keeps their pixels.
        stuff_area_m2: smaller pieces of other classes are void in COCO's panoptic format.
        largest: pixels of the network; boxes that reach further from their anchor are none.
        objectness: a unit proposes a box where its logit is at least this.
        proposal_overlap: of two proposals that overlap by a larger share of their union, the worse is dropped.
        overlap: likewise of two objects of one class.
    """

    name = "detections"
    noun = "class"
    files: ClassVar[tuple[str, ...]] = ("polygons", "preview", "instances", "panoptic")
    label_maps: ClassVar[tuple[str, ...]] = ("instance",)
    whole_rows = True
    found_by = "objects by boxes"
    defaults: ClassVar[Mapping[str, Any]] = {
        "features": 96,
        "score": 0.5,
        "min_area_m2": 0.0,
        "stuff_area_m2": 0.0,
        "largest": 256,
        "objectness": 0.0,
        "proposal_overlap": 0.7,
        "overlap": 0.5,
    }

    def __init__(self, classes: ClassMap, options: Mapping[str, Any]) -> None:
        super().__init__(classes, options)
        self.stuff = tuple(number for number in range(len(classes)) if number not in classes.things)
        self._check_stuff()
        self._thresholds = self._checked()
        self._pyramid: Pyramid | None = None
        self._heads: SecondStage | None = None

    def _check_stuff(self) -> None:
        """Raise ModelError if the classes that are no things are not as many as the task takes."""
        if len(self.stuff) != 1:
            raise ModelError(
                "the task 'detections' needs one class beside those of things, for what is no object, got "
                f"{len(self.stuff)}: add --background NAME, or leave out classes"
            )

    def _checked(self) -> DetectionOptions:
        """Return the thresholds; raise ModelError for a value that means nothing."""
        features = self.options["features"]
        for name, value in self.options.items():
            if not is_number(value):
                raise ModelError(f"option {name} of the task {self.name!r} is a number, got {value!r}")
        if features < 1 or features != int(features):
            raise ModelError(f"option features of the task {self.name!r} is a whole number from 1, got {features}")
        given = {name: self.options[name] for name in _THRESHOLDS if name in self.options}
        try:
            return DetectionOptions(**{**given, "largest": int(given["largest"])})
        except ValueError as problem:
            raise ModelError(f"options of the task {self.name!r}: {problem}") from problem

    @property
    def heads(self) -> Heads:
        channels = int(self.options["features"]) + _BESIDE
        return Heads(tuple((name, channels * factor**2) for name, factor in _FACTORS.items()))

    @property
    def network_options(self) -> Mapping[str, Any]:
        return {"things": len(self.classes.things)}

    def with_options(self, changes: Mapping[str, Any]) -> Self:
        made = super().with_options(changes)
        made._pyramid, made._heads = self._pyramid, self._heads
        return made

    def of_network(self, network: Any, *, device: Any = None) -> Self:
        """Return the task with the levels of a network and its heads, which compute in float32."""
        from landseg.tiling.crop_heads import CropHeads

        if any(getattr(network, name, None) != count for name, count in self.network_options.items()):
            names = " and ".join(self.network_options)
            raise ModelError(f"the network has not as many classes of {names} as the class table: train it anew")
        made = self.with_options({"score": self.options["score"]})
        levels = zip(network.strides, network.offsets, network.anchors, strict=True)
        parts = network.box_head, network.mask_head
        heads = CropHeads(*(parts if device is None else (deepcopy(part).to(device) for part in parts)))
        made._pyramid = Pyramid(tuple(Level(*level) for level in levels), network.channels)
        made._heads = SecondStage(heads.boxes, heads.masks)
        return made

    def forward(self, network: Any, inputs: Tensor) -> Any:
        from landseg.dense.rcnn_loss import Forward

        return Forward(network, network.levels(inputs))

    def targets(self, labels: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        return {name: labels[name] for name in ("class", "instance")}

    def loss(self, options: LossOptions, sets: LabelSets, counts: NDArray[np.int64]) -> Loss:
        self.check_loss(options)
        return partial(box_loss, self.classes.things)

    def choose_options(self, given: Mapping[str, Any], examples: Examples) -> tuple[Mapping[str, Any], str]:
        return {}, ""

    def detector(self, shape: tuple[int, int]) -> Detector:
        """Return a detector for a raster of (height, width) pixels, with the heads of the network.

        Raises:
            ModelError: the task is that of no network yet, see `of_network`.
        """
        if self._pyramid is None or self._heads is None:
            raise ModelError(f"the task {self.name!r} finds objects with the heads of a network, and has none")
        return Detector(self._pyramid, shape, self._heads, self._thresholds)

    def bytes_of_column(self) -> float:
        """Return the bytes that a detector keeps for each column of pixels, but for boxes that are not decided."""
        rows = 4 * self._thresholds.largest
        units = sum((factor / COARSEST) ** 2 for factor in _FACTORS.values())
        return float(rows * (4 * self.options["features"] * units + _CLAIMED))

    def result(self, output: NDArray[np.float32], valid: NDArray[np.bool_]) -> Arrays:
        """Return the layers "classes" and "instances", each (h, w), and "scores" (n,), of a packed output."""
        detector, (maps, others) = self.detector(valid.shape), self.split(output, valid.shape[1])
        labels = np.concatenate([detector.add(maps, valid), detector.end()])
        found = detector.detections()
        return {
            "classes": self.class_values(labels, detector.kinds, others[: len(labels)], valid),
            "instances": np.where(valid, found.table[labels], np.uint32(NODATA)),
            "scores": found.score,
        }

    def split(self, output: NDArray[np.float32], width: int) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """Return the maps that a detector takes, and the class index of each pixel (rows, width) without an object.

        Args:
            output: rows of the packed output ``(C, h, w)``; the result may have rows below the raster's last.
            width: of the raster, in pixels.
        """
        rows = output.shape[1] * COARSEST
        return output, np.full((rows, width), self.stuff[0], np.uint8)

    def class_values(
        self,
        labels: NDArray[np.uint32],
        kinds: NDArray[np.int64],
        others: NDArray[np.uint8],
        valid: NDArray[np.bool_],
    ) -> NDArray[Any]:
        """Return the values (h, w) of the class raster.

        Args:
            labels: of objects ``(h, w)``, 0 for none.
            kinds: the class of things of each label.
            others: the class index of each pixel without an object ``(h, w)``.
            valid: the pixels with data ``(h, w)``.
        """
        indices = np.array(self.classes.things, np.uint8)[kinds][labels]
        return self.classes.to_values(np.where(labels > 0, indices, others), valid)

    def layers(self, request: Request) -> list[Layer]:
        """Return the layer of classes, and where objects are asked for their labels and ids."""
        main = Layer.of_classes("classes", request.output, self.classes)
        made = [replace(main, scratch=not request.has_map)]
        if has_objects(request):
            path = request.files.get("instances")
            made.append(Layer(LABELS, request.output, "uint32", nodata=NODATA, scratch=True))
            made.append(ids_layer(request.output) if path is None else replace(ids_layer(path), scratch=False))
        return [*made, *self.panoptic_layers(request)]

    def decoder(self, layers: list[Layer], *, temperature: float = 1.0) -> Decoder:
        """Return a decoder that refuses to decode: objects need the rows of a whole raster, see `detector`."""

        def decode(_: Any) -> Arrays:
            raise ModelError(f"the task {self.name!r} finds objects in the rows of a whole raster, not in a part")

        return decode

    def write_objects(self, outputs: Outputs, request: Request) -> tuple[NDArray[np.float32], dict[str, int]]:
        found = write_detected_ids(outputs, request, least_area=self.options["min_area_m2"])
        return found.scores, {"instances": len(found.scores), "below_score": 0, "below_area": found.below_area}

    def tags(self) -> dict[str, str]:
        return {**super().tags(), "task": Instances.name}  # of rasters of ids, whatever found the objects

    def agreement(
        self, one: NDArray[np.float32], other: NDArray[np.float32], valid: NDArray[np.bool_], *, tie: float
    ) -> Agreement:
        raise ModelError(f"the task {self.name!r} has no windows that could be compared with one forward pass")

    def main(self, finished: Any, *, temperature: float = 1.0) -> NDArray[Any] | None:
        raise ModelError(f"the task {self.name!r} has no class of a pixel by itself")


def box_loss(things: tuple[int, ...], made: Any, targets: Mapping[str, Tensor]) -> Tensor:
    """Return the sum of the five losses of Mask R-CNN."""
    from landseg.dense.rcnn_loss import losses_of, object_targets

    device = targets["class"].device
    pairs = zip(targets["class"].cpu(), targets["instance"].cpu(), strict=True)
    objects = [object_targets(classes, ids, things) for classes, ids in pairs]
    terms = losses_of(made, [{name: part.to(device) for name, part in one.items()} for one in objects])
    total: Tensor = sum(terms.values())  # type: ignore[assignment]
    return total
