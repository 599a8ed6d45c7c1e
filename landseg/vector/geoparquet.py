"""GeoParquet 1.1, written in row groups: WKB, the CRS as PROJJSON, boxes by which parts can be skipped."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pyproj
import shapely

from landseg.vector.spool import GEOMETRY, Spool

_BOX = ("xmin", "ymin", "xmax", "ymax")
_BOX_TYPE = pa.struct([(side, pa.float64()) for side in _BOX])


def write_geoparquet(spool: Spool, path: Path, *, crs: pyproj.CRS | None, kind: str) -> None:
    """Writes a spool's features, a row group a batch; one is in memory. Column ``bbox`` holds the box of each."""
    reader = spool.batches()
    schema = pa.schema([*list(reader.schema)[:-1], pa.field("bbox", _BOX_TYPE), pa.field(GEOMETRY, pa.binary())])
    schema = schema.with_metadata({"geo": json.dumps(metadata(spool, crs=crs, kind=kind))})
    with parquet.ParquetWriter(path, schema, compression="zstd") as writer:
        for batch in reader:
            wkb = batch.column(batch.num_columns - 1)
            boxes = shapely.bounds(shapely.from_wkb(wkb.to_numpy(zero_copy_only=False))).T
            box = pa.StructArray.from_arrays([pa.array(np.ascontiguousarray(side)) for side in boxes], list(_BOX))
            columns = [*batch.columns[:-1], box, wkb.cast(pa.binary())]
            writer.write_batch(pa.record_batch(columns, schema=schema))


def metadata(spool: Spool, *, crs: pyproj.CRS | None, kind: str) -> dict[str, Any]:
    """What the specification wants to know of the file; without a CRS it says that none is known."""
    column: dict[str, Any] = {
        "encoding": "WKB",
        "geometry_types": [kind],
        "crs": None if crs is None else crs.to_json_dict(),
        "edges": "planar",
        "covering": {"bbox": {side: ["bbox", side] for side in _BOX}},
    }
    if kind.endswith("Polygon"):
        column["orientation"] = "counterclockwise"
    if spool.count:
        column["bbox"] = spool.bounds.tolist()
    return {"version": "1.1.0", "primary_column": GEOMETRY, "columns": {GEOMETRY: column}}
