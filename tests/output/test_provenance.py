"""Signatures: what an output says of its making, to people, and what it keeps to itself."""

import json
from pathlib import Path
from typing import Any

import pytest

from landseg.errors import ResumeError
from landseg.geo.rasters.raster import RasterFile
from landseg.geo.tags import MADE_WITH
from landseg.output.provenance import changes, differences, json_copy, made_with, provenance, refuse_changed
from landseg.runtime.disk import work_folder
from tests.parts.outputs import SIGNATURE, run


def of_files(*files: dict[str, Any]) -> dict[str, Any]:
    return {"halo": 32, "source": {"files": list(files), "bands": [1, 2]}}


FILE = {"path": "scenes/somebody/a.tif", "size": 9, "changed": 10**18}


def test_a_finished_output_names_what_is_different_now(tmp_path: Path) -> None:
    run(tmp_path)
    target = tmp_path / "map.tif"
    refuse_changed(target, SIGNATURE)
    with pytest.raises(ResumeError, match=r"map\.tif is finished but was made with window 512, now asked for is 9: "):
        refuse_changed(target, {**SIGNATURE, "window": 9})
    work_folder(target).mkdir()  # a run that replaces it was stopped: that one decides
    refuse_changed(target, {**SIGNATURE, "window": 9})
    refuse_changed(tmp_path / "missing.tif", SIGNATURE)
    raster = RasterFile(target)
    raster.close()
    assert json.loads(raster.info.tags[MADE_WITH]) == SIGNATURE


def test_files_are_told_by_name_and_time_and_without_their_folders() -> None:
    text = made_with(of_files(FILE, {"path": "https://example.org/b.tif"}))
    assert "somebody" not in text and "example.org" not in text
    tags = {MADE_WITH: text}
    newer = {**FILE, "changed": 2 * 10**18}
    (changed,) = changes(tags, of_files(newer, {"path": "https://example.org/b.tif"}))
    assert changed.startswith("source files a.tif 9 bytes of 2001-")
    assert "now asked for is 9 bytes of 2033-" in changed
    (changed,) = changes(
        {MADE_WITH: made_with(of_files(FILE))}, of_files(FILE, {**FILE, "path": "/c.tif", "changed": 2**70})
    )
    assert changed.startswith("source files c.tif none")


def test_files_are_named_without_folders_at_any_depth() -> None:
    """The CRF's signature has files of the probabilities, of the imagery, and of both."""
    inner = {"probs": {"files": [FILE], "bands": [1]}, "image": {"files": [{**FILE, "path": "/other/b.tif"}]}}
    signature = {"halo": 32, "source": {**inner, "files": [FILE, {**FILE, "path": "/other/b.tif"}]}}
    text = made_with(signature)
    state = "9 bytes of 2001-09-09T01:46:40+00:00"
    assert json.loads(text)["source"] == {
        "probs": {"files": {"a.tif": state}, "bands": [1]},
        "image": {"files": {"b.tif": state}},
        "files": {"a.tif": state, "b.tif": state},
    }
    assert "somebody" not in text and "home" not in text and "somebody" in json.dumps(signature)
    old = json.dumps(signature)  # as tags once were
    assert changes({MADE_WITH: old}, signature) == changes({MADE_WITH: text}, signature) == []
    other = {"files": [{**FILE, "path": "b.tif", "size": 7}]}
    newer = {**signature, "source": {**signature["source"], "image": other}}
    (changed,) = changes({MADE_WITH: old}, newer)
    assert changed.startswith("source image files b.tif 9 bytes") and "now asked for is 7 bytes" in changed


def test_a_mosaic_of_many_files_is_told_by_their_number() -> None:
    many = of_files(*({**FILE, "path": f"/x/{number}.tif"} for number in range(500)))
    text = made_with(many)
    assert len(text) < 200 and "500 files" in text
    many["source"]["files"][3]["size"] = 10
    assert len(changes({MADE_WITH: text}, many)) == 1


@pytest.mark.parametrize("tags", [{}, {MADE_WITH: "no json"}])
def test_tags_of_an_older_landseg_say_nothing(tags: dict[str, str]) -> None:
    assert changes(tags, SIGNATURE) == []


def test_every_raster_of_a_run_gets_the_same_tags() -> None:
    tags = provenance({"model hash": "x"}, SIGNATURE)
    assert set(tags) == {"LANDSEG_MODEL_HASH", "LANDSEG_SIGNATURE", MADE_WITH}


def test_differences_name_every_key_with_old_and_new() -> None:
    old = json_copy({"halo": 32, "model": {"hash": "a", "file": Path("m")}, "bands": (1, 2)})
    new = json_copy({"halo": 32, "model": {"hash": "b", "file": Path("m")}, "bands": [1, 2], "tta": "d4"})
    assert differences(old, new) == ["model.hash was a, is now b", "tta was absent, is now d4"]
    assert differences({"nodata": float("nan")}, {"nodata": float("nan")}) == []
