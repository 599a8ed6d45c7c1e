"""Task: the meaning of a network's output, from the channels that it has to the files and figures made of it.

A network gives one tensor (N, C, H, W). The engine streams, stitches and plans C channels whatever they mean; a task
names them, and says what is learned, written, compared and measured. A new task is a class of its own in a file of
this room, and one line of `landseg.dense.tasks.TASKS`.

A run has two stages. The first goes with the network: a `Decoder` makes arrays of layers of each rectangle of
finished pixels, and remembers nothing, so that a killed run goes on at any rectangle. The second, `Task.finish`,
comes once, when all these layers are complete: it makes objects, ids and polygons of them, row by row, in layers that
are `late` and in further files. A resumed run repeats it from its start.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from landseg.classes import ClassMap
from landseg.errors import ModelError
from landseg.geo.grid import Grid, Rect
from landseg.models.heads import Heads
from landseg.output.layer import Layer
from landseg.output.outputs import Outputs
from landseg.runtime.progress import Progress, Shown
from landseg.tiling.stitch import Finished

if TYPE_CHECKING:  # a run is refused, and a card is read, without torch
    from torch import Tensor

    from landseg.dense.losses import LabelSets
    from landseg.dense.objective import LossOptions

Arrays = Mapping[str, NDArray[Any] | None]
"""Arrays (h, w) or (bands, h, w) by the name of their layer; None where no pixel is valid."""
Decoder = Callable[[Finished], Arrays]
"""Finished pixels to the arrays of the layers that are written along with the network."""
Loss = Callable[["Tensor", "Mapping[str, Tensor]"], "Tensor"]
"""The output (N, C, H, W) and the targets by name to a scalar."""
DrawPreview = Callable[[Path, ClassMap, Path, Path | None], None]
"""A function that draws a finished class raster, and the raster of objects if there is one, over its source, to a
file."""


NO_PROGRESS: Shown = partial(Progress, quiet=True)


@dataclass(frozen=True)
class Example:
    """The output of a network for a window of a labelled scene.

    Attributes:
        output: (C, h, w).
        valid: (h, w), where there is data.
        labels: label maps (h, w) by name.
        pixel_m2: area of a pixel; None where that is not known.
    """

    output: NDArray[np.float32]
    valid: NDArray[np.bool_]
    labels: Mapping[str, NDArray[Any]]
    pixel_m2: float | None = None


Examples = Callable[[], Iterable[Example]]
"""Makes examples, one at a time; each call makes the same."""


@dataclass(frozen=True)
class Request:
    """The files that a run is to write.

    Attributes:
        output: the main file: a raster, or of a task with objects the vector file of these, which is in `files` too.
        files: further files, by the name of their option.
        probs_dtype: of probabilities: "uint8" or "float32".
        overwrite: replace what a person made too, such as a style.
        draw_preview: draws the preview, where `files` has one.
        shown: makes the progress of what comes after the network.
        shaping: how polygons of objects are drawn: the fields of `landseg.vector.instance_polygons.InstanceShapes`.
        panoptic_tile: the largest edge in pixels of an image of a panoptic map.
    """

    output: Path
    files: Mapping[str, Path] = field(default_factory=dict)
    probs_dtype: str = "uint8"
    overwrite: bool = False
    draw_preview: DrawPreview | None = None
    shown: Shown = NO_PROGRESS
    shaping: Mapping[str, Any] = field(default_factory=dict)
    panoptic_tile: int = 4096

    @property
    def has_map(self) -> bool:
        """Return whether the main file is a raster, and not the polygons of objects."""
        return self.output != self.files.get("polygons")


@dataclass(frozen=True)
class Agreement:
    """The comparison of two outputs for the same pixels.

    Attributes:
        differs: (n,) booleans: the valid pixels whose result is another.
        ties: (n,) booleans: the valid pixels whose result rounding may turn.
        objects: the number of objects in the second output; None of a task without objects.
        objects_differing: the number of these that do not have the same pixels in the first.
    """

    differs: NDArray[np.bool_]
    ties: NDArray[np.bool_]
    objects: int | None = None
    objects_differing: int = 0


@dataclass(frozen=True)
class Summary:
    """The figures of a model on scenes that were kept out, as its card holds them.

    Attributes:
        overall: figures by name, the headline among them.
        per_class: figures by class name.
        note: a clause about what was counted; may be empty.
    """

    overall: Mapping[str, float]
    per_class: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    note: str = ""


class Measure(Protocol):
    """A count of decoded layers against labels, in strips and over several rasters."""

    def update(
        self,
        layers: Arrays,
        valid: NDArray[np.bool_],
        labels: Mapping[str, NDArray[Any]],
        *,
        at: tuple[int, int] = (0, 0),
        raster: int = 0,
    ) -> None:
        """Add one rectangle.

        Args:
            layers: the layers of `Task.measured` as they are written, (h, w) or (bands, h, w).
            valid: (h, w), where they hold data.
            labels: label maps (h, w) by name.
            at: row and column of the first pixel in its raster.
            raster: the number of the raster, from 0.
        """
        ...

    def figures(self) -> dict[str, float]:
        """Return a few figures, cheaply, the headline among them; nan where a figure means nothing."""
        ...

    def summary(self) -> Summary:
        """Return every figure for the card."""
        ...


class Task(ABC):
    """The meaning of the output of one model.

    Args:
        classes: the model's class table.
        options: the task's own, by name, as the recipe and the card hold them.

    Attributes:
        name: in cards (`Card.task`), recipes and tags.
        headline: the figure that picks the best weights; the larger, the better.
        noun: for the result of a pixel, in sentences.
        files: the further files that a run may be asked for, by the names of their options.
        measured: the names among `files` that are measured beside the main raster.
        label_maps: the label maps that its targets are made of, beside "class".
        takes_views: whether the mean over mirrored views (of the softmax over all channels) is meant for it.
        whole_rows: whether the output is no map of pixels, but what objects are found from in rows of a whole raster.
        found_by: the words of what is found in rows of a whole raster, for sentences.
        has_map: whether the main file of a run is a raster; False: a vector file.
        defaults: the task's options and their usual values.

    Raises:
        ModelError: an option that the task does not have, or a value that means nothing.
    """

    name: ClassVar[str]
    headline: ClassVar[str]
    noun: ClassVar[str] = "result"
    files: ClassVar[tuple[str, ...]] = ()
    measured: ClassVar[tuple[str, ...]] = ()
    label_maps: ClassVar[tuple[str, ...]] = ()
    takes_views: ClassVar[bool] = False
    whole_rows: ClassVar[bool] = False
    found_by: ClassVar[str] = ""
    has_map: ClassVar[bool] = True
    defaults: ClassVar[Mapping[str, Any]] = {}

    def __init__(self, classes: ClassMap, options: Mapping[str, Any]) -> None:
        if unknown := sorted(set(options) - set(self.defaults)):
            known = ", ".join(self.defaults) or "none"
            raise ModelError(f"the task {self.name!r} has no option {', '.join(unknown)}; its options: {known}")
        self.classes, self.options = classes, {**self.defaults, **options}

    def with_options(self, changes: Mapping[str, Any]) -> Self:
        """Return the task with other values of some options.

        Raises:
            ModelError: an option that the task does not have.
        """
        return type(self)(self.classes, {**self.options, **changes}) if changes else self

    @property
    @abstractmethod
    def heads(self) -> Heads:
        """Return the channels of the network's output by name."""

    @property
    def network_options(self) -> Mapping[str, Any]:
        """Return the options of the network that follow from the task; none by default."""
        return {}

    def of_network(self, network: Any, *, device: Any = None) -> Self:
        """Return the task with what it needs of a network beside the output; itself by default.

        Args:
            network: in PyTorch, with its weights.
            device: the device that computes; None is the network's own.

        Raises:
            ModelError: the network is none of the task.
        """
        return self

    def forward(self, network: Any, inputs: Tensor) -> Any:
        """Return what the loss is taken of, for inputs (N, bands, h, w): by default the network's output."""
        return network(inputs)

    def targets(self, labels: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Return the targets of one crop by name, made of its label maps (s, s) after augmentation.

        So a direction, or a distance, is that of the mirrored map and need not be mirrored itself. For the names of
        maps see `landseg.dense.label_maps`; "class" is always there.
        """
        return labels

    def check_loss(self, options: LossOptions) -> None:
        """Raise TrainingError if a recipe asks for losses that the task does not take; each is taken by default."""
        return None

    @abstractmethod
    def loss(self, options: LossOptions, sets: LabelSets, counts: NDArray[np.int64]) -> Loss:
        """Return the loss of an output and the targets of its crops.

        Args:
            options: the recipe's, of the loss over classes.
            sets: the meaning of the values of the label map "class".
            counts: (K,) labelled pixels of each class.
        """

    @abstractmethod
    def layers(self, request: Request) -> list[Layer]:
        """Return the rasters that a run writes, the main one first; each other one by the name of its option.

        Those that are `scratch` lie in the main one's work folder, by names of their own.
        """

    @abstractmethod
    def decoder(self, layers: list[Layer], *, temperature: float = 1.0) -> Decoder:
        """Return the decoder of layers that are written along with the network.

        Args:
            layers: some of `layers`, none of them late.
            temperature: the divisor of logits before they become probabilities.
        """

    def read_measured(self, files: Mapping[str, Path], grid: Grid) -> Arrays:
        """Return what is measured beside rasters, by name, read from the files `measured` of a finished run.

        Args:
            files: by name.
            grid: of the raster that the run was of.
        """
        return {}

    def choose_options(self, given: Mapping[str, Any], examples: Examples) -> tuple[Mapping[str, Any], str]:
        """Return options that suit a network that has learned, and a line that says which and why; none by default.

        Args:
            given: the options that the recipe fixes.
            examples: outputs of the network for scenes that it learned from.
        """
        return {}, ""

    def result(self, output: NDArray[np.float32], valid: NDArray[np.bool_]) -> Arrays:
        """Return the layers that are measured, of an output (C, h, w) in memory.

        A task that makes some of them in `finish` makes them here as well, of the picture alone.
        """
        request = Request(Path("map.tif"), {name: Path(f"{name}.tif") for name in self.measured})
        streamed = [layer for layer in self.layers(request) if not layer.late]
        return self.decoder(streamed)(Finished(Rect(0, 0, *valid.shape), output, valid))

    def main(self, finished: Finished, *, temperature: float = 1.0) -> NDArray[Any] | None:
        """Return the main layer (h, w) of finished pixels; None where no pixel is valid."""
        first = self.layers(Request(Path("map.tif")))[:1]
        return self.decoder(first, temperature=temperature)(finished)[first[0].name]

    def finish(self, outputs: Outputs, request: Request) -> Mapping[str, int]:
        """Write the late layers and the further files, made of the layers that are complete; return what was counted.

        A task without objects counts nothing.
        """
        return {}

    def counts_text(self, counts: Mapping[str, int], *, located: bool) -> str:
        """Return what `finish` counted as a line for the user.

        Args:
            counts: not empty.
            located: whether areas are in square metres, and not in pixels.
        """
        return ", ".join(f"{number:,} {name}" for name, number in counts.items())

    def tags(self) -> dict[str, str]:
        """Return the tags that the task adds to its rasters; names without the prefix of landseg's tags get it."""
        return {"task": self.name}

    @abstractmethod
    def agreement(
        self, one: NDArray[np.float32], other: NDArray[np.float32], valid: NDArray[np.bool_], *, tie: float
    ) -> Agreement:
        """Compare two outputs (C, h, w) where pixels are valid (h, w).

        Args:
            tie: the difference of two channels up to which rounding may order them either way.
        """

    def changed(self, one: NDArray[Any], other: NDArray[Any]) -> NDArray[np.bool_]:
        """Return where two arrays (h, w) of the main layer have another result."""
        differs: NDArray[np.bool_] = one != other
        return differs

    @abstractmethod
    def measure(self) -> Measure:
        """Return a new count of this model's layers against labels."""
