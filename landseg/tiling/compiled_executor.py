"""A network that was compiled for ONNX Runtime: on windows, and on rows that stream through its sections."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from landseg.geo.grid import Rect
from landseg.tiling.costs import MIB
from landseg.tiling.executor import NetworkField, NoCopies, RowStream, chosen_note, seconds_of
from landseg.tiling.scaling import Scaling
from landseg.tiling.stream_plan import Memory, StreamPlan
from landseg.tiling.views import mean_of_views

Array = NDArray[np.float32]
# What the arena holds beyond the values that are alive: measured at 4,096 to 65,536 columns (predict.py --rss).
_HELD = 1.15


class Compiled(Protocol):
    """A compiled network as its executor needs it."""

    @property
    def period(self) -> int:
        """The number of output rows after which the pattern of streaming repeats."""
        ...

    @property
    def why_not_streamed(self) -> str | None:
        """The reason why rows cannot be streamed, as a sentence; None: they can."""
        ...

    @property
    def bytes_per_pixel(self) -> float:
        """The bytes that a window needs for each of its pixels."""
        ...

    def run(self, images: Array) -> Array:
        """Return logits (N, C, h, w) of images (N, bands, h, w)."""
        ...

    def rows(self, shape: tuple[int, int], *, region: Rect | None, strip: int) -> RowStream:
        """Return one pass over a region of a raster of (height, width) pixels."""
        ...

    def plan(self, shape: tuple[int, int], *, limit: float, region: Rect | None, strip: int | None) -> StreamPlan:
        """Return the strips and blocks of a stream that takes ``limit`` bytes at most."""
        ...


class CompiledExecutor:
    """An executor (see `landseg.tiling.executor.Executor`) that computes in float32 on the processor.

    Args:
        network: returns the compiled network for a number of threads.
        field: the receptive field of the network.
        scaling: of its bands.
        threads: that compute.
        chosen: whether the precision was left to this processor ("auto").
    """

    runtime, precision, device_name = "onnx", "fp32", "cpu"
    item_bytes = 4
    base = 352.0 * MIB
    kept = 1.0

    def __init__(
        self,
        network: Callable[[int], Compiled],
        field: NetworkField,
        scaling: Scaling,
        *,
        threads: int,
        chosen: bool = False,
    ) -> None:
        self._make, self._network, self._threads = network, network(threads), threads
        self._scaling, self._chosen = scaling, chosen
        self.field, self.bands = field, scaling.bands

    @property
    def precision_note(self) -> str | None:
        """The sentence that another processor may give another map; None where the precision was given."""
        return chosen_note(self.precision, self.device_name) if self._chosen else None

    @property
    def threads(self) -> int:
        """The number of threads that compute."""
        return self._threads

    @threads.setter
    def threads(self, count: int) -> None:
        if count != self._threads:
            self._network, self._threads = self._make(count), count

    def prepare(self, pixels: NDArray[Any], valid: NDArray[np.bool_]) -> Array:
        """Return scaled pixels (1, bands, h, w), band after band, of raw ones (bands, h, w)."""
        return self._scaling.planar(pixels, valid)

    def run(self, batch: Sequence[Array]) -> Array:
        """Return logits (N, C, h, w) of N prepared windows of one size."""
        images = batch[0] if len(batch) == 1 else np.concatenate(batch)
        return self._network.run(np.ascontiguousarray(images))

    def mean_of_views(self, views: Iterable[Array], temperature: float) -> Array:
        """Return the logits (N, C, h, w) of the mean probability over views."""
        return mean_of_views(views, temperature)

    def keep_memory(self, keep: bool = True) -> None:
        """Leave memory as it is: the sessions share an arena of their own, which keeps what it took."""

    def bytes_per_pixel(self) -> float:
        """Return the bytes that a window needs for each of its pixels."""
        return self._network.bytes_per_pixel

    def device_bytes(self) -> float | None:
        """Return None: the network runs in the process's own memory."""
        return None

    def seconds(self, height: int, width: int, *, batch: int = 1) -> float:
        """Return the seconds of one forward pass of a warm network at this size."""
        return seconds_of(self, height, width, batch=batch)

    @property
    def why_not_streamed(self) -> str | None:
        """The reason why rows cannot be streamed, as a sentence; None: they can."""
        return self._network.why_not_streamed

    @property
    def period(self) -> int:
        """The number of output rows after which the pattern of streaming repeats."""
        return self._network.period

    def computing(self, *, too_little: str) -> AbstractContextManager[None]:
        """Return a context that changes nothing."""
        return nullcontext()

    def copies(self) -> NoCopies:
        """Return the copies of one stream: none."""
        return NoCopies()

    def rows(
        self, shape: tuple[int, int], *, strip: int, region: Rect | None = None, chunk: int | None = None
    ) -> RowStream:
        """Return one pass over a region of a raster of (height, width) pixels; it has no chunks."""
        return self._network.rows(shape, region=region, strip=strip)

    def plan_rows(
        self, shape: tuple[int, int], *, limit: float, region: Rect | None = None, strip: int | None = None
    ) -> StreamPlan:
        """Return the strips and blocks of a stream over a region that allocates ``limit`` bytes at most."""
        return self._network.plan(shape, limit=limit, region=region, strip=strip)

    def allocated(self, memory: Memory) -> float:
        """Return the bytes that the process takes for a stream whose plan counts these."""
        return _HELD * memory.total
