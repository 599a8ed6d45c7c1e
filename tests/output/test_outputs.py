"""The sink: outputs appear together and complete, whatever kills the run, and a resume yields the same bytes."""

import functools
import itertools
import json
import multiprocessing
import os
import shutil
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import rasterio.shutil

import landseg.output.publish
from landseg.classes import ClassMap, LandClass
from landseg.errors import OutputError, ResumeError
from landseg.geo.grid import Rect
from landseg.output.layer import Layer
from landseg.output.outputs import Outputs, disk_bytes
from landseg.output.raw_raster import RawRaster
from landseg.output.targets import Targets
from landseg.runtime.disk import Journal, work_folder
from tests.parts.outputs import CLASSES, GRID, SIGNATURE, STRIPS, begin, layers_in, pixels, put, run


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def arm(kill_at: int) -> None:
    """Makes this process kill itself at the ``kill_at``-th thing that it does to the disk."""
    events = itertools.count()

    def now() -> bool:
        return next(events) == kill_at

    def before(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            if now():
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*args, **kwargs)

        return wrapped

    def torn(self: Any, record: dict[str, Any]) -> None:
        if now():
            line = json.dumps(record).encode()
            self._file.write(line[: len(line) // 2])
            os.kill(os.getpid(), signal.SIGKILL)
        write(self, record)

    def half_copied(source: str, target: str, **options: Any) -> None:
        copy(source, target, **options)
        if now():
            os.truncate(target, os.path.getsize(target) // 2)
            os.kill(os.getpid(), signal.SIGKILL)

    write, copy = before(Journal._write), rasterio.shutil.copy
    Journal._write = torn  # type: ignore[method-assign]
    rasterio.shutil.copy = half_copied
    RawRaster._put = before(RawRaster._put)  # type: ignore[method-assign]
    landseg.output.publish.sync_file = before(landseg.output.publish.sync_file)
    os.replace = before(os.replace)
    shutil.rmtree = before(shutil.rmtree)  # type: ignore[assignment]
    Path.unlink = before(Path.unlink)  # type: ignore[method-assign]


def killed_run(folder: str, kill_at: int, options: dict[str, Any]) -> None:
    arm(kill_at)
    run(Path(folder), **options)


def survives_kills(tmp_path: Path, points: range, **options: Any) -> int:
    """Kills a run at each point, checks what is visible, resumes it; the number of points that were reached."""
    reference = tmp_path / "reference"
    reference.mkdir()
    run(reference)
    expected = contents(reference)
    context = multiprocessing.get_context("forkserver")
    for kill_at in points:
        folder = tmp_path / str(kill_at)
        folder.mkdir()
        child = context.Process(target=killed_run, args=(str(folder), kill_at, options))
        child.start()
        child.join(60)
        assert child.exitcode in (0, -signal.SIGKILL)
        for name, seen in contents(folder).items():
            assert seen == expected[name], f"{name} was half-written when killed at {kill_at}"
        if child.exitcode == 0:
            return kill_at
        run(folder, resume=True, **options)
        assert contents(folder) == expected, f"killed at {kill_at}"
        left = [entry.name for entry in folder.iterdir() if entry.is_dir()]
        assert left == [], f"killed at {kill_at}"
    return len(points)


def test_a_run_killed_anywhere_resumes_to_the_same_bytes(tmp_path: Path) -> None:
    reached = survives_kills(tmp_path, range(200))
    assert 30 < reached < 200  # every point was tried: the last child ran to its end


def test_twin_a_journal_that_runs_ahead_of_the_pixels_is_caught(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="killed at"):
        survives_kills(tmp_path, range(40), journal_first=True)


def test_pixels_are_synced_before_the_journal_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outputs = begin(tmp_path)
    put(outputs, STRIPS[0])
    files = {os.fstat(raw._file.fileno()).st_ino: "pixels" for raw in outputs._raw.values()}
    calls: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda fd: calls.append(files.get(os.fstat(fd).st_ino, "journal")))
    outputs.commit("row 0")
    assert calls == ["pixels", "pixels", "journal"]
    outputs.discard()


def test_what_was_written_is_what_is_read(tmp_path: Path) -> None:
    run(tmp_path)
    values, probs, valid = pixels(GRID.rect)
    assert sorted(contents(tmp_path)) == ["map.qml", "map.tif", "map.tif.aux.xml", "notes.txt", "probs.tif"]
    with rasterio.open(tmp_path / "map.tif") as raster:
        assert np.array_equal(raster.read(1), np.where(valid, values, 0))
        assert (raster.nodata, raster.crs, raster.transform) == (0, GRID.crs, GRID.transform)
        assert raster.tags()["LANDSEG_DISAGREEMENT"] == "0.25"
        assert raster.tags()["LANDSEG_COMMAND"] == "predict"
    with rasterio.open(tmp_path / "probs.tif") as raster:
        assert np.array_equal(raster.read(), np.where(valid, probs, 0))
        assert np.array_equal(raster.dataset_mask() > 0, valid)
        assert raster.scales == (1 / 255, 1 / 255)
        assert raster.descriptions == ("building", "road")


def test_layers_can_be_read_before_the_end(tmp_path: Path) -> None:
    outputs = begin(tmp_path)
    put(outputs, STRIPS[0])
    with rasterio.open(outputs.layer_reader("classes")) as raster:
        values, _, valid = pixels(STRIPS[0])
        assert np.array_equal(raster.read(1)[:24], np.where(valid, values, 0))
        assert (raster.read(1)[24:] == 0).all()
        assert raster.crs == GRID.crs
    outputs.discard()
    assert list(tmp_path.iterdir()) == []


def test_no_pixels_at_all_become_nodata(tmp_path: Path) -> None:
    zero = ClassMap((LandClass(0, "land", (1, 2, 3)),))
    confidence = Layer("confidence", tmp_path / "c.tif", "float32", nodata=float("nan"))
    layers = [Layer.of_classes("classes", tmp_path / "map.tif", zero), confidence]
    with Outputs.begin(Targets(layers), GRID, signature={}) as outputs:
        for layer in layers:
            outputs.write(layer.name, GRID.rect, None)
        outputs.finish()
    with rasterio.open(tmp_path / "map.tif") as raster:
        assert (raster.read(1) == 255).all()
        assert raster.nodata == 255
    with rasterio.open(tmp_path / "c.tif") as raster:
        assert np.isnan(raster.read(1)).all()


def test_missing_pixels_are_never_published(tmp_path: Path) -> None:
    with begin(tmp_path) as outputs:
        put(outputs, STRIPS[0])
        outputs.commit("row 0")
        with pytest.raises(OutputError, match=r"has only 720 of 1,200 pixels.*--resume"):
            outputs.finish()
    assert contents(tmp_path) == {}
    with begin(tmp_path, resume=True) as outputs:
        assert outputs.done == {"row 0"}


def test_wrong_pixels_are_refused_not_converted(tmp_path: Path) -> None:
    with begin(tmp_path) as outputs:
        for wrong in (np.zeros((24, 30), "int64"), np.zeros((24, 29), "uint8")):
            with pytest.raises(ValueError, match="expected uint8"):
                outputs.write("classes", STRIPS[0], wrong)
        with pytest.raises(ValueError, match="beyond the grid"):
            outputs.write("classes", Rect(30, 0, 20, 30), None)


def test_existing_outputs_are_refused_and_kept(tmp_path: Path) -> None:
    run(tmp_path)
    before = contents(tmp_path)
    for resume in (False, True):
        with pytest.raises(OutputError, match=r"map.tif exists.*--overwrite"):
            begin(tmp_path, resume=resume)
    assert contents(tmp_path) == before
    assert all(entry.is_file() for entry in tmp_path.iterdir())
    (tmp_path / "map.tif.ovr").write_bytes(b"overviews of the old raster")
    with begin(tmp_path, overwrite=True) as outputs:
        assert contents(tmp_path).items() >= before.items()  # the old ones stay until the new are complete
        for rect in STRIPS:
            put(outputs, rect)
        outputs.extra(tmp_path / "notes.txt").write_text("polygons")
        outputs.finish({"disagreement": "0.25"})
    assert contents(tmp_path) == before


def test_an_extra_is_refused_too_and_must_be_written(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(OutputError, match=r"notes.txt exists"):
        begin(tmp_path)
    (tmp_path / "notes.txt").unlink()
    with begin(tmp_path) as outputs:
        for rect in STRIPS:
            put(outputs, rect)
        with pytest.raises(OutputError, match="was to be written"):
            outputs.finish()
    assert contents(tmp_path) == {}


def test_a_changed_run_is_not_resumed(tmp_path: Path) -> None:
    begin(tmp_path).abandon()
    with pytest.raises(ResumeError, match=r"window was 512, is now 1024; repeat its options"):
        begin(tmp_path, resume=True, signature={**SIGNATURE, "window": 1024})
    begin(tmp_path, resume=True).abandon()
    other = replace(GRID, width=31)
    with pytest.raises(ResumeError, match=r"outputs.grid.width was 30, is now 31"):
        Outputs.begin(
            Targets(layers_in(tmp_path), {tmp_path / "notes.txt": ()}, resume=True), other, signature=SIGNATURE
        )


def test_without_resume_a_started_run_is_started_again(tmp_path: Path) -> None:
    with begin(tmp_path) as outputs:
        put(outputs, STRIPS[0])
        outputs.commit("row 0")
        outputs.extra(tmp_path / "notes.txt").mkdir()  # what a killed writer may leave
    only = [Layer.of_classes("classes", tmp_path / "map.tif", CLASSES)]
    with Outputs.begin(Targets(only), GRID, signature=SIGNATURE) as outputs:
        assert outputs.done == frozenset()
    assert [entry.name for entry in tmp_path.iterdir()] == [".map.tif.landseg"]


def test_lost_pixels_are_not_resumed(tmp_path: Path) -> None:
    with begin(tmp_path) as outputs:
        put(outputs, STRIPS[0])
        outputs.commit("row 0")
    (work_folder(tmp_path / "probs.tif") / "pixels.raw").unlink()
    with pytest.raises(ResumeError, match=r"pixels.raw is missing"):
        begin(tmp_path, resume=True)


def test_the_tags_of_the_first_start_stay(tmp_path: Path) -> None:
    begin(tmp_path).abandon()
    with begin(tmp_path, resume=True, tags={"command": "predict --resume"}) as outputs:
        for rect in STRIPS:
            put(outputs, rect)
        outputs.extra(tmp_path / "notes.txt").write_text("")
        outputs.finish()
    with rasterio.open(tmp_path / "map.tif") as raster:
        assert raster.tags()["LANDSEG_COMMAND"] == "predict"


def test_finished_knows_its_own_output_only(tmp_path: Path) -> None:
    assert not Outputs.finished(tmp_path / "map.tif", SIGNATURE)
    run(tmp_path)
    assert Outputs.finished(tmp_path / "map.tif", dict(SIGNATURE))
    assert not Outputs.finished(tmp_path / "map.tif", {**SIGNATURE, "window": 1})
    (tmp_path / "map.tif").write_bytes(b"something else")
    assert not Outputs.finished(tmp_path / "map.tif", SIGNATURE)


def test_targets_that_cannot_be(tmp_path: Path) -> None:
    def start(path: Path, **options: Any) -> None:
        Outputs.begin(Targets([Layer.of_classes("classes", path, CLASSES)], **options), GRID, signature={}).discard()

    source = tmp_path / "scene.tif"
    source.touch()
    (tmp_path / "link.tif").symlink_to(source)
    with pytest.raises(OutputError, match="an input"):
        start(source, inputs=[source], overwrite=True)
    with pytest.raises(OutputError, match="an input"):
        start(tmp_path / "link.tif", inputs=[source], overwrite=True)
    with pytest.raises(OutputError, match=r"a GeoTIFF ends in .*, got 'map.png': use map\.tif"):
        start(tmp_path / "map.png")
    with pytest.raises(OutputError, match="has no folder"):
        start(tmp_path / "no" / "map.tif")
    with pytest.raises(OutputError, match="is a folder"):
        start(tmp_path, overwrite=True)
    with pytest.raises(OutputError, match="two outputs"):
        start(tmp_path / "map.tif", extras={tmp_path / "map.tif": ()})
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["link.tif", "scene.tif"]


def test_too_little_space_is_said_before_any_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert disk_bytes(layers_in(tmp_path), GRID) == 1200 * 1.5 + 1200 * 3 * 2.4
    real = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: real._replace(free=1000))
    with pytest.raises(OutputError, match=r"need up to \d+ MiB in .* 0 MiB are free"):
        begin(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_fills_up_keeps_what_was_committed(tmp_path: Path) -> None:
    context = multiprocessing.get_context("forkserver")
    child = context.Process(target=limited_run, args=(str(tmp_path), 2600))
    child.start()
    child.join(60)
    assert child.exitcode == 7
    assert contents(tmp_path) == {}
    run(tmp_path, resume=True)
    reference = tmp_path / "reference"
    reference.mkdir()
    run(reference)
    assert contents(tmp_path) == contents(reference)


def test_a_disk_without_room_for_the_first_bytes_leaves_nothing_and_promises_nothing(tmp_path: Path) -> None:
    context = multiprocessing.get_context("forkserver")
    child = context.Process(target=limited_begin, args=(str(tmp_path), 1300))
    child.start()
    child.join(60)
    assert child.exitcode == 7  # the class raster's 1200 bytes fit, the probabilities' 3600 do not
    assert list(tmp_path.iterdir()) == []


def limited_begin(folder: str, size: int) -> None:
    """A start in which no file may grow beyond ``size`` bytes."""
    import resource

    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    try:
        begin(Path(folder))
    except OutputError as error:
        promises = "--resume" in str(error) or "is kept" in str(error)
        os._exit(8 if promises or "nothing was kept" not in str(error) else 7)


def test_a_failed_start_anew_leaves_nothing_of_the_run_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(tmp_path).abandon()
    monkeypatch.setattr(RawRaster, "sync", lambda self: (_ for _ in ()).throw(OutputError("no")))
    with pytest.raises(OutputError, match="no"):
        begin(tmp_path, resume=True)
    assert work_folder(tmp_path / "probs.tif").is_dir()  # still to be continued
    with pytest.raises(OutputError, match="no"):
        begin(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["map.qml", "map.tif.aux.xml", "map.tif.msk", "probs.tif.ovr"])
def test_what_would_go_with_a_target_is_refused_too(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"mine")
    (tmp_path / "other.tif.aux.xml").write_bytes(b"of a raster that is no target")
    with pytest.raises(OutputError, match=f"{name} exists.*--overwrite"):
        begin(tmp_path)
    assert (tmp_path / name).read_bytes() == b"mine"
    begin(tmp_path, overwrite=True).discard()
    (tmp_path / name).unlink()
    begin(tmp_path).discard()
    with pytest.raises(OutputError, match=f"{name} is an input"):
        (tmp_path / name).write_bytes(b"read by this run")
        begin(tmp_path, overwrite=True, inputs=[tmp_path / name])


def test_a_disk_that_fills_up_during_the_copy_keeps_every_pixel(tmp_path: Path) -> None:
    context = multiprocessing.get_context("forkserver")
    child = context.Process(target=limited_finish, args=(str(tmp_path), 900))
    child.start()
    child.join(60)
    assert child.exitcode == 7
    assert contents(tmp_path) == {}
    with begin(tmp_path, resume=True) as outputs:
        assert outputs.done == {"row 0", "row 24"}
        outputs.extra(tmp_path / "notes.txt").write_text("polygons")
        outputs.finish()
    assert "map.tif" in contents(tmp_path)


def limited_finish(folder: str, size: int) -> None:
    """The end of a run in which no file may grow beyond ``size`` bytes."""
    import resource

    try:
        with begin(Path(folder)) as outputs:
            for rect in STRIPS:
                put(outputs, rect)
                outputs.commit(f"row {rect.top}")
            outputs.extra(Path(folder) / "notes.txt").write_text("polygons")
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
            outputs.finish()
    except OutputError as error:
        promises = "finished work is kept" in str(error) and str(error).endswith("--resume")
        os._exit(7 if promises else 8)


def limited_run(folder: str, size: int) -> None:
    """A run in which no file may grow beyond ``size`` bytes, which ends like a full disk."""
    import resource

    try:
        with begin(Path(folder)) as outputs:
            put(outputs, STRIPS[0])
            outputs.commit("row 0")
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
            put(outputs, STRIPS[1])
    except OutputError as error:
        promises = "finished work is kept" in str(error) and str(error).endswith("--resume")
        os._exit(7 if promises else 8)
