"""The stream: readers -> batches -> network -> stitcher -> writer, each working while the others do.

Reader threads run ahead of the network by a bounded number of windows, the network runs in the caller's thread,
one thread stitches and encodes, one writes and syncs. A fault in any of them stops all and is raised in the
caller's thread.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from landseg.geo.grid import Rect
from landseg.runtime.pipeline import FirstError, Stage
from landseg.tiling.stitch import Finished, Stitcher, WindowRow, WindowTarget

Valid = NDArray[np.bool_]
Arrays = Mapping[str, NDArray[Any] | None]
Written = tuple[str, Any, Any]
"""("pixels", rect, (arrays, valid)) or ("commit", step, None)."""


class Sink(Protocol):
    """A destination of finished pixels; `landseg.output.outputs.Outputs` is one."""

    def write(self, name: str, rect: Rect, pixels: NDArray[Any] | None, valid: Valid | None = None) -> None:
        """Put an array (h, w) or (C, h, w) of a layer at a rectangle; None is nodata."""
        ...

    def commit(self, step: str) -> None:
        """Make everything written so far durable and remember the step."""
        ...


@dataclass(frozen=True)
class Job:
    """Windows that are streamed, and everything that the stream needs for them.

    Attributes:
        stitcher: chooses the windows to compute and makes pixels of them.
        read: returns a piece's prepared window, None where no pixel in it is valid, and the validity of its target.
            The stream reads no attribute of a prepared window but its `shape`.
        run: returns logits (N, K, h, w) of prepared windows of one shape.
        encode: turns finished pixels into arrays by layer.
        batch: windows for one call of `run`; always of one strip and one size.
        workers: reader threads.
        ahead: windows that may be read and not yet computed.
        origin: (top, left) of the output in the source's pixels.
        progress: called with the number of source pixels that are written.
    """

    stitcher: Stitcher
    read: Callable[[WindowTarget], tuple[Any | None, Valid]]
    run: Callable[[list[Any]], NDArray[np.float32]]
    encode: Callable[[Finished], Arrays]
    batch: int = 1
    workers: int = 1
    ahead: int = 2
    origin: tuple[int, int] = (0, 0)
    progress: Callable[[int], None] = lambda pixels: None


def stream(job: Job, sink: Sink, *, done: Collection[str] = ()) -> None:
    """Run every step that is not done and commit each to the sink.

    Raises:
        Whatever any stage raises; nothing is committed after it.
    """
    fault = FirstError()
    writer = Stage[Written]("write", lambda item: write(item, sink, job.origin, job.progress), fault, size=2)
    stitch = Stage[tuple[str, Any, Any, Any]](
        "stitch", lambda item: _stitch(item, job, writer), fault, size=job.batch
    )
    readers = ThreadPoolExecutor(job.workers, thread_name_prefix="landseg-read")
    try:
        for kind, subject, window, valid in _batches(job, _read_ahead(job, readers, done)):
            stitch.put((kind, subject, window, valid))
        stitch.close()
        writer.close()
    finally:
        fault.stop()
        readers.shutdown(wait=True, cancel_futures=True)
        stitch.join()
        writer.join()
    fault.check()


def _read_ahead(
    job: Job, readers: ThreadPoolExecutor, done: Collection[str]
) -> Iterator[tuple[WindowRow | None, WindowTarget | None, Future[tuple[Any | None, Valid]] | None]]:
    """Yield (step, None, None) to open a step, (None, piece, read) for each window, (None, None, None) to close it.

    Reads are started `ahead` windows early, across steps.
    """
    waiting: deque[Any] = deque()
    reading = 0
    for step in job.stitcher.steps(done):
        waiting.append((step, None, None))
        for piece in step.pieces:
            waiting.append((None, piece, readers.submit(job.read, piece)))
            reading += 1
            while reading > job.ahead:
                entry = waiting.popleft()
                reading -= entry[2] is not None
                yield entry
        waiting.append((None, None, None))
    yield from waiting


def _batches(job: Job, entries: Iterator[Any]) -> Iterator[tuple[str, Any, Any, Any]]:
    """Yield messages for the stitching thread; the network runs in here."""
    pending: list[tuple[WindowTarget, Any, Valid]] = []
    current: WindowRow | None = None
    for step, piece, future in entries:
        if future is None:
            yield from _computed(job, pending)
            pending = []
            if step is not None:
                current = step
            yield ("end" if step is None else "begin", current, None, None)
            continue
        prepared, valid = future.result()
        if prepared is None:
            yield "piece", piece, None, valid
            continue
        if pending and (len(pending) == job.batch or pending[0][1].shape != prepared.shape):
            yield from _computed(job, pending)
            pending = []
        pending.append((piece, prepared, valid))


def _computed(job: Job, pending: list[tuple[WindowTarget, Any, Valid]]) -> Iterator[tuple[str, Any, Any, Any]]:
    if pending:
        logits = job.run([prepared for _, prepared, _ in pending])
        for (piece, _, valid), one in zip(pending, logits, strict=True):
            yield "piece", piece, one, valid


def _stitch(item: tuple[str, Any, Any, Any], job: Job, writer: Stage[Written]) -> None:
    kind, subject, logits, valid = item
    finished: Iterator[Finished] = iter(())
    if kind == "begin":
        job.stitcher.begin(subject)
    elif kind == "piece":
        finished = job.stitcher.add(subject, logits, valid)
    else:
        finished = job.stitcher.end(subject)
    for pixels in finished:
        writer.put(("pixels", pixels.rect, (job.encode(pixels), np.array(pixels.valid))))
    if kind == "end" and subject.kept:
        writer.put(("commit", subject.name, None))


def write(item: Written, sink: Sink, origin: tuple[int, int], progress: Callable[[int], None]) -> None:
    """Write pixels into the sink, whose first pixel is the source's ``origin``, or commit: the last stage's work."""
    kind, subject, content = item
    if kind == "commit":
        sink.commit(subject)
        return
    arrays, valid = content
    rect = subject.shifted(-origin[0], -origin[1])
    for name, array in arrays.items():
        sink.write(name, rect, array, None if array is None else valid)
    progress(rect.area)
