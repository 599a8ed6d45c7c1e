"""`--json-lines`: one line of JSON on standard output for each raster, as soon as it is finished."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from . import console

if TYPE_CHECKING:
    from landseg.inference.prediction import Failure, Prediction


class JsonLines:
    """The printer of a line for each raster, also for a failed one, and of a last line with the sums.

    Every line has a `status`: "done", "skipped", "planned" or "failed", the last line "summary". What ends the whole
    run, such as a model that does not fit, is a failed line of no raster. A run that is interrupted has no summary.
    """

    def __init__(self) -> None:
        self._stream = sys.stdout  # before it is redirected
        self._counts: Counter[str] = Counter()
        self._pixels, self._start = 0, time.monotonic()

    def finished(self, result: Prediction | Failure, number: int, count: int) -> None:
        """Print the result of a raster."""
        self._pixels += getattr(result, "pixels", 0)
        self._print(result.status, {"number": number, "count": count, **result.to_json()})

    def _print(self, status: str, record: Mapping[str, Any]) -> None:
        self._counts[status] += 1
        console.print_json({"status": status, **record}, self._stream)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None and not isinstance(error, Exception):
            return
        if error is not None:
            self._print("failed", {"sources": [], "error": " ".join(str(error).split())})
        counts = {status: self._counts[status] for status in ("done", "skipped", "planned", "failed")}
        seconds = round(time.monotonic() - self._start, 3)
        self._print("summary", {**counts, "pixels": self._pixels, "seconds": seconds})
