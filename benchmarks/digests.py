"""Digests of output files: of the decoded content, in named parts, and of the raw bytes where they are reproducible.

The content of a GeoTIFF is its pixels, grid, bands, layout and tags, of a vector file its fields and features, of a
model file its tensors and its card. Content leaves out dates, durations, absolute folders, landseg's version and the
signature of a run, which is made from these; raw bytes leave out the signature alone. So a new version number changes
the raw bytes of many files, and the content of none.
"""

from __future__ import annotations

import hashlib
import json
import re
import zipfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

Parts = dict[str, str]
"""Digests by the name of a part."""

PER_RUN_KEYS = frozenset({"seconds", "LANDSEG_VERSION", "LANDSEG_SIGNATURE"})
"""Keys of JSON objects and tags whose values belong to one run or to one version of landseg."""
PER_RUN_COLUMN = "seconds"
"""The column of a CSV file that holds durations."""

_DATE = re.compile(r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?")
_FOLDER = re.compile(r"(?<![\w.:/<])/(?:[\w.~ -]+/)+")
_SIGNATURE = re.compile(rb"(LANDSEG_SIGNATURE[^>]*>)[0-9a-f]{64}")  # of a run's inputs, with their folders
_ABSOLUTE = re.compile(rb"path[^:]{1,14}: [^/:]{1,14}/")  # in a tag: other bytes in every folder
_VERSION = re.compile(r"\blandseg \d+\.\d+(?:\.\w+)*")


def digest(*parts: bytes | str) -> str:
    """Return 16 hexadecimal digits that are equal for equal ``parts``."""
    found = hashlib.sha256()
    for part in parts:
        raw = part.encode() if isinstance(part, str) else part
        found.update(len(raw).to_bytes(8, "little") + raw)
    return found.hexdigest()[:16]


def plain_text(text: str) -> str:
    """Return ``text`` without dates, absolute folders and landseg's version.

    >>> plain_text("landseg 0.1.0 read /tmp/run-1/scene.tif of 2026-11-29T14:51:08.583112+00:00")
    'landseg VERSION read scene.tif of DATE'
    """
    return _VERSION.sub("landseg VERSION", _FOLDER.sub("", _DATE.sub("DATE", text)))


def plain_json(value: Any) -> Any:
    """Return a JSON value without the keys and the parts of strings that belong to one run."""
    if isinstance(value, Mapping):
        return {key: plain_json(item) for key, item in value.items() if not _of_one_run(key, item)}
    if isinstance(value, list | tuple):
        return [plain_json(item) for item in value]
    return _plain_string(value) if isinstance(value, str) else value


def digest_json(text: str) -> str:
    """Return the digest of JSON text, or of lines of JSON, with the order of the keys."""
    values = [json.loads(line) for line in text.splitlines()] if _is_json_lines(text) else [json.loads(text)]
    return digest(*(json.dumps(plain_json(value)) for value in values))


def digest_file(path: Path) -> Parts:
    """Return the digests of one file: the parts of its content, and ``bytes`` where these are reproducible."""
    content = _CONTENT.get(path.suffix.lower())
    parts = content(path) if content else {}
    raw = _reproducible(path)
    return parts if raw is None else {**parts, "bytes": digest(raw)}


def _reproducible(path: Path) -> bytes | None:
    """Return the bytes of a file, the signature of the run blanked, or None where they hold a date,
    a duration or an absolute path."""
    raw = path.read_bytes()
    if path.suffix == ".xlsx" or (path.suffix == ".csv" and PER_RUN_COLUMN.encode() in raw.split(b"\n", 1)[0]):
        return None
    if path.suffix != ".tif":
        return raw
    return None if _ABSOLUTE.search(raw) else _SIGNATURE.sub(rb"\1", raw)


def _of_one_run(key: str, item: Any) -> bool:
    version = key == "landseg" and isinstance(item, str) and re.fullmatch(r"\d+\.\d+[.\w]*", item)  # else the card
    return key in PER_RUN_KEYS or bool(version)


def _plain_string(text: str) -> str:
    try:
        value = json.loads(text)
    except ValueError:
        return plain_text(text)
    return json.dumps(plain_json(value)) if isinstance(value, dict | list) else text


def _is_json_lines(text: str) -> bool:
    lines = text.splitlines()
    return len(lines) > 1 and all(line.startswith("{") and line.endswith("}") for line in lines)


def _raster(path: Path) -> Parts:
    import rasterio

    with rasterio.open(path) as raster:
        namespaces = [None, *sorted(set(raster.tag_namespaces()) - {"DERIVED_SUBDATASETS"})]
        tags = [raster.tags(at, ns=space) for at in (0, *raster.indexes) for space in namespaces]
        bands = [
            raster.descriptions, raster.nodatavals, raster.scales, raster.offsets, raster.units, raster.dtypes,
            [color.name for color in raster.colorinterp], [_colors(raster, at) for at in raster.indexes],
        ]  # fmt: skip
        layout = [raster.block_shapes, raster.compression, raster.interleaving, raster.photometric]
        levels = [raster.overviews(at) for at in raster.indexes]
        crs = raster.crs.to_wkt() if raster.crs else ""
        parts = {
            "pixels": digest(np.ascontiguousarray(raster.read()).tobytes()),
            "validity": digest(raster.dataset_mask().tobytes()),
            "grid": digest(crs, repr((tuple(raster.transform), raster.shape, raster.count))),
            "bands": digest(repr(bands)),
            "layout": digest(repr((layout, levels))),
            "tags": digest(json.dumps(plain_json(tags), sort_keys=True)),
        }
    if any(levels):
        parts["overviews"] = digest(*_overviews(path, len(levels[0])))
    return parts


def _colors(raster: Any, band: int) -> Any:
    try:
        return raster.colormap(band)
    except ValueError:  # no colour table
        return None


def _overviews(path: Path, levels: int) -> Iterable[bytes]:
    import rasterio

    for level in range(levels):
        with rasterio.open(path, OVERVIEW_LEVEL=level) as overview:
            yield np.ascontiguousarray(overview.read()).tobytes()


def _vector(path: Path) -> Parts:
    import pyogrio

    parts = {}
    for name, _ in pyogrio.list_layers(path):
        meta, fids, geometries, columns = pyogrio.raw.read(path, layer=name, return_fids=True)
        fields = [meta["crs"], meta["geometry_type"], list(meta["fields"]), [str(dtype) for dtype in meta["dtypes"]]]
        parts[f"fields of {name}"] = digest(repr(fields))
        rows = [plain_json([_value(item) for item in column.tolist()]) for column in columns]
        shapes = [] if geometries is None else [shape or b"" for shape in geometries]
        parts[f"features of {name}"] = digest(repr(fids.tolist()), json.dumps(rows), *shapes)
    return parts


def _value(item: Any) -> Any:
    return item if item is None or isinstance(item, str | int | float) else str(item)


def _parquet(path: Path) -> Parts:
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(path)
    metadata = {key.decode(): value.decode() for key, value in (table.schema.metadata or {}).items()}
    return {
        "fields": digest(str(table.schema.remove_metadata()), json.dumps(plain_json(metadata))),
        "features": digest(repr(table.to_pydict())),
    }


def _safetensors(path: Path) -> Parts:
    raw = path.read_bytes()
    start = 8 + int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8:start])
    card = header.pop("__metadata__", {})
    tensors = digest(*(f"{name} {_entry(entry)}" for name, entry in header.items()), raw[start:])
    return {"tensors": tensors, "card": digest(json.dumps(plain_json(card)))}


def _entry(entry: Mapping[str, Any]) -> str:
    return f"{entry['dtype']} {entry['shape']} {entry['data_offsets']}"


def _picture(path: Path) -> Parts:
    from PIL import Image

    with Image.open(path) as picture:
        return {"pixels": digest(repr((picture.mode, picture.size)), picture.tobytes())}


def _json(path: Path) -> Parts:
    return {"content": digest_json(path.read_text(encoding="utf-8"))}


def _text(path: Path) -> Parts:
    return {"content": digest(plain_text(path.read_text(encoding="utf-8")))}


def _csv(path: Path) -> Parts:
    rows = [line.split(",") for line in plain_text(path.read_text(encoding="utf-8")).splitlines()]
    kept = [at for at, name in enumerate(rows[0]) if name != PER_RUN_COLUMN] if rows else []
    return {"content": digest(repr([[row[at] for at in kept if at < len(row)] for row in rows]))}


def _zip(path: Path) -> Parts:
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        return {"members": digest(*names, *(plain_text(archive.read(name).decode("latin-1")) for name in names))}


_CONTENT: dict[str, Callable[[Path], Parts]] = {
    ".tif": _raster, ".gpkg": _vector, ".geojson": _vector, ".fgb": _vector, ".shp": _vector, ".parquet": _parquet,
    ".safetensors": _safetensors, ".png": _picture, ".jpg": _picture, ".json": _json, ".csv": _csv, ".html": _text,
    ".qml": _text, ".xml": _text, ".toml": _text, ".xlsx": _zip, ".zip": _zip,
}  # fmt: skip
