"""Instances: a class for every pixel, and an object of its own for every thing."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from landseg.classes import IGNORE_INDEX, ClassMap
from landseg.dense.grouping import Maps, differing, group
from landseg.dense.instance_files import ENERGY, EVIDENCE, IDS, write_ids, write_polygons
from landseg.dense.panoptic_files import PANOPTIC, write_panoptic
from landseg.dense.semantic import BAND, ClassDecoder, Semantic, top
from landseg.dense.stuff_pieces import pieces_layer
from landseg.dense.task import Agreement, Arrays, Decoder, Examples, Loss, Request
from landseg.errors import ModelError, TrainingError
from landseg.geo.grid import Grid
from landseg.labels.id_rasters import BAND as ID_BAND
from landseg.labels.id_rasters import NODATA
from landseg.models.heads import CLASSES, Heads
from landseg.output.layer import Layer
from landseg.output.outputs import Outputs
from landseg.text.amounts import counted
from landseg.text.strict import is_number
from landseg.text.untrusted import brief
from landseg.tiling.stitch import Finished

if TYPE_CHECKING:
    from torch import Tensor

    from landseg.dense.instance_measure import InstanceMeasure
    from landseg.dense.losses import LabelSets
    from landseg.dense.objective import LossOptions

INTERIOR, BOUNDARY = "interior", "boundary"
CONFIDENCE = "confidence"
"""The layer of the probability of the class of each pixel."""
ENERGIES = ("interior", "boundary", "mean")
"""What things are grouped by: the interior, 1 less the boundary, or the mean of both."""
_RANGES = {
    "rise": (0, math.inf),
    "score": (0, 1),
    "min_area_m2": (0, 1e12),
    "stuff_area_m2": (0, 1e12),
    "border": (0.5, 1e4),
    "near": (0.5, 1e4),
    "near_weight": (0, 1e6),
}
"""The smallest and the largest value of each option."""


class Instances(Semantic):
    """The task of a network with a logit for each class, one for the interior of things and one for their boundary.

    Where a recipe does not fix energy, rise, score and min_area_m2, they are chosen once the network has learned.

    Options:
        energy: of the flood that groups pixels, one of `ENERGIES`.
        rise: two hills of the energy become one thing where the lower one rises less than this above the saddle.
        score: things with a lower score are left out.
        min_area_m2: smaller things are left out.
        join_small: they become part of the neighbour of their class with the longest border in common, where they
            have one.
        stuff_area_m2: smaller pieces of other classes are void in COCO's panoptic format.
        border: pixels of the network; where another thing, or none, lies within it, a boundary is learned.
        near: pixels of the network; where two things lie within it, the loss over classes weighs more.
        near_weight: the weight there.
    """

    name = "instances"
    headline = "f1"
    noun = "class"
    files: ClassVar[tuple[str, ...]] = (*Semantic.files, "instances", PANOPTIC)
    measured = ("instances", "polygons")
    label_maps: ClassVar[tuple[str, ...]] = ("instance", "interior")
    takes_views = False
    defaults: ClassVar[Mapping[str, Any]] = {
        "energy": "interior",
        "rise": 0.3,
        "score": 0.0,
        "min_area_m2": 0.0,
        "join_small": False,
        "stuff_area_m2": 0.0,
        "border": 2.0,
        "near": 4.0,
        "near_weight": 4.0,
    }

    def __init__(self, classes: ClassMap, options: Mapping[str, Any]) -> None:
        super().__init__(classes, options)
        if not classes.things:
            raise ModelError(
                "the task 'instances' needs a class of things: say thing = true for it in the class table"
            )
        if (energy := self.options.get("energy", ENERGIES[0])) not in ENERGIES:
            raise ModelError(
                f"energy of the task {self.name!r} is {brief(energy)}: expected one of {', '.join(ENERGIES)}"
            )
        if not isinstance(join := self.options.get("join_small", False), bool):
            raise ModelError(f"join_small of the task {self.name!r} is {brief(join)}: expected true or false")
        for option, (least, most) in _RANGES.items():
            value = self.options.get(option, least)
            if not (is_number(value) or value == math.inf) or not least <= value <= most:
                limits = f"from {least:g} to {most:g}" if most < math.inf else f"of {least:g} or more"
                raise ModelError(f"{option} of the task {self.name!r} is {brief(value)}: expected a number {limits}")

    @property
    def heads(self) -> Heads:
        return Heads(((CLASSES, len(self.classes)), (INTERIOR, 1), (BOUNDARY, 1)))

    def targets(self, labels: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        from landseg.dense.instance_targets import instance_targets

        return instance_targets(labels, border=self.options["border"], near=self.options["near"])

    def loss(self, options: LossOptions, sets: LabelSets, counts: NDArray[np.int64]) -> Loss:
        from landseg.dense.instance_loss import instance_loss

        self.check_loss(options)
        return instance_loss(self.heads, sets, near_weight=self.options["near_weight"])

    def check_loss(self, options: LossOptions) -> None:
        if strays := _given(options):
            raise TrainingError(
                f"the task {self.name!r} has a loss of its own: leave out {', '.join(strays)} of [loss]"
            )

    def measure(self) -> InstanceMeasure:
        from landseg.dense.instance_measure import InstanceMeasure

        return InstanceMeasure(self.classes)

    def read_measured(self, files: Mapping[str, Path], grid: Grid) -> Arrays:
        """Return the layer "scores" (n,) by id less one, of the polygons of a finished run; 0 for ids without."""
        from landseg.labels.object_files import read_scores

        ids, scores = read_scores(files["polygons"])
        found = np.zeros(int(ids.max(initial=0)), np.float32)
        found[ids - 1] = scores
        return {"scores": found}

    def choose_options(self, given: Mapping[str, Any], examples: Examples) -> tuple[Mapping[str, Any], str]:
        from landseg.dense.instance_choice import CHOSEN, choose

        fixed = {name: given[name] for name in CHOSEN if name in given}
        if len(fixed) == len(CHOSEN):
            return {}, ""

        def maps_of(energy: str, output: NDArray[np.float32], valid: NDArray[np.bool_]) -> Maps:
            return self.maps(output, valid, energy=energy)

        return choose(maps_of, self.classes, fixed, examples, energies=ENERGIES)

    def result(self, output: NDArray[np.float32], valid: NDArray[np.bool_]) -> Arrays:
        """Return the layers "classes" and "instances", each (h, w), and "scores" (n,) by id less one."""
        maps, options = self.maps(output, valid), self.options
        ids, things = group(maps, self.classes.things, rise=options["rise"], least_score=options["score"])
        return {
            "classes": self.classes.to_values(maps.classes, valid),
            "instances": np.where(valid, ids, np.uint32(NODATA)),
            "scores": things.score,
        }

    def layers(self, request: Request) -> list[Layer]:
        """Return the layers of classes, and where objects are asked for those that they are made of and their ids."""
        made, files, main = super().layers(request), request.files, request.output
        made[0] = replace(made[0], scratch=not request.has_map)
        names = (*self.classes.names, INTERIOR, BOUNDARY)
        made = [
            replace(layer, count=len(names), band_names=names) if layer.name == "logits" else layer for layer in made
        ]
        if has_objects(request):
            shares, ids = ("probability", "boundary"), files.get(IDS)
            made.append(Layer(ENERGY, main, "uint16", scratch=True))
            made.append(Layer(EVIDENCE, main, "uint8", 2, band_names=shares, scratch=True))
            made.append(ids_layer(main) if ids is None else replace(ids_layer(ids), scratch=False))
        return [*made, *self.panoptic_layers(request)]

    def panoptic_layers(self, request: Request) -> list[Layer]:
        """Return the layer of pieces of stuff, where small ones are void in a panoptic map."""
        wanted = PANOPTIC in request.files and self._least_stuff > 0
        return [pieces_layer(request.output)] if wanted else []

    @property
    def _least_stuff(self) -> float:
        return float(self.options.get("stuff_area_m2", 0.0))

    def decoder(self, layers: list[Layer], *, temperature: float = 1.0) -> Decoder:
        names = {layer.name for layer in layers}
        dtypes = {layer.name: layer.dtype for layer in layers if layer.name not in ("logits", ENERGY, EVIDENCE)}
        if ENERGY in names:
            dtypes[CONFIDENCE] = "uint8"  # of the class, which objects are scored by
        classes = ClassDecoder(self.classes, dtypes, temperature=temperature).decode

        def decode(finished: Finished) -> Arrays:
            logits, valid = finished.logits, finished.valid
            if logits is None or not valid.any():
                return dict.fromkeys(names)
            made: dict[str, Any] = classes(replace(finished, logits=logits[self.heads[CLASSES]]))
            if "logits" in names:
                made["logits"] = logits
            if ENERGY in names:
                made[ENERGY], boundary = self._levels_of(logits)
                made[EVIDENCE] = np.stack([made[CONFIDENCE], boundary])
            return {name: made[name] for name in names}

        return decode

    def finish(self, outputs: Outputs, request: Request) -> Mapping[str, int]:
        if not has_objects(request):
            return super().finish(outputs, request)
        scores, counts = self.write_objects(outputs, request)
        if "polygons" in request.files:
            write_polygons(outputs, request, self.classes, scores)
        if PANOPTIC in request.files:
            write_panoptic(outputs, request, self.classes, objects=len(scores), least_stuff=self._least_stuff)
        if "preview" in request.files:
            from landseg.dense.class_files import draw_map_preview

            draw_map_preview(outputs, request, self.classes, ids=IDS)
        return counts

    def write_objects(self, outputs: Outputs, request: Request) -> tuple[NDArray[np.float32], dict[str, int]]:
        """Write the layer of ids; return the score of each object by its id less one (n,), and what was counted."""
        found = write_ids(outputs, request, self.classes, self.options)
        counts = {"below_score": found.below_score, "below_area": found.below_area}
        counts |= {"joined": found.joined} if self.options["join_small"] else {}
        return found.things.score, {"instances": len(found.things), **counts}

    def counts_text(self, counts: Mapping[str, int], *, located: bool) -> str:
        things, options = self.classes.things, self.options
        text = counted(counts["instances"], "object")
        text += f" of the class {self.classes.names[things[0]]}" if len(things) == 1 else ""
        score, area = counts["below_score"], counts["below_area"]
        left_out = [f"{score:,} below --score {options['score']:g}"] if score else []
        small = f"smaller than {options['min_area_m2']:g} {'m2' if located else 'px'}"
        left_out += [f"{area:,} {small}"] if area else []
        text += f"; {counts['joined']:,} {small} joined to a neighbour" if counts.get("joined") else ""
        return f"{text}; {', '.join(left_out)} left out" if left_out else text

    def tags(self) -> dict[str, str]:
        return {**super().tags(), "task": self.name}

    def _levels_of(
        self, output: NDArray[np.float32], energy: str | None = None
    ) -> tuple[NDArray[np.uint16], NDArray[np.uint8]]:
        """Return an energy, and the probability of a boundary, of an output (C, h, w) as whole numbers (h, w)."""
        kind = self.options["energy"] if energy is None else energy
        interior, boundary = (output[self.heads[name]][0] for name in (INTERIOR, BOUNDARY))
        levels, border = np.empty(interior.shape, np.uint16), np.empty(interior.shape, np.uint8)
        rows = max(1, BAND // interior.shape[1])
        for start in range(0, len(interior), rows):  # what lies between them stays in the cache
            some = slice(start, start + rows)
            shares = _sigmoid(boundary[some])
            border[some] = _levels(shares, 255, np.uint8)
            levels[some] = _levels(_energy(kind, interior[some], shares), 65535, np.uint16)
        return levels, border

    def agreement(
        self, one: NDArray[np.float32], other: NDArray[np.float32], valid: NDArray[np.bool_], *, tie: float
    ) -> Agreement:
        classes, rise = self.heads[CLASSES], self.options["rise"]
        made = super().agreement(one[classes], other[classes], valid, tie=tie)
        ids, whole = (group(self.maps(part, valid), self.classes.things, rise=rise) for part in (one, other))
        return replace(made, objects=len(whole[1]), objects_differing=differing(ids[0], whole[0]))

    def maps(
        self,
        output: NDArray[np.float32],
        valid: NDArray[np.bool_],
        *,
        temperature: float = 1.0,
        energy: str | None = None,
    ) -> Maps:
        """Return the maps from which things are grouped, of an output (C, h, w) and its valid pixels (h, w).

        ``energy`` is one of `ENERGIES`; None is the task's own.
        """
        logits = output[self.heads[CLASSES]]
        indices, best = top(logits)
        total = np.exp((logits - best) / np.float32(temperature)).sum(axis=0)
        levels, boundary = self._levels_of(output, energy)
        return Maps(
            np.where(valid, indices, np.uint8(IGNORE_INDEX)), levels, _levels(1 / total, 255, np.uint8), boundary
        )


def _given(options: LossOptions) -> list[str]:
    """Return the names of entries that differ from the usual loss, but for the place where it is taken."""
    usual = type(options)(at=options.at)
    return [one.name for one in fields(options) if getattr(options, one.name) != getattr(usual, one.name)]


def has_objects(request: Request) -> bool:
    """Return whether a run is asked for objects: as a raster of ids, as polygons, or in COCO's panoptic format."""
    return bool({IDS, "polygons", PANOPTIC} & set(request.files))


def ids_layer(path: Path) -> Layer:
    """Return the layer of ids, which is made once the others are complete, as scratch."""
    numbers: dict[str, Any] = {"nodata": NODATA, "band_names": (ID_BAND,), "resampling": "nearest"}
    return Layer(IDS, path, "uint32", scratch=True, late=True, **numbers)


def _energy(kind: str, interior: NDArray[np.float32], boundary: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the energy (h, w) of a kind, of logits of the interior and the probability of a boundary."""
    if kind == "boundary":
        return np.float32(1) - boundary
    inside = _sigmoid(interior)
    if kind == "mean":
        inside = np.float32(0.5) * (inside + (np.float32(1) - boundary))
    return inside


def _sigmoid(values: NDArray[np.float32]) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):  # then it is 0
        return np.float32(1) / (np.float32(1) + np.exp(-values))


def _levels(shares: NDArray[np.float32], most: int, dtype: Any) -> NDArray[Any]:
    """Return shares from 0 to 1 as whole numbers from 0 to the largest."""
    made: NDArray[Any] = np.rint(shares * np.float32(most)).astype(dtype)
    return made
