"""Folders among the outputs: which places are refused, each in a sentence, and what a folder takes on the disk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from landseg.errors import OutputError
from landseg.output.extra_folder import ExtraFolder
from landseg.output.outputs import Outputs, disk_bytes
from landseg.output.targets import Targets
from tests.parts.outputs import GRID, SIGNATURE, layers_in

KIND = ExtraFolder("list.json", ("*.png",), pixel_bytes=3.0)


def targets(folder: Path, made: Path, *, inputs: tuple[Path, ...] = (), overwrite: bool = True) -> Targets:
    kinds = {made: KIND}
    return Targets(layers_in(folder), {made: ()}, inputs, overwrite=overwrite, extra_folders=kinds)


def refusal(folder: Path, made: Path, *inputs: Path) -> str:
    with pytest.raises(OutputError) as error:
        targets(folder, made, inputs=inputs).check()
    return str(error.value).replace(str(folder), "F")


def filled(folder: Path, *names: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).write_text(name)
    return folder


def test_a_place_for_a_folder_is_free_or_holds_its_like(tmp_path: Path) -> None:
    targets(tmp_path, tmp_path / "new").check()
    targets(tmp_path, filled(tmp_path / "empty")).check()
    targets(tmp_path, filled(tmp_path / "like", "list.json", "a.png", "b.png")).check()
    with pytest.raises(OutputError, match="like exists: choose another output, or replace it with --overwrite"):
        targets(tmp_path, tmp_path / "like", overwrite=False).check_absent()


@pytest.mark.parametrize(
    ("prepare", "sentence"),
    [
        (lambda folder: folder / "no" / "new", "F/no/new has no folder: make F/no first, or choose another output"),
        (lambda folder: filled(folder, "a").joinpath("a"), "F/a is a file: name a new folder, which the run makes"),
        (lambda folder: folder / "..", "F/.. has no name of its own: name a new folder, which the run makes"),
        (lambda folder: Path("."), ". has no name of its own: name a new folder, which the run makes"),
        (lambda folder: folder, "F/map.tif lies in F, which the run makes as a whole: put it elsewhere"),
        (
            lambda folder: folder / "map.tif",
            "F/map.tif is named for two outputs: give each its own file",
        ),
        (
            lambda folder: filled(folder / "d", "list.json", "notes.txt"),
            "F/d holds notes.txt, which is not of an earlier list.json: choose another folder",
        ),
        (
            lambda folder: filled(folder / "d", "holiday.png"),
            "F/d holds holiday.png, which is not of an earlier list.json: choose another folder",
        ),
        (
            lambda folder: filled(filled(folder / "d", "list.json") / "x.png").parent,
            "F/d holds x.png, which is not of an earlier list.json: choose another folder",
        ),
        (lambda folder: Path("s3://bucket/new"), "s3://bucket/new: outputs go to local or shared folders"),
    ],
)  # fmt: skip
def test_other_places_are_refused(tmp_path: Path, prepare: Callable[[Path], Path], sentence: str) -> None:
    assert refusal(tmp_path, prepare(tmp_path)).startswith(sentence)


def test_a_folder_with_an_input_is_not_replaced(tmp_path: Path) -> None:
    made = filled(tmp_path / "d", "list.json", "a.png")
    said = refusal(tmp_path, made, made / "a.png")
    assert said == "F/d/a.png is an input of this run and lies in F/d: choose another folder"
    (tmp_path / "link").symlink_to(made)
    assert "is an input of this run" in refusal(tmp_path, tmp_path / "link", made / "a.png")
    targets(tmp_path, made, inputs=(tmp_path / "other.tif", Path("s3://bucket/a.tif"), Path("<VRT>\0"))).check()


def test_space_for_a_folder_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layers = layers_in(tmp_path)
    more = disk_bytes(layers, GRID, extra_folders=[KIND]) - disk_bytes(layers, GRID)
    assert more == 3 * GRID.width * GRID.height
    free = disk_bytes(layers, GRID) + more // 2
    monkeypatch.setattr("landseg.output.checks.shutil.disk_usage", lambda _: type("Free", (), {"free": free}))
    with pytest.raises(OutputError, match="the outputs need up to"):
        Outputs.begin(targets(tmp_path, tmp_path / "new"), GRID, signature=SIGNATURE)
    assert list(tmp_path.iterdir()) == []
    alone = Targets(layers)  # twin: without the folder there is room
    Outputs.begin(alone, GRID, signature=SIGNATURE).discard()
