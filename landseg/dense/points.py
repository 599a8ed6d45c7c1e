"""Points: trees, poles or boats, each at its centre, found in the rows of a whole raster."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from landseg.classes import ClassMap
from landseg.dense.point_files import POLYGONS, SEEN, write_points
from landseg.dense.point_rows import COARSEST, TOP, PointRows, Points, join_points
from landseg.dense.task import Agreement, Arrays, Decoder, Examples, Loss, Request, Task
from landseg.errors import ModelError, TrainingError
from landseg.geo.grid import Grid
from landseg.labels.found_points import read_found_points
from landseg.models.heads import Heads
from landseg.output.layer import Layer
from landseg.output.outputs import Outputs
from landseg.text.amounts import counted
from landseg.text.strict import is_number
from landseg.text.untrusted import brief

if TYPE_CHECKING:
    from torch import Tensor

    from landseg.dense.losses import LabelSets
    from landseg.dense.objective import LossOptions
    from landseg.dense.point_measure import PointMeasure

_RANGES = {"sigma": (0.1, 1e3), "radius": (1, 16), "score": (0, 1), "distance_m": (0, 1e6), "reach": (0.5, 1e4)}
"""The smallest and the largest value of each option."""
_WHOLE = ("stride", "radius")


class PointTask(Task):
    """The task of a network with maps of centres: a vector file of points, each with its class and score.

    Options:
        stride: pixels between two units of the maps, 2 or 4; unit f sits at pixel stride * f.
        sizes: the network knows the height and width of each thing as well.
        sigma: pixels of the network; the width of the peak that is learned at a centre.
        radius: units; a point comes first in its window of 2 * radius + 1 units.
        score: points with a lower probability are left out.
        distance_m: of points nearer to each other than this (pixels without a CRS) the better one stays.
        reach: pixels of the network; a point is right whose distance from a true one is at most this.
    """

    name = "points"
    headline = "f1"
    noun = "point"
    files: ClassVar[tuple[str, ...]] = (POLYGONS,)
    measured = (POLYGONS,)
    label_maps: ClassVar[tuple[str, ...]] = ("instance",)
    whole_rows = True
    found_by = "points"
    has_map = False
    defaults: ClassVar[Mapping[str, Any]] = {
        "stride": 2,
        "sizes": False,
        "sigma": 2.0,
        "radius": 1,
        "score": 0.3,
        "distance_m": 0.0,
        "reach": 10.0,
    }

    def __init__(self, classes: ClassMap, options: Mapping[str, Any]) -> None:
        super().__init__(classes, options)
        if not classes.things:
            raise ModelError("the task 'points' needs a class of things: say thing = true for it in the class table")
        self._check()

    def _check(self) -> None:
        """Raise ModelError for a value of an option that means nothing."""
        own = self.options
        if own["stride"] not in (2, 4):
            raise ModelError(f"stride of the task 'points' is {brief(own['stride'])}: expected 2 or 4")
        if not isinstance(own["sizes"], bool):
            raise ModelError(f"sizes of the task 'points' is {brief(own['sizes'])}: expected true or false")
        for option, (least, most) in _RANGES.items():
            value = own[option]
            whole = option not in _WHOLE or value == int(value) if is_number(value) else False
            if not whole or not least <= value <= most:
                kind = "a whole number" if option in _WHOLE else "a number"
                raise ModelError(
                    f"{option} of the task 'points' is {brief(value)}: expected {kind} from {least:g} to {most:g}"
                )

    @property
    def heads(self) -> Heads:
        units = (COARSEST // self.options["stride"]) ** 2
        sizes = (("size", 2 * units),) if self.options["sizes"] else ()
        return Heads((("centre", len(self.classes.things) * units), ("offset", 2 * units), *sizes))

    @property
    def network_options(self) -> Mapping[str, Any]:
        return {"points": len(self.classes.things), "stride": self.options["stride"]}

    def targets(self, labels: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        from landseg.dense.point_targets import point_targets

        own = self.options
        return point_targets(
            labels, self.classes.things, stride=own["stride"], sigma=own["sigma"], sizes=own["sizes"]
        )

    def check_loss(self, options: LossOptions) -> None:
        if options != type(options)(at=options.at):
            raise TrainingError("the task 'points' has a loss of its own: leave out [loss]")

    def loss(self, options: LossOptions, sets: LabelSets, counts: NDArray[np.int64]) -> Loss:
        from landseg.dense.point_targets import point_loss

        self.check_loss(options)
        return point_loss(stride=self.options["stride"])

    def measure(self) -> PointMeasure:
        from landseg.dense.point_measure import PointMeasure

        return PointMeasure(self.classes, reach=self.options["reach"])

    def choose_options(self, given: Mapping[str, Any], examples: Examples) -> tuple[Mapping[str, Any], str]:
        from landseg.dense.point_measure import LOWEST, choose_score

        if "score" in given:
            return {}, ""
        return choose_score(partial(self.found, least=LOWEST), self.classes, examples, reach=self.options["reach"])

    def finder(self, shape: tuple[int, int], *, least: float | None = None) -> PointRows:
        """Return the finder of points for a raster of (height, width) pixels of the network."""
        own = self.options
        score = own["score"] if least is None else least
        return PointRows(
            shape,
            kinds=len(self.classes.things),
            sizes=own["sizes"],
            stride=own["stride"],
            radius=int(own["radius"]),
            least=math.ceil(score * TOP),
        )

    def bytes_of_column(self) -> float:
        """Return the bytes that a finder keeps for each column of pixels."""
        own = self.options
        channels = len(self.classes.things) + 2 + 2 * own["sizes"]
        return float(4 * channels * (2 * own["radius"] + 2) / own["stride"])

    def found(self, output: NDArray[np.float32], valid: NDArray[np.bool_], *, least: float | None = None) -> Points:
        """Return the points of a packed output (C, h, w) of a picture in memory with valid pixels (H, W)."""
        finder = self.finder(valid.shape, least=least)
        return join_points([finder.add(output, valid), finder.end()])

    def result(self, output: NDArray[np.float32], valid: NDArray[np.bool_]) -> Arrays:
        """Return the layer "points" (n, 4): row, column, the place of the class among those of points, and score."""
        return {"points": self.found(output, valid).table}

    def layers(self, request: Request) -> list[Layer]:
        """Return one layer of scratch: where there is data."""
        return [Layer(SEEN, request.output, "uint8", scratch=True)]

    def decoder(self, layers: list[Layer], *, temperature: float = 1.0) -> Decoder:
        """Return a decoder that refuses to decode: points need the rows of a whole raster."""

        def decode(_: Any) -> Arrays:
            raise ModelError("the task 'points' finds points in the rows of a whole raster, not in a part")

        return decode

    def main(self, finished: Any, *, temperature: float = 1.0) -> NDArray[Any] | None:
        raise ModelError("the task 'points' has no map of pixels")

    def finish(self, outputs: Outputs, request: Request) -> Mapping[str, int]:
        return {"points": write_points(outputs, request, self.classes)}

    def counts_text(self, counts: Mapping[str, int], *, located: bool) -> str:
        things = self.classes.things
        text = counted(counts["points"], "point")
        return f"{text} of the class {self.classes.names[things[0]]}" if len(things) == 1 else text

    def read_measured(self, files: Mapping[str, Path], grid: Grid) -> Arrays:
        places, values, scores = read_found_points(files[POLYGONS], grid)
        own = [self.classes.values[index] for index in self.classes.things]
        return {"points": np.column_stack([places, [own.index(value) for value in values.tolist()], scores])}

    def agreement(
        self, one: NDArray[np.float32], other: NDArray[np.float32], valid: NDArray[np.bool_], *, tie: float
    ) -> Agreement:
        raise ModelError("the task 'points' has no windows that could be compared with one forward pass")
