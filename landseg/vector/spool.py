"""Features on disk, in the order in which they came: what a vector file is then written from as a stream."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import shapely
from numpy.typing import NDArray

from landseg.errors import VectorError
from landseg.geo.store import disk_errors

GEOMETRY = "geometry"
BATCH_POINTS = 4_000_000
"""Corners that are encoded at a time; a single shape may have more."""
_WKB_BYTES = (1 << 31) - (1 << 20)  # what one value of Arrow's binary columns, and most readers, can hold

Columns = Mapping[str, NDArray[Any]]


class Spool:
    """Shapes as WKB with their columns, in an Arrow stream that grows.

    Memory is that of one batch. Some formats can only be written in one go, none needs to know how many features
    come, and what is written only when all are there cannot be half-written.

    Attributes:
        count: features so far.
        bounds: (left, bottom, right, top) of all of them; nan while there are none.
    """

    def __init__(self, path: Path, fields: Mapping[str, str]) -> None:
        self.path, self.count = path, 0
        self.bounds = np.array([np.nan] * 4)
        extension = {"ARROW:extension:name": "geoarrow.wkb"}
        columns = [pa.field(name, pa.type_for_alias(kind)) for name, kind in fields.items()]
        self.schema = pa.schema([*columns, pa.field(GEOMETRY, pa.binary(), metadata=extension)])
        with disk_errors(path):
            self._sink = pa.OSFile(str(path), "wb")
        self._stream: Any = pa.ipc.new_stream(self._sink, self.schema)

    def add(self, columns: Columns, shapes: NDArray[np.object_]) -> None:
        """Appends features; ``columns`` hold a value a shape for each of the fields.

        Raises:
            VectorError: one shape is larger than 2 GB.
            OutputError: the disk is full.
        """
        points = np.cumsum(shapely.get_num_coordinates(shapes))
        start = 0
        while start < len(shapes):
            before = points[start - 1] if start else 0
            end = max(start + 1, int(np.searchsorted(points, before + BATCH_POINTS, "right")))
            self._append({name: values[start:end] for name, values in columns.items()}, shapes[start:end])
            start = end

    def close(self) -> None:
        """Finishes the stream; nothing can be added any more."""
        self._stream.close()
        with disk_errors(self.path):
            self._sink.close()

    def batches(self) -> Any:
        """The features as a pyarrow.RecordBatchReader, once closed; it holds one batch at a time."""
        return pa.ipc.open_stream(pa.OSFile(str(self.path), "rb"))

    def _append(self, columns: Columns, shapes: NDArray[np.object_]) -> None:
        encoded = shapely.to_wkb(shapes)
        if len(shapes) == 1 and len(encoded[0]) > _WKB_BYTES:
            raise VectorError(
                "one shape is larger than 2 GB, which no vector format holds: export a part of the map (--aoi)"
                ", simplify, or leave --dissolve out"
            )
        arrays = [pa.array(columns[name], self.schema.field(name).type) for name in self.schema.names[:-1]]
        batch = pa.record_batch([*arrays, pa.array(encoded, pa.binary())], schema=self.schema)
        with disk_errors(self.path):
            self._stream.write_batch(batch)
        self.count += len(shapes)
        every = np.stack([self.bounds, shapely.total_bounds(shapes)])
        self.bounds = np.concatenate([np.fmin(*every)[:2], np.fmax(*every)[2:]])


def renamed(reader: Any, names: Mapping[str, str]) -> Any:
    """The same stream of batches with other names of columns; those that are not in ``names`` stay."""
    fields = [field.with_name(names.get(field.name, field.name)) for field in reader.schema]
    schema = pa.schema(fields)

    def each() -> Iterator[Any]:
        for batch in reader:
            yield pa.record_batch(batch.columns, schema=schema)

    return pa.RecordBatchReader.from_batches(schema, each())
