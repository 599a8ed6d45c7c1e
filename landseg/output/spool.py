"""Features on disk in the order in which they came, from which a vector file is then written as a stream."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import shapely
from numpy.typing import NDArray

from landseg.errors import VectorError
from landseg.runtime.disk import disk_errors

GEOMETRY = "geometry"
BATCH_ROWS, BATCH_POINTS = 50_000, 4_000_000
"""Features and their corners that are encoded at a time, at most; a single shape may have more corners."""
_WKB_BYTES = (1 << 31) - (1 << 20)  # what one value of Arrow's binary columns, and most readers, can hold

Columns = Mapping[str, NDArray[Any]]


class Spool:
    """Shapes as WKB with their columns, in an Arrow stream that grows.

    Memory is that of one batch. Some formats can only be written in one go, no format needs the number of features
    before they come, and a file that is written only when all are there cannot be half-written.

    Sentences about the disk name the file ``called``, where `path` is not a name that users know.

    Attributes:
        bounds: (left, bottom, right, top) of all of them; nan while there are none.
    """

    def __init__(self, path: Path, fields: Mapping[str, str], *, called: Path | None = None) -> None:
        self.path, self._called, self._written = path, called or path, 0
        self._waiting: tuple[dict[str, NDArray[Any]], NDArray[np.object_]] | None = None
        self.bounds = np.array([np.nan] * 4)
        extension = {"ARROW:extension:name": "geoarrow.wkb"}
        columns = [pa.field(name, pa.type_for_alias(kind)) for name, kind in fields.items()]
        self.schema = pa.schema([*columns, pa.field(GEOMETRY, pa.binary(), metadata=extension)])
        with disk_errors(self._called):
            self._sink = pa.OSFile(str(path), "wb")
        self._stream: Any = pa.ipc.new_stream(self._sink, self.schema)

    def add(self, columns: Columns, shapes: NDArray[np.object_]) -> None:
        """Append features; ``columns`` hold a value a shape for each of the fields.

        Raises:
            VectorError: one shape is larger than 2 GB.
            OutputError: the disk is full.
        """
        if self._waiting is not None:
            earlier, before = self._waiting
            columns = {name: np.concatenate([earlier[name], values]) for name, values in columns.items()}
            shapes = np.concatenate([before, shapes])
        points = np.cumsum(shapely.get_num_coordinates(shapes))
        start = 0
        while True:  # batches end where they would if everything had come at once: equal features, equal bytes
            limit = BATCH_POINTS + (int(points[start - 1]) if start else 0)
            end = max(start + 1, min(start + BATCH_ROWS, int(np.searchsorted(points, limit, "right"))))
            if end >= len(shapes):
                break
            self._append({name: values[start:end] for name, values in columns.items()}, shapes[start:end])
            start = end
        self._waiting = {name: values[start:] for name, values in columns.items()}, shapes[start:]

    @property
    def count(self) -> int:
        """The number of features so far."""
        return self._written + (0 if self._waiting is None else len(self._waiting[1]))

    def close(self) -> None:
        """Finish the stream, to which no feature can be added any more."""
        if self._waiting is not None and len(self._waiting[1]):
            self._append(*self._waiting)
        self._waiting = None
        self._stream.close()
        with disk_errors(self._called):
            self._sink.close()

    def batches(self) -> Any:
        """Return the features of a closed spool as a pyarrow.RecordBatchReader, which holds one batch at a time."""
        return pa.ipc.open_stream(pa.OSFile(str(self.path), "rb"))

    def _append(self, columns: Columns, shapes: NDArray[np.object_]) -> None:
        encoded = shapely.to_wkb(shapes)
        if len(shapes) == 1 and len(encoded[0]) > _WKB_BYTES:
            raise VectorError(
                "one shape is larger than 2 GB, which no vector format holds: export a part of the map (--aoi)"
                ", simplify, or leave --dissolve out"
            )
        kinds = {name: self.schema.field(name).type for name in self.schema.names[:-1]}
        arrays = [pa.array(columns[name], kind, from_pandas=True) for name, kind in kinds.items()]  # nan: null
        batch = pa.record_batch([*arrays, pa.array(encoded, pa.binary())], schema=self.schema)
        with disk_errors(self._called):
            self._stream.write_batch(batch)
        self._written += len(shapes)
        every = np.stack([self.bounds, shapely.total_bounds(shapes)])
        self.bounds = np.concatenate([np.fmin(*every)[:2], np.fmax(*every)[2:]])


def renamed(reader: Any, names: Mapping[str, str]) -> Any:
    """Return a stream of batches with other names of columns; those that are not in ``names`` stay."""
    fields = [field.with_name(names.get(field.name, field.name)) for field in reader.schema]
    schema = pa.schema(fields)

    def each() -> Iterator[Any]:
        for batch in reader:
            yield pa.record_batch(batch.columns, schema=schema)

    return pa.RecordBatchReader.from_batches(schema, each())
