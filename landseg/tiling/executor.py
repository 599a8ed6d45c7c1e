"""Executor: a network that is ready to run, whichever library computes it.

Plans, strategies, stitching and writing know an executor alone. What it prepares, sends and computes is opaque to
them: PyTorch's executor has tensors there, that of ONNX Runtime arrays.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from landseg.geo.grid import Rect
from landseg.tiling.plan import Field
from landseg.tiling.stream_plan import Memory, StreamPlan

Array = NDArray[np.float32]


class NetworkField(Field, Protocol):
    """A receptive field as strategies need it: that of the plan, and the halo of exact results."""

    @property
    def halo(self) -> int | None: ...


class RowStream(Protocol):
    """One pass over a region of a raster: strips of prepared rows go in, finished rows of logits come out."""

    @property
    def reads(self) -> Rect:
        """The rectangle of the raster to push, from its first row to its last."""
        ...

    @property
    def region(self) -> Rect:
        """The logits to compute."""
        ...

    @property
    def due(self) -> int:
        """The row up to which logits are out or on their way."""
        ...

    def push(self, pixels: Any) -> list[tuple[int, Any]]:
        """Take the next rows (1, bands, any height, ``reads.width``) and return the finished logits, in order.

        Each item is the raster's row, and logits (1, C, rows, ``region.width``) from it on.
        """
        ...

    def rest(self) -> list[tuple[int, Any]]:
        """Return the logits that are on their way; nothing can be pushed any more."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None: ...


class Copies(Protocol):
    """Copies between the process's memory and the network's device."""

    def send(self, pixels: Any) -> Any:
        """Start to copy prepared pixels to the device; in any thread."""
        ...

    def receive(self, sent: Any) -> Any:
        """Return the pixels that were sent, in the network's thread."""
        ...

    def fetch(self, logits: Any) -> Any:
        """Start to copy logits back; in the network's thread."""
        ...

    def fetched(self, coming: Any) -> Array:
        """Wait for the logits that were fetched and return them; in any thread."""
        ...


class NoCopies:
    """The copies of a network that computes in the process's own memory: none."""

    def send(self, pixels: Array) -> Array:
        """Return the pixels, row after row in memory."""
        return np.ascontiguousarray(pixels)

    def receive(self, sent: Array) -> Array:
        """Return the pixels."""
        return sent

    def fetch(self, logits: Array) -> Array:
        """Return the logits."""
        return logits

    def fetched(self, coming: Array) -> Array:
        """Return the logits."""
        return coming


class WindowRunner(Protocol):
    """A network that is ready to run on windows."""

    @property
    def bands(self) -> int: ...

    def prepare(self, pixels: NDArray[Any], valid: NDArray[np.bool_]) -> Any:
        """Return scaled pixels (1, bands, h, w) of raw ones (bands, h, w), for `run`, rows and views."""
        ...

    def run(self, batch: Sequence[Any]) -> Array:
        """Return the output (N, C, h, w) of N prepared windows of one size."""
        ...


class Executor(WindowRunner, Protocol):
    """A network that is ready to run on windows and, where it can be streamed, on rows.

    Attributes:
        runtime: the library that computes: "torch" or "onnx".
        precision: the floating-point format: "fp32", "bf16" or "fp16".
        bands: of the network's input.
        field: the receptive field of the network.
        why_not_streamed: the reason why rows cannot be streamed through the network, as a sentence; None: they can.
        base: bytes that the process holds before its first window, where it holds no more than usual.
        kept: how much more a window takes where freed memory is kept.
    """

    @property
    def runtime(self) -> str: ...
    @property
    def precision(self) -> str: ...
    @property
    def field(self) -> NetworkField: ...
    @property
    def why_not_streamed(self) -> str | None: ...
    @property
    def base(self) -> float: ...
    @property
    def kept(self) -> float: ...

    @property
    def device_name(self) -> str:
        """The device: "cpu", "cuda" or "mps"."""
        ...

    @property
    def precision_note(self) -> str | None:
        """The sentence that another processor may give another map; None where the precision was given."""
        ...

    @property
    def item_bytes(self) -> int:
        """The bytes of one number in the network's precision."""
        ...

    @property
    def threads(self) -> int:
        """The number of threads that compute."""
        ...

    @threads.setter
    def threads(self, count: int) -> None: ...

    def mean_of_views(self, views: Iterable[Array], temperature: float) -> Array:
        """Return the logits of the mean probability over views, see `landseg.tiling.views.Views`."""
        ...

    def keep_memory(self, keep: bool = True) -> None:
        """Keep memory that a layer frees for the next one, where that is a choice; False gives it back."""
        ...

    def bytes_per_pixel(self) -> float:
        """Return the bytes that a forward pass needs for each input pixel, with a margin."""
        ...

    def device_bytes(self) -> float | None:
        """Return the bytes that windows may take on the device; None where that is the process's own memory."""
        ...

    def seconds(self, height: int, width: int, *, batch: int = 1) -> float:
        """Return the seconds of one forward pass of a warm network at this size."""
        ...

    @property
    def period(self) -> int:
        """The number of output rows after which the pattern of streaming repeats."""
        ...

    def computing(self, *, too_little: str) -> AbstractContextManager[None]:
        """Let the device compute inside as a processor does; see `landseg.runtime.device.computing`."""
        ...

    def copies(self) -> Copies:
        """Return the copies to the device of one stream, and back."""
        ...

    def rows(
        self, shape: tuple[int, int], *, strip: int, region: Rect | None = None, chunk: int | None = None
    ) -> RowStream:
        """Return one pass over a region of a raster of (height, width) pixels; None is all of it.

        Raises:
            PlanError: the network cannot be streamed, or the raster is too small for it.
        """
        ...

    def plan_rows(
        self, shape: tuple[int, int], *, limit: float, region: Rect | None = None, strip: int | None = None
    ) -> StreamPlan:
        """Return the strips and blocks of a stream over a region that allocates ``limit`` bytes at most.

        Raises:
            PlanError: the network cannot be streamed, or nothing fits.
        """
        ...

    def allocated(self, memory: Memory) -> float:
        """Return the bytes that the process takes for a stream whose plan counts these."""
        ...


def chosen_note(precision: str, device: str) -> str:
    """Return the sentence that "auto" chose a precision, and may choose another elsewhere."""
    where = "GPU" if device == "cuda" else "processor"
    return (
        f"--precision auto chose {precision} for this {where}; another may choose otherwise and give "
        "another map, --precision fp32 keeps them alike"
    )


def seconds_of(executor: WindowRunner, height: int, width: int, *, batch: int = 1) -> float:
    """Return the seconds of one forward pass of a warm network at this size."""
    valid = np.zeros((height, width), np.bool_)
    images = [executor.prepare(np.zeros((executor.bands, height, width), np.uint8), valid)] * batch
    executor.run(images)
    start = time.perf_counter()
    executor.run(images)
    return time.perf_counter() - start
