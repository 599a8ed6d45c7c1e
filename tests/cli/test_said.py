"""What the commands say, and where: --quiet, --log, --json-lines, the line of a batch, --threads, unnamed outputs."""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import landseg
import landseg.text.once
from landseg.cli import console, logfile
from landseg.cli.threads import limited
from landseg.inference.prediction import Prediction
from landseg.inference.run import Run
from tests.parts.commands import FAST, run
from tests.parts.predicting import MODEL, noise

pytestmark = pytest.mark.usefixtures("small_default_model")
Write = Callable[..., Path]
TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d ")


@pytest.fixture
def folder(write_raster: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two rasters, of which the second has no place, and a file that is no raster."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(landseg.text.once, "_logged", set())  # what is said once a process
    (tmp_path / "in").mkdir()
    write_raster(noise(30, 40), "in/a.tif")
    write_raster(noise(30, 40), "in/b.tif", crs=None, transform=None)
    (tmp_path / "in" / "c.tif").write_bytes(b"no raster")
    return tmp_path


def read_log(path: Path) -> list[str]:
    """The lines of a log without their times, which every one must have."""
    lines = path.read_text(encoding="utf-8").splitlines()
    assert all(TIME.match(line) for line in lines)
    return [TIME.sub("", line, count=1) for line in lines]


def assert_quiet(err: str) -> None:
    assert all(line.startswith(("warning: ", "error: ", "landseg: ")) for line in err.splitlines()), err


def test_quiet_leaves_warnings_and_errors(folder: Path) -> None:
    code, out, err = run("predict", "in", "-o", "maps/", "--quiet", *FAST)
    assert code == 1 and "a.tif" in out
    assert_quiet(err)
    assert "warning: b.tif has no usable coordinate system" in err and "error: 3/3 " in err
    code, _, err = run("predict", "missing.tif", "-o", "o.tif", "-q", *FAST)
    assert code == 1 and err.startswith("landseg: missing.tif: no such file") and err.count("\n") == 1


def test_twin_without_quiet_there_is_more(folder: Path) -> None:
    err = run("predict", "in", "-o", "maps/", *FAST)[2]
    with pytest.raises(AssertionError):
        assert_quiet(err)


def test_a_batch_names_file_and_count(folder: Path) -> None:
    err = run("predict", "in", "-o", "maps/", *FAST)[2].splitlines()
    assert sum("Mpx/s" in line for line in err) == 2, err  # no tenths of small rasters
    assert any(re.fullmatch(r"1/3 a\.tif \d+\.\d+ Mpx/s", line) for line in err)
    assert any(line.startswith("error: 3/3 in/c.tif: ") for line in err)
    err = run("predict", "in/a.tif", "in/b.tif", "-o", "maps/", "--resume", *FAST)[2].splitlines()
    assert "1/2 a.tif finished before, skipped" in err


def test_json_lines(folder: Path) -> None:
    code, out, _ = run("predict", "in", "-o", "maps/", "--polygons", "shapes/", "--json-lines", *FAST)
    records = [json.loads(line) for line in out.splitlines()]
    assert code == 1 and [record["status"] for record in records] == ["done", "done", "failed", "summary"]
    first, _, failed, summary = records
    assert (first["number"], first["count"], first["sources"]) == (1, 3, ["in/a.tif"])
    assert failed["sources"] == ["in/c.tif"] and "in/c.tif" in failed["error"]
    assert {key: summary[key] for key in ("done", "skipped", "planned", "failed", "pixels")} == {
        "done": 2, "skipped": 0, "planned": 0, "failed": 1, "pixels": 2400,
    }  # fmt: skip
    written = {str(path) for where in ("maps", "shapes") for path in Path(where).iterdir()}
    named = [name for record in records[:2] for name in (*record["files"], *record["sidecars"])]
    assert set(named) == written and len(named) == len(written)
    again = run("predict", "in/a.tif", "-o", "maps/", "--polygons", "shapes/", "--resume", "--json-lines", *FAST)[1]
    skipped = json.loads(again.splitlines()[0])
    assert skipped["status"] == "skipped" and set(skipped["sidecars"]) == set(first["sidecars"])


def test_json_lines_of_a_run_that_fails_as_a_whole(folder: Path) -> None:
    code, out, err = run("predict", "missing.tif", "-o", "o.tif", "--json-lines", *FAST)
    failed, summary = map(json.loads, out.splitlines())
    assert code == 1 and failed["status"] == "failed" and failed["error"] in err and summary["failed"] == 1
    code, out, err = run("predict", "in/a.tif", "-o", "o.tif", "--json-lines", "--json", *FAST)
    assert code == 2 and not out and "choose one of them" in err


def test_the_log_has_all_that_is_said(folder: Path) -> None:
    words = ["predict", "in", "-o", "maps/", "--log", "run.log", "--json", *FAST]
    code, out, err = run(*words, "--quiet")
    assert code == 1 and json.loads(out)["failures"]
    first = read_log(folder / "run.log")
    assert first[0].endswith(": landseg " + " ".join([*words, "--quiet"]))
    assert any(line.startswith("1/3 a.tif  100.0 %") for line in first) and "100.0 %" not in err
    assert any(re.fullmatch(r"1/3 a\.tif [\d.]+ Mpx/s", line) for line in first)
    assert any(line.startswith("warning: b.tif") for line in first)
    assert any(line.startswith("error: 3/3 ") for line in first) and "maps/a.tif" in first
    code, _, err = run("predict", "in", "-o", "in/a.tif", "--log", "run.log", *FAST)
    both = read_log(folder / "run.log")
    assert code == 1 and both[: len(first)] == first  # appended
    assert both[-1] == err.splitlines()[-1] and both[-1].startswith("landseg: ")
    count = len(both)
    run("predict", "in/a.tif", "-o", "plan.tif", "--dry-run", *FAST)
    assert len(read_log(folder / "run.log")) == count  # nothing is kept open for the next command


@pytest.mark.parametrize(
    ("log", "sentence"),
    [
        ("in/c.tif", "ends in .log or .txt; use c.tif.log"),
        ("in/a.tif", "is an input or output of this run"),
        ("o.tif", "ends in .log or .txt"),
        ("in", "is a folder: name a file in it"),
        ("nowhere/run.log", "has no folder: make nowhere first"),
        ("notes.txt", "exists and is no log of landseg's"),
        ("table", "is an input or output of this run"),
        ("s3://bucket/run.log", "local or shared folders"),
    ],
)
def test_a_log_is_never_a_file_of_data(log: str, sentence: str, folder: Path) -> None:
    Path("notes.txt").write_text("my notes\n")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    code, out, err = run("evaluate", "in/a.tif", "in/b.tif", "--csv", "table", "--log", log)
    assert code == 1 and not out and sentence in err and err.count("\n") == 1
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_a_secret_of_an_address_stays_out_of_the_log(folder: Path) -> None:
    run("predict", "https://127.0.0.1:9/a.tif?token=secret", "-o", "o.tif", "--log", "run.log", *FAST)
    text = (folder / "run.log").read_text()
    assert "https://127.0.0.1:9/a.tif" in text and "secret" not in text


def test_every_long_command_takes_quiet_and_log() -> None:
    names = (
        "predict",
        "refine",
        "train",
        "evaluate",
        "export",
        "verify",
        "compare",
        "calibrate",
        "rasterize",
        "areas",
    )
    for name in names:
        said = run(name, "--help")[1]
        assert "--quiet" in said and "--log" in said, name
    for name in ("predict", "refine", "train", "verify"):
        assert "--threads" in run(name, "--help")[1], name


def test_a_warning_among_notes_is_a_warning(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    console.start()
    console.say_less()
    console.keep_log(tmp_path / "a.log", named=[], words=["train"])
    console.note("12 scenes to learn from")
    console.note("warning: few steps")
    logging.getLogger("landseg.models").warning("another")
    console.end_log()
    console.start()
    assert capsys.readouterr().err == "warning: few steps\nwarning: another\n"
    assert read_log(tmp_path / "a.log")[1:] == ["12 scenes to learn from", "warning: few steps", "warning: another"]


def test_threads_win_over_the_environment(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    original = Run.result

    def result(self: Any) -> Any:
        made = original(self)
        seen.append((torch.get_num_threads(), self.options.workers, os.environ["GDAL_NUM_THREADS"]))
        return made

    monkeypatch.setattr(Run, "result", result)
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    before = torch.get_num_threads()
    assert run("predict", "in/a.tif", "-o", "o.tif", "--threads", "1", "--runtime", "torch", *FAST)[0] == 0
    assert (
        run("predict", "in/a.tif", "-o", "p.tif", "--threads", "3", "--workers", "5", "--runtime", "torch", *FAST)[0]
        == 0
    )
    assert seen == [(1, 1, "1"), (3, 5, "3")]
    assert torch.get_num_threads() == before and os.environ["OMP_NUM_THREADS"] == "7"
    assert "GDAL_NUM_THREADS" not in os.environ
    code, _, err = run("predict", "in/a.tif", "-o", "q.tif", "--threads", "0", *FAST)
    assert code == 2 and "--threads" in err
    with limited(None):
        assert os.environ["OMP_NUM_THREADS"] == "7"


@pytest.mark.parametrize(
    ("output", "sentence"),
    [
        ("map", "-o map: write map.tif for one map, or map/ for a map of each in a folder"),
        ("map.gpkg", "write -o map.tif --polygons map.gpkg"),
        ("map.shp.zip", "write -o map.tif --polygons map.shp.zip"),
        ("map.png", "write -o map.tif --preview map.png"),
        ("map.jp2", "-o map.jp2: the map is a GeoTIFF; write -o map.tif"),
    ],
)
def test_a_name_that_is_no_geotiff_is_told_how_to_be_one(output: str, sentence: str, folder: Path) -> None:
    code, out, err = run("predict", "in/a.tif", "-o", output, *FAST)
    assert code == 1 and not out and err.endswith(f"{sentence}\n")
    assert sorted(path.name for path in folder.iterdir()) == ["in"]


def test_no_output_named_says_which_to_write(folder: Path) -> None:
    code, _, err = run("predict", "in/a.tif")
    assert code == 2 and "-o a_landcover.tif" in err
    code, _, err = run("predict", "in")
    assert code == 2 and "-o maps/" in err and "-o landcover.tif" in err


def test_a_log_grows_line_by_line(tmp_path: Path) -> None:
    one, two = logfile.LogFile(tmp_path / "a.log"), logfile.LogFile(tmp_path / "a.log")
    one.say("first\nsecond\x1b[31m")
    two.say("third")
    one.say("fourth")
    assert read_log(tmp_path / "a.log") == ["first", "second?[31m", "third", "fourth"]
    for log in (one, two):
        log.close()


def test_files_of_a_prediction_are_all_that_is_written(folder: Path) -> None:
    made = landseg.predict(
        "in/a.tif", "o.tif", model=MODEL, polygons="o.shp", probs="p.tif", device="cpu", quiet=True
    )
    assert isinstance(made, Prediction) and made.sources == ("in/a.tif",)
    there = {path.name for path in folder.iterdir() if path.is_file()}
    assert {path.name for path in (*made.files, *made.sidecars)} == there and "o.dbf" in there
    assert np.array_equal(made.files, [Path("o.tif"), Path("p.tif"), Path("o.shp")])
