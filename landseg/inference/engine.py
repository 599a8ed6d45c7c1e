"""A model that is ready to run: its task, its views, and the executor of its network."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from landseg.dense.task import Task
from landseg.dense.tasks import task_of
from landseg.errors import PlanError
from landseg.geo.grid import Rect
from landseg.models.card import Card
from landseg.tiling.collect import collect
from landseg.tiling.executor import Executor, NetworkField
from landseg.tiling.stitch import Stitcher, WindowTarget
from landseg.tiling.views import Viewed, Views
from landseg.tiling.windowed import Job


class Engine:
    """A model and the executor of its network, ready for any number of rasters.

    Args:
        card: of the model.
        executor: of its network.
        tta: the test-time augmentation: "none", "flips" or "d4".
        note: the reason why the executor computes with its runtime; None where an option names it.
        task: the model's, where it has more than the card of its network.

    Attributes:
        task: the meaning of the network's output.
        views: the views of test-time augmentation.
        bytes_per_pixel: of a window, while the network runs on it.

    Raises:
        PlanError: the task takes no views.
    """

    def __init__(
        self, card: Card, executor: Executor, *, tta: str = "none", note: str | None = None, task: Task | None = None
    ) -> None:
        self.card, self.executor, self.note = card, executor, note
        self.task = task or task_of(card)
        if tta != "none" and not self.task.takes_views:
            raise PlanError(
                f"--tta takes the mean of class probabilities over mirrored views, which task {card.task!r} of model "
                f"{card.name} does not have: leave out --tta"
            )
        self.views = Views(tta, stride=self.field.stride, temperature=card.temperature)
        self.bytes_per_pixel = executor.bytes_per_pixel()

    @property
    def field(self) -> NetworkField:
        """The receptive field of the network."""
        return self.executor.field

    @property
    def channels(self) -> int:
        """The number of channels of the network's output, C."""
        return self.card.channels

    @property
    def facts(self) -> dict[str, Any]:
        """The facts of `Prediction` on where and how the network computes, by name."""
        executor = self.executor
        return {
            "precision": executor.precision,
            "precision_note": executor.precision_note,
            "device": executor.device_name,
            "runtime": executor.runtime,
            "runtime_note": self.note,
        }

    def run(self, batch: list[Viewed]) -> NDArray[np.float32]:
        """Return outputs (N, C, h, w) of windows of one shape: of the mean, where they have several views."""
        return self.views.run(self.executor.run, self.executor.mean_of_views, batch)

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
            prepared = self.executor.prepare(pixels[:, y, x], valid[y, x])
            return self.views.prepared(prepared, piece.window.rect, valid.shape), valid[piece.target.slices]

        job = Job(stitcher, read, self.run, lambda _: {}, batch, 1, 1)
        return collect(job, Rect(0, 0, *valid.shape), self.channels)[0]
