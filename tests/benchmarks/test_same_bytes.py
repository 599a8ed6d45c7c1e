"""The byte check: digests notice what changed in an output, and nothing that belongs to one run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine

from benchmarks.digests import Parts, digest_file, digest_json, plain_json, plain_text
from benchmarks.same_bytes import CASES, chosen, compare, fingerprint

PIXELS = np.arange(48, dtype="uint8").reshape(6, 8) % 5


def raster(path: Path, values: np.ndarray = PIXELS, left: float = 5e5, **tags: str) -> Path:
    place = {"crs": "EPSG:32633", "transform": Affine(0.5, 0, left, 0, -0.5, 5e6), "nodata": 0}
    with rasterio.open(path, "w", driver="GTiff", count=1, dtype="uint8", width=8, height=6, **place) as out:
        out.write(values, 1)
        out.write_colormap(1, {1: (214, 65, 54, 255)})
        out.update_tags(**tags)
    return path


def changed(one: Parts, other: Parts) -> set[str]:
    return {part for part in one.keys() | other.keys() if one.get(part) != other.get(part)}


def test_a_signature_changes_no_digest(tmp_path: Path) -> None:
    one = digest_file(raster(tmp_path / "a.tif", LANDSEG_SIGNATURE="0f" * 32))
    other = digest_file(raster(tmp_path / "b.tif", LANDSEG_SIGNATURE="e1" * 32))
    assert {"pixels", "validity", "grid", "bands", "layout", "tags", "bytes"} == one.keys()
    assert changed(one, other) == set()


def test_dates_folders_and_versions_in_a_tag_change_the_bytes_alone(tmp_path: Path) -> None:
    tag = '{"landseg": "%s", "of": "/scenes/%s/a.tif", "files": {"a.tif": "9 bytes of 2026-01-0%dT00:00:00+00:00"}}'
    one = digest_file(raster(tmp_path / "a.tif", LANDSEG_MADE_WITH=tag % ("0.1.0", "x", 1)))
    other = digest_file(raster(tmp_path / "b.tif", LANDSEG_MADE_WITH=tag % ("0.2.0", "y", 2)))
    assert changed(one, other) == {"bytes"}


def test_one_other_pixel_is_noticed(tmp_path: Path) -> None:
    values = PIXELS.copy()
    values[3, 4] = 4 if values[3, 4] != 4 else 3
    assert changed(digest_file(raster(tmp_path / "a.tif")), digest_file(raster(tmp_path / "b.tif", values))) == {
        "pixels",
        "bytes",
    }


@pytest.mark.parametrize(
    ("change", "part"),
    [({"left": 5e5 + 0.5}, "grid"), ({"LANDSEG_MODE": "blend"}, "tags"), ({"LANDSEG_HALO": "64"}, "tags")],
)
def test_another_grid_or_tag_is_noticed(change: dict[str, Any], part: str, tmp_path: Path) -> None:
    one = digest_file(raster(tmp_path / "a.tif", LANDSEG_MODE="exact"))
    other = digest_file(raster(tmp_path / "b.tif", **{"LANDSEG_MODE": "exact", **change}))
    assert changed(one, other) == {part, "bytes"}


@pytest.mark.parametrize(
    ("change", "noticed"),
    [(lambda f: f, False), (lambda f: f | {"area": 2.5}, True), (lambda f: f | {"name": "land"}, True)],
)
def test_another_attribute_of_a_feature_is_noticed(
    change: Callable[[dict[str, Any]], dict[str, Any]], noticed: bool, tmp_path: Path
) -> None:
    found = []
    for name, properties in (("a", {"name": "road", "area": 2.0}), ("b", change({"name": "road", "area": 2.0}))):
        (tmp_path / name).mkdir()
        path = tmp_path / name / "all.geojson"
        ring = [[0, 0], [1, 0], [1, 1], [0, 0]]
        shape = {"type": "Polygon", "coordinates": [ring]}
        feature = {"type": "Feature", "properties": properties, "geometry": shape}
        path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
        found.append(digest_file(path))
    assert changed(*found) == ({"features of all", "bytes"} if noticed else set())


def model(path: Path, weight: float, **card: Any) -> Path:
    tensor = np.array([1.0, weight], "float32").tobytes()
    entry = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
    header = json.dumps({"__metadata__": {"landseg": json.dumps(card)}, "w": entry}).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + tensor)
    return path


def test_a_model_file_has_the_digests_of_its_tensors_and_of_its_card(tmp_path: Path) -> None:
    one = digest_file(model(tmp_path / "a.safetensors", 2.0, arch="fpn", created_by="landseg 0.1.0"))
    later = digest_file(model(tmp_path / "b.safetensors", 2.0, arch="fpn", created_by="landseg 0.2.0"))
    weight = digest_file(model(tmp_path / "c.safetensors", 2.5, arch="fpn", created_by="landseg 0.1.0"))
    card = digest_file(model(tmp_path / "d.safetensors", 2.0, arch="unet", created_by="landseg 0.1.0"))
    assert changed(one, later) == {"bytes"}
    assert changed(one, weight) == {"tensors", "bytes"}
    assert changed(one, card) == {"card", "bytes"}


def test_json_is_compared_without_durations_but_with_its_order() -> None:
    one = '{"output": "/one/map.tif", "seconds": 3.1, "windows": 4}'
    assert digest_json(one) == digest_json('{"output": "/other/map.tif", "seconds": 9.9, "windows": 4}')
    assert digest_json(one) != digest_json('{"output": "/one/map.tif", "seconds": 3.1, "windows": 5}')
    assert digest_json(one) != digest_json('{"windows": 4, "output": "/one/map.tif", "seconds": 3.1}')
    assert digest_json(f"{one}\n{one}\n") != digest_json(f"{one}\n")


def test_a_table_is_compared_without_its_column_of_seconds(tmp_path: Path) -> None:
    tables = ["step,seconds,loss\n1,0.5,2.0\n", "step,seconds,loss\n1,0.7,2.0\n", "step,seconds,loss\n1,0.5,2.1\n"]
    found = []
    for at, text in enumerate(tables):
        path = tmp_path / f"{at}.csv"
        path.write_text(text)
        found.append(digest_file(path))
    assert found[0] == found[1]
    assert changed(found[0], found[2]) == {"content"}


def test_numbers_units_and_relative_paths_stay_in_plain_text() -> None:
    assert (
        plain_text("3.1 px/m, in/scene.tif </svg> https://a.org/b/")
        == "3.1 px/m, in/scene.tif </svg> https://a.org/b/"
    )
    assert plain_json({"seconds": 1, "area": [1.5, "2026-01-02"]}) == {"area": [1.5, "DATE"]}


def test_differences_name_the_file_and_its_parts() -> None:
    listed = {"a/map.tif": {"pixels": "1", "tags": "2"}, "a/gone.tif": {"bytes": "3"}, "a/same.tif": {"bytes": "4"}}
    found = {"a/map.tif": {"pixels": "9", "tags": "2"}, "a/new.tif": {"bytes": "3"}, "a/same.tif": {"bytes": "4"}}
    assert compare(listed, listed) == []
    assert compare(listed, found) == ["a/gone.tif: missing", "a/map.tif: other pixels", "a/new.tif: not in the list"]


def test_a_machine_of_other_flags_or_libraries_has_another_fingerprint() -> None:
    machine = {"processor": "P", "flags": ["avx2"], "torch": "2.6"}
    assert fingerprint(machine) == fingerprint(dict(reversed(machine.items())))
    assert fingerprint(machine) != fingerprint(machine | {"flags": ["avx2", "avx512_bf16"]})
    assert fingerprint(machine) != fingerprint(machine | {"torch": "2.7"})


def test_chosen_cases_come_with_those_whose_outputs_they_read() -> None:
    assert [case.name for case in chosen(CASES, ["refine-windows"])] == ["stream", "refine-windows"]
    assert [case.name for case in chosen(CASES, ["tall-resumed"])] == ["tall", "tall-resumed"]
    assert chosen(CASES, []) == list(CASES)
