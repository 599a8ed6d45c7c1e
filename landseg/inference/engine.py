"""A model that is ready to run: on its device, in its precision, with its views and the steps of its network."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from landseg.dense.tasks import task_of
from landseg.errors import PlanError
from landseg.geo.grid import Rect
from landseg.models.file import Model
from landseg.models.graph.receptive_field import ReceptiveField, receptive_field
from landseg.runtime.device import set_threads
from landseg.tiling.collect import collect
from landseg.tiling.rows.program import StepProgram, program_of
from landseg.tiling.runner import Runner
from landseg.tiling.stitch import Stitcher, WindowTarget
from landseg.tiling.views import Viewed, Views
from landseg.tiling.windowed import Job


class Engine:
    """A loaded model, ready for any number of rasters.

    Attributes:
        model: the model.
        task: the meaning of its output.
        field: the receptive field of its network.
        runner: its network, on the device and in the precision of the run.
        views: the views of test-time augmentation.
        bytes_per_pixel: of a window, while the network runs on it.
        why_not_streamed: the reason why rows cannot be streamed through the network, as a sentence; None: they can.
    """

    def __init__(
        self,
        model: Model,
        *,
        device: str = "auto",
        precision: str = "auto",
        tta: str = "none",
        threads: int | None = None,
    ) -> None:
        set_threads(threads)
        card = model.card
        self.model, self.task = model, task_of(card)
        if tta != "none" and not self.task.takes_views:
            raise PlanError(
                f"--tta takes the mean of class probabilities over mirrored views, which task {card.task!r} of model "
                f"{card.name} does not have: leave out --tta"
            )
        self.field: ReceptiveField = receptive_field(model.network)
        self.runner = Runner(
            model.network, mean=card.means, std=card.stds, fill=card.fill, device=device, precision=precision
        )
        self.views = Views(tta, stride=self.field.stride, temperature=card.temperature)
        self.bytes_per_pixel = self.runner.bytes_per_pixel()
        self.why_not_streamed: str | None = None
        try:
            self._program: StepProgram | None = program_of(self.runner.network)
        except PlanError as error:
            self._program, self.why_not_streamed = None, str(error)

    @property
    def channels(self) -> int:
        """The number of channels of the network's output, C."""
        return self.model.card.channels

    def program(self) -> StepProgram:
        """Return the network's steps, for streaming rows.

        Raises:
            PlanError: a layer cannot be streamed; it is named.
        """
        if self._program is None:
            raise PlanError(self.why_not_streamed or "the network cannot be streamed")
        return self._program

    def run(self, batch: list[Viewed]) -> NDArray[np.float32]:
        """Return outputs (N, C, h, w) of windows of one shape: of the mean, where they have several views."""
        return self.views.run(self.runner.run, batch)

    def collect(
        self,
        stitcher: Stitcher,
        pixels: NDArray[Any],
        valid: NDArray[np.bool_],
        *,
        batch: int = 1,
    ) -> NDArray[np.float32]:
        """Return the output (C, h, w) of a picture in memory, (bands, h, w) with its validity (h, w)."""

        def read(piece: WindowTarget) -> tuple[Viewed | None, NDArray[np.bool_]]:
            y, x = self.views.reads(piece.window.rect, valid.shape).slices
            prepared = self.runner.prepare(pixels[:, y, x], valid[y, x])
            return self.views.prepared(prepared, piece.window.rect, valid.shape), valid[piece.target.slices]

        job = Job(stitcher, read, self.run, lambda _: {}, batch, 1, 1)
        return collect(job, Rect(0, 0, *valid.shape), self.channels)[0]
