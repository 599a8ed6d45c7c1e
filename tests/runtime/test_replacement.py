"""Files that are replaced as one: wherever a run is killed, nothing is mixed unsaid, and all is finished later."""

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import shapely

import landseg.runtime.replacement
from landseg.classes import ClassMap, LandClass
from landseg.errors import LandsegError, OutputError, RasterError, ResumeError, VectorError
from landseg.evaluate import evaluate
from landseg.export import export
from landseg.geo.rasters.raster import RasterFile
from landseg.geo.tags import qml_path
from landseg.geo.vectors.aoi import read_aoi
from landseg.geo.vectors.layers import read_layer
from landseg.geo.vectors.names import is_vector
from landseg.labels.image_lists import find_rasters
from landseg.labels.pairing import files_in
from landseg.output.extra_folder import ExtraFolder
from landseg.output.layer import Layer
from landseg.output.outputs import Outputs
from landseg.output.styles import raster_qml
from landseg.output.targets import Targets
from landseg.rasterize import rasterize
from landseg.runtime.disk import RECORD, Journal, work_folder
from landseg.runtime.replacement import (
    Part,
    Replacement,
    publish,
    refuse_unfinished_in,
    settle,
    unfinished,
    written,
)
from tests.parts.killing import Kills, Visible, hidden, visible
from tests.parts.outputs import GRID, STRIPS, pixels
from tests.parts.vector import GRIDS, write_classes

OLD = ClassMap((LandClass(1, "old roof", (1, 2, 3)), LandClass(3, "old road", (4, 5, 6))))
NEW = ClassMap((LandClass(1, "roof", (200, 30, 30)), LandClass(3, "road", (90, 90, 90))))
SHAPEFILE = (".shx", ".dbf", ".prj", ".cpg", ".qml", ".shp")
SAID = "unfinished replacement"

Run = Callable[[Path, str, bool], object]


class Killed(BaseException):
    """The end of a run that does nothing more."""


@dataclass(frozen=True)
class Case:
    """A command that replaces files.

    Attributes:
        run: in a folder, as the "old" or the "new" run, with --resume or not; always with --overwrite.
        named: the files that the command names.
        stale: what lies beside the old files and goes with them.
        resumes: whether it has a --resume.
    """

    run: Run
    named: tuple[str, ...]
    stale: tuple[str, ...] = ()
    resumes: bool = False


# What the commands do


def outputs(folder: Path, which: str, resume: bool) -> object:
    """What `predict` does with probabilities, confidence, a shapefile and a preview, without a network."""
    signature, table = {"model": which}, OLD if which == "old" else NEW
    layers = [
        Layer.of_classes("classes", folder / "map.tif", table),
        Layer.of_probs("probs", folder / "probs.tif", table),
        Layer("confidence", folder / "sure.tif", "uint8", scale=1 / 255, mask=True),
    ]
    extras = {folder / "roofs.shp": [folder / "roofs.qix"], folder / "picture.png": []}
    if resume and Outputs.finished(folder / "map.tif", signature):
        return None
    run = Outputs.begin(Targets(layers, extras, resume=resume, overwrite=True), GRID, signature=signature)
    with run:
        for rect in (rect for rect in STRIPS if f"row {rect.top}" not in run.done):
            values, probs, valid = pixels(rect)
            run.write("classes", rect, values if which == "old" else 4 - values, valid)
            run.write("probs", rect, probs if which == "old" else 255 - probs, valid)
            run.write("confidence", rect, probs[0] // (2 if which == "old" else 3), valid)
            run.commit(f"row {rect.top}")
        place = run.extra(folder / "roofs.shp")
        for suffix in SHAPEFILE:
            place.with_suffix(suffix).write_text(f"{which} {suffix}")
        run.extra(folder / "picture.png").write_text(which)
        run.finish({"run": which})
    return None


def whole_folder(folder: Path, which: str, resume: bool) -> object:
    """What `predict` does with a folder of pictures, of which the new run has fewer."""
    signature, table = {"model": which}, OLD if which == "old" else NEW
    layers, made = [Layer.of_classes("classes", folder / "map.tif", table)], folder / "pictures"
    if resume and Outputs.finished(folder / "map.tif", signature):
        return None
    kind = {made: ExtraFolder("list.json", ("*.png",), pixel_bytes=3.0)}
    targets = Targets(layers, {made: []}, resume=resume, overwrite=True, extra_folders=kind)
    with Outputs.begin(targets, GRID, signature=signature) as run:
        for rect in (rect for rect in STRIPS if f"row {rect.top}" not in run.done):
            values, _, valid = pixels(rect)
            run.write("classes", rect, values if which == "old" else 4 - values, valid)
            run.commit(f"row {rect.top}")
        place = run.extra(made)
        place.mkdir()
        for name in ("list.json", "a.png", *(("b.png",) if which == "old" else ())):
            (place / name).write_text(f"{which} {name}")
        run.finish({"run": which})
    return None


def shapefile(folder: Path, which: str, resume: bool) -> object:
    """`export` of a shapefile with its style, and of lines beside it."""
    raster = _town(folder, which)
    return export(raster, folder / "town.shp", centroids="road", overwrite=True, quiet=True)


def class_files(folder: Path, which: str, resume: bool) -> object:
    """`export` of a file for each class."""
    raster = _town(folder, which)
    return export(raster, folder / "town.fgb", by_class_files=True, overwrite=True, quiet=True)


def geopackage(folder: Path, which: str, resume: bool) -> object:
    """`export` of one file."""
    return export(_town(folder, which), folder / "town.gpkg", overwrite=True, quiet=True)


def burnt(folder: Path, which: str, resume: bool) -> object:
    """`rasterize`."""
    import geopandas

    source = _inputs(folder) / f"{which}.fgb"
    if not source.exists():
        left, size = (500_000, 4) if which == "old" else (500_004, 6)
        shape = shapely.box(left, 5_399_990, left + size, 5_399_998)
        geopandas.GeoDataFrame({"value": [1], "name": [which]}, geometry=[shape], crs=GRID.crs).to_file(source)
    return rasterize(source, folder / "burnt.tif", resolution=(0.5, 0.5), overwrite=True)


def evaluated(folder: Path, which: str, resume: bool) -> object:
    """`evaluate` with a table, a report and a map of the errors."""
    made: dict[str, Any] = {
        "csv": folder / "table.csv",
        "report": folder / "report.html",
        "image": None,
        "errors": folder / "errors.tif",
        "overwrite": True,
    }
    return evaluate(str(_town(folder, which)), str(_town(folder, "truth")), **made)


def _inputs(folder: Path) -> Path:
    inputs = folder.parent / "inputs"
    inputs.mkdir(exist_ok=True)
    return inputs


def _town(folder: Path, which: str) -> Path:
    path = _inputs(folder) / f"{which}.tif"
    if not path.exists():
        seed = {"old": 1, "new": 2, "truth": 3}[which]
        values = np.kron(np.random.default_rng(seed).integers(1, 3, (8, 11)), np.ones((3, 3)))[:23, :31]
        write_classes(path, GRIDS["north-up"], values.astype("uint8"))
    return path


PREDICTED = ("map.tif", "probs.tif", "sure.tif", "roofs.shp", "picture.png")
CASES = {
    "outputs": Case(outputs, PREDICTED, ("map.tif.ovr", "probs.tif.aux.xml", "roofs.qix"), resumes=True),
    "folder": Case(whole_folder, ("map.tif", "pictures"), ("map.tif.ovr",), resumes=True),
    "shapefile": Case(shapefile, ("town.shp", "town_road_points.shp"), ("town.qix",)),
    "class files": Case(class_files, ("town_building.fgb", "town_road.fgb")),
    "geopackage": Case(geopackage, ("town.gpkg",), ("town.gpkg-wal",)),
    "rasterize": Case(burnt, ("burnt.tif",), ("burnt.tif.msk",)),
    "evaluate": Case(evaluated, ("table.csv", "report.html", "errors.tif"), ("errors.tif.ovr",)),
}


# What must hold


def assert_one_run(seen: Visible, old: Visible, new: Visible, where: str) -> None:
    """What people see is of one run, and every raster has its sidecars."""
    mine = [run for run in (old, new) if seen.items() <= run.items()]
    assert mine, f"{where}: files of two runs lie side by side: {sorted(seen)}"
    for run in mine:
        if all(_has_its_own(name, seen, run) for name in seen if name.endswith((".tif", ".shp"))):
            return
    raise AssertionError(f"{where}: something lies without what belongs beside it: {sorted(seen)}")


def _has_its_own(name: str, seen: Visible, run: Visible) -> bool:
    parts = {Path(name).with_suffix(suffix).name for suffix in SHAPEFILE} if name.endswith(".shp") else set()
    own = {other for other in run if other.startswith(f"{name}.") or other in parts or other == f"{name[:-4]}.qml"}
    return own <= seen.keys()


def assert_said(folder: Path, named: tuple[str, ...], where: str) -> None:
    """Whoever opens or replaces one of the files is told."""
    for name in named:
        path = folder / name
        with pytest.raises(OutputError, match=SAID):
            settle([path], overwrite=False)
        if path.suffix == ".tif":
            with pytest.raises(RasterError, match=SAID):
                RasterFile(path)
        elif is_vector(path):
            with pytest.raises(VectorError, match=SAID):
                read_layer(path)
    with pytest.raises(OutputError, match=SAID):
        refuse_unfinished_in(folder)
    assert where


def prepared(case: Case, folder: Path) -> tuple[Visible, Visible]:
    """A folder with an older run's files, and what the old and the new run leave."""
    folder.mkdir(parents=True)
    case.run(folder, "old", False)
    for name in case.stale:
        (folder / name).write_text("of the old run")
    old = visible(folder)
    twin = folder.with_name(f"{folder.name}-new")
    shutil.copytree(folder, twin)
    case.run(twin, "new", False)
    new = visible(twin)
    assert old != new and not set(case.stale) & new.keys()
    return old, new


def survives(case: Case, tmp_path: Path, *, thorough: bool = False) -> int:
    """Look at each state in which the new run may be killed, and do it again from there; how many differ.

    Begun anew, which takes long, it is from some states only, unless ``thorough``; resumed it is from those in which
    files may have been touched.
    """
    folder = tmp_path / "run"
    old, new = prepared(case, folder)
    kills = Kills(folder, tmp_path / "states", lambda: case.run(folder, "new", False))
    assert visible(folder) == new and hidden(folder) == []
    recorded = next((at for at, what in enumerate(kills.did) if f"{RECORD}.part" in what), 0)
    states = kills.unlike()
    for number, at in enumerate(states):
        where = f"killed at {at} ({kills.did[at]})"
        kills.restore(at)
        seen = visible(folder)
        assert_one_run(seen, old, new, where)
        if seen not in (old, new):
            assert_said(folder, case.named, where)
        late = at >= recorded
        for end, wanted in (("resume", case.resumes and late), ("overwrite", late and number % 7 == 0)):
            if wanted or (thorough and (end == "overwrite" or case.resumes)):
                kills.restore(at)
                case.run(folder, "new", end == "resume")
                assert visible(folder) == new, f"{where}, then --{end}"
                assert hidden(folder) == [], f"{where}, then --{end}"
    return len(states)


@pytest.mark.parametrize("name", CASES)
def test_a_run_killed_while_it_replaces_files_mixes_nothing_unsaid_and_is_finished(name: str, tmp_path: Path) -> None:
    assert survives(CASES[name], tmp_path) > 15


def predicted(folder: Path, which: str, resume: bool) -> object:
    """`predict` with everything that it writes."""
    from landseg.predict import predict
    from tests.parts.predicting import MODEL, QUICK

    model = MODEL if which == "old" else replace(MODEL, card=replace(MODEL.card, name="other"), hash="other")
    further = {"probs": "probs.tif", "confidence": "sure.tif", "polygons": "map.shp", "preview": "map.png"}
    files = {option: folder / name for option, name in further.items()}
    image = _inputs(folder) / "image.tif"
    how = {**QUICK, "memory": 1 << 14}  # a process of many tests may hold more than the usual limit already
    return predict(image, folder / "map.tif", model=model, resume=resume, overwrite=True, **files, **how)


def refined(folder: Path, which: str, resume: bool) -> object:
    """`refine` with its probabilities."""
    from landseg.refine import refine
    from tests.parts.refining import ASKED

    inputs, asked = _inputs(folder), {**ASKED, "iterations": 2 if which == "old" else 3}
    asked |= {"probs": folder / "probs.tif", "resume": resume, "overwrite": True}
    return refine(inputs / "probs.tif", inputs / "image.tif", folder / "map.tif", **asked)


@pytest.mark.slow
@pytest.mark.parametrize("run", [predicted, refined])
def test_whole_commands_killed_anywhere(run: Run, tmp_path: Path, write_raster: Any) -> None:
    from tests.parts.refining import files, scene

    (tmp_path / "inputs").mkdir()
    probs, image = files(write_raster, *scene(40, 44))
    for path in (probs, image):
        shutil.copy(path, tmp_path / "inputs")
        path.unlink()
    named = ("map.tif", "probs.tif") if run is refined else ("map.tif", "probs.tif", "sure.tif", "map.shp", "map.png")
    stale = ("map.tif.ovr",) if run is refined else ("map.tif.ovr", "map.qix")
    assert survives(Case(run, named, stale, resumes=True), tmp_path) > 15


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_a_run_killed_anywhere_does_not_either(name: str, tmp_path: Path) -> None:
    assert survives(CASES[name], tmp_path, thorough=True) > 15


def carried_out_before(self: Replacement) -> None:
    """The order of before: old sidecars go, then each file is replaced, the map last; no record."""
    (self.folder / RECORD).unlink()
    for old, _ in self.aside:
        if old not in [target for _, target in self.moves]:
            old.unlink()
    for new, target in self.moves:
        if target.is_dir():
            shutil.rmtree(target)
        os.replace(new, target)


@pytest.mark.parametrize("name", ["outputs", "folder", "shapefile", "class files", "rasterize", "evaluate"])
def test_twin_replacing_one_after_another_is_caught(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Replacement, "carry_out", carried_out_before)
    caught = "side by side|without what belongs beside it|DID NOT RAISE"
    with pytest.raises((AssertionError, pytest.fail.Exception), match=caught):
        survives(CASES[name], tmp_path)


def test_twin_a_replacement_that_nobody_writes_down_is_caught(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Replacement, "record", lambda self: [work_folder(f).mkdir(exist_ok=True) for f in self.files])
    monkeypatch.setattr(Replacement, "_is_of", lambda self, folder: True)
    with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
        survives(CASES["outputs"], tmp_path)


# One by one


def stopped(folder: Path, case: Case = CASES["outputs"]) -> None:
    """An old run's files, and a new run that was killed when half of its files were in place."""
    old, new = prepared(case, folder)
    moves = 0

    def stop(self: Replacement, source: Path, target: Path, *, of: Path) -> None:
        nonlocal moves
        if "old" not in target.parts:
            moves += 1
        if moves > 3:
            raise Killed
        move(self, source, target, of=of)

    move = Replacement._move
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Replacement, "_move", stop)
        with pytest.raises(Killed):
            case.run(folder, "new", False)
    assert visible(folder) not in (old, new)


def test_every_way_to_a_file_says_what_is_the_matter(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    stopped(folder)
    said = (
        rf"{folder}/map\.tif, .*sure\.tif, .*probs\.tif and 2 more are of an unfinished replacement: a run was "
        r"stopped while it put files in place; run the same command again with --resume to finish it, or with --over"
    )
    for name in CASES["outputs"].named:
        found = unfinished(folder / name)
        assert found is not None
        with pytest.raises(OutputError, match=said):
            settle([folder / name], overwrite=False)
    assert not (folder / "map.tif").exists()  # it is said all the same
    with pytest.raises(RasterError, match=said):
        RasterFile(folder / "map.tif")
    link = tmp_path / "link.tif"
    link.symlink_to(folder / "map.tif")
    with pytest.raises(RasterError, match=SAID):
        RasterFile(link)
    for look, kind in ((files_in, RasterError), (find_rasters, LandsegError)):
        with pytest.raises(kind, match=SAID):
            look(str(folder))
    with pytest.raises(VectorError, match=SAID):
        read_aoi(str(folder / "roofs.shp"), GRID)
    other = Layer.of_classes("classes", folder / "probs.tif", NEW)
    with pytest.raises(OutputError, match=SAID):
        Outputs.begin(Targets([other]), GRID, signature={})
    shutil.copytree(folder, tmp_path / "moved")  # a record goes along with its files
    with pytest.raises(RasterError, match=rf"{tmp_path}/moved/map\.tif.*{SAID}"):
        RasterFile(tmp_path / "moved" / "map.tif")


def test_a_mosaic_of_such_a_file_says_it_too(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    outputs(folder, "old", False)
    rasterio.shutil.copy(folder / "probs.tif", tmp_path / "mosaic.vrt", driver="VRT")
    shutil.rmtree(folder)
    stopped(folder)
    if not (folder / "probs.tif").exists():
        Replacement.read(work_folder(folder / "map.tif")).carry_out()  # type: ignore[union-attr]
    with pytest.raises(RasterError, match=SAID):
        RasterFile(tmp_path / "mosaic.vrt")


def test_what_was_not_stopped_is_opened_as_ever(tmp_path: Path) -> None:
    outputs(tmp_path, "old", False)
    RasterFile(tmp_path / "map.tif").close()
    for address in ("s3://bucket/map.tif", "/vsimem/x.tif", "a" * 5000, "no\0thing", "<VRTDataset/>", "NETCDF:a.nc"):
        assert unfinished(address) is None
    folder = work_folder(tmp_path / "map.tif")
    folder.mkdir()
    for text in ("", "{", "[]", '{"landseg": 1}', '{"landseg": 1, "of": "../.gone.landseg"}', '{"landseg":1,"of":3}'):
        (folder / RECORD).write_text(text)
        assert unfinished(tmp_path / "map.tif") is None
        RasterFile(tmp_path / "map.tif").close()


def test_another_run_that_is_at_it_is_waited_for(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    stopped(folder)
    lock = Journal(work_folder(folder / "map.tif") / "journal")
    for name in ("map.tif", "probs.tif"):
        with pytest.raises(OutputError, match="being put in place by another run: wait for its end"):
            settle([folder / name], overwrite=True)
    lock.close()
    settle([folder / "probs.tif"], overwrite=True)
    assert unfinished(folder / "map.tif") is None and hidden(folder) == []


def test_resume_with_other_options_is_refused_and_keeps_everything(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    stopped(folder)
    before = visible(folder), hidden(folder)
    with pytest.raises(ResumeError, match="model was new, is now old"):
        outputs(folder, "old", True)
    assert (visible(folder), hidden(folder)) == before


def test_files_of_it_that_are_gone_are_named_and_overwrite_begins_anew(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    stopped(folder)
    for part in list(work_folder(folder / "map.tif").glob("map.tif")):
        part.unlink()
    with pytest.raises(OutputError, match=r"map\.tif cannot be put in place, since the new .* is gone.*--overwrite"):
        outputs(folder, "new", True)
    outputs(folder, "new", False)
    assert hidden(folder) == []
    fresh = tmp_path / "fresh"
    fresh.mkdir()
    outputs(fresh, "new", False)
    assert visible(folder) == visible(fresh)


def test_an_old_file_is_never_taken_for_a_new_one_that_is_gone(tmp_path: Path) -> None:
    """The user removed a work folder while the old probabilities still lay there: that is not finished in silence."""
    folder = tmp_path / "run"
    prepared(CASES["outputs"], folder)

    def stop(self: Replacement) -> None:
        raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Replacement, "carry_out", stop)
        with pytest.raises(Killed):
            outputs(folder, "new", False)
    (work_folder(folder / "probs.tif") / "probs.tif").unlink()
    with pytest.raises(OutputError, match=r"probs\.tif cannot be put in place"):
        outputs(folder, "new", True)


def test_what_the_system_refuses_leaves_all_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows does not rename files that another program has open."""
    folder = tmp_path / "run"
    old, _ = prepared(CASES["outputs"], folder)
    rename = os.replace
    for busy in ("probs.tif", "map.tif", "roofs.dbf"):
        tried: list[str] = []

        def refuse(source: Any, target: Any, busy: str = busy, tried: list[str] = tried) -> None:
            recorded = (work_folder(folder / "map.tif") / RECORD).exists()
            if Path(target) == folder / busy and recorded and not tried:
                tried.append(busy)
                raise PermissionError(13, "The process cannot access the file")
            rename(source, target)

        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", refuse)
            with pytest.raises(OutputError, match=rf"cannot replace .*{busy}.*close the programs that have it open"):
                outputs(folder, "new", False)
        assert visible(folder) == old
        assert unfinished(folder / "map.tif") is None


def test_a_record_moves_nothing_that_is_not_of_its_run(tmp_path: Path) -> None:
    """Somebody else's archive may bring a record along."""
    home, archive = tmp_path / "home", tmp_path / "archive"
    home.mkdir()
    (home / "key").write_text("secret")
    folder = work_folder(archive / "map.tif")
    folder.mkdir(parents=True)
    (folder / "map.tif").write_text("new")
    table = {
        "landseg": 1,
        "files": ["../map.tif"],
        "aside": [["../../home/key", "old/key"]],
        "moves": [["map.tif", "../map.tif"]],
        "resume": True,
    }
    for changed in (
        table,
        {**table, "aside": [["../../home/key", "../../home/.key.landseg/old/key"]]},
        {**table, "aside": [], "moves": [["map.tif", "../../home/key"]]},
        {**table, "aside": [], "moves": [["../../home/key", "../map.tif"]]},
    ):
        (folder / RECORD).write_text(json.dumps(changed))
        with pytest.raises(OutputError, match="does not belong to it; remove that"):
            settle([archive / "map.tif"], overwrite=True)
        assert (home / "key").read_text() == "secret" and [path.name for path in home.iterdir()] == ["key"]


def test_polygons_of_a_replaced_run_lose_their_old_index_and_share_a_style(tmp_path: Path, write_raster: Any) -> None:
    from landseg.predict import predict
    from tests.parts.predicting import MODEL, QUICK, noise

    raster = write_raster(noise(20, 20))
    for name in ("o.shp", "o.qix", "o.shp.xml"):
        (tmp_path / name).write_text("old")
    predict(raster, tmp_path / "o.tif", model=MODEL, polygons=tmp_path / "o.shp", overwrite=True, **QUICK)
    assert not (tmp_path / "o.qix").exists() and not (tmp_path / "o.shp.xml").exists()
    text = (tmp_path / "o.qml").read_text()
    assert "paletted" in text and "renderer-v2" in text and hidden(tmp_path) == []


def test_a_dry_run_finishes_nothing(tmp_path: Path, write_raster: Any) -> None:
    from landseg.predict import predict
    from tests.parts.predicting import MODEL, QUICK, noise

    folder, raster = tmp_path / "run", write_raster(noise(20, 20))
    stopped(folder)
    before = visible(folder), hidden(folder)
    for how in ({"overwrite": True}, {"resume": True}, {}):
        with pytest.raises(OutputError, match=SAID):
            predict(raster, folder / "map.tif", model=MODEL, dry_run=True, **how, **QUICK)
    assert (visible(folder), hidden(folder)) == before


def test_the_style_of_an_older_map_does_not_stay_beside_probabilities(tmp_path: Path) -> None:
    table, path = NEW, tmp_path / "probs.tif"
    for text, stays in ((raster_qml(OLD), False), ("<qgis>my own</qgis>", True)):
        qml_path(path).write_text(text)
        path.write_text("an old map")
        layers = [Layer.of_classes("classes", tmp_path / "map.tif", table), Layer.of_probs("probs", path, table)]
        with Outputs.begin(Targets(layers, overwrite=True), GRID, signature={}) as run:
            for layer in layers:
                run.write(layer.name, GRID.rect, None)
            run.finish()
        assert qml_path(path).exists() == stays


def test_one_file_is_complete_or_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "run" / "page.html"
    path.parent.mkdir()
    path.write_text("old")

    def write() -> None:
        with written(path) as place:
            place.write_text("new")

    kills, seen = Kills(path.parent, tmp_path / "states", write), set()
    for at in kills.unlike():
        kills.restore(at)
        seen.add(path.read_text())
        assert list(visible(path.parent)) == ["page.html"]
        write()
        assert path.read_text() == "new" and hidden(path.parent) == []
    assert seen == {"old", "new"}


def test_a_failure_before_the_end_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text("old")
    with pytest.raises(KeyError), written(tmp_path / "page.html") as place:
        place.write_text("half")
        raise KeyError
    assert visible(tmp_path) == {"page.html": b"old"} and hidden(tmp_path) == []


def test_publishing_into_several_folders(tmp_path: Path) -> None:
    for name in ("maps", "probs"):
        (tmp_path / name).mkdir()
    parts = []
    for place in (tmp_path / "probs" / "a.tif", tmp_path / "maps" / "a.tif"):
        place.write_text("old")
        work_folder(place).mkdir()
        (work_folder(place) / "a.tif").write_text("new")
        parts.append(Part(place, ((work_folder(place) / "a.tif", place),)))

    def stop(self: Replacement) -> None:
        raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Replacement, "carry_out", stop)
        with pytest.raises(Killed):
            publish(parts)
    for part in parts:
        with pytest.raises(OutputError, match=rf"{part.target}.*{SAID}"):
            settle([part.target], overwrite=False)
    settle([parts[0].target], overwrite=True)
    assert set(visible(tmp_path).values()) == {b"new"} and hidden(tmp_path) == []


def test_the_record_is_durable_before_the_first_file_is_touched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run"
    prepared(CASES["outputs"], folder)
    calls: list[str] = []
    write, move, sync = landseg.runtime.replacement._write, Replacement._move, landseg.runtime.replacement.sync_folder
    monkeypatch.setattr(landseg.runtime.replacement, "_write", lambda *a: (write(*a), calls.append("written")))
    monkeypatch.setattr(landseg.runtime.replacement, "sync_folder", lambda p: (sync(p), calls.append("folder")))
    monkeypatch.setattr(Replacement, "_move", lambda *a, **k: (move(*a, **k), calls.append("moved")))
    outputs(folder, "new", False)
    first = calls.index("moved")
    assert calls[:first].count("written") == 5 and calls[first - 1] == "written"
    assert "folder" in calls[len(calls) - calls[::-1].index("moved") :]
