"""Targets are checked before any work: each place where no file can be, or must not be, has its own sentence."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from landseg.errors import OutputError
from landseg.runtime.target_checks import check_place, check_suffix, check_target

PAGE = (".html", ".htm")


def said(target: Path, suffixes: tuple[str, ...] = PAGE, **options: object) -> str:
    """Return the sentence by which a report is refused; "" where it is not."""
    try:
        check_target(target, suffixes, kind="a report", **options)  # type: ignore[arg-type]
    except OutputError as error:
        return str(error)
    return ""


def test_a_place_for_a_new_file_is_taken(tmp_path: Path) -> None:
    for name in ("new.html", "NEW.HTM", "a.b.html"):
        assert said(tmp_path / name) == ""
    assert list(tmp_path.iterdir()) == []


def test_each_fault_has_its_sentence(tmp_path: Path) -> None:
    (tmp_path / "there.html").write_text("mine")
    (tmp_path / "folder.html").mkdir()
    assert said(tmp_path / "a.pdf") == "a report ends in .html or .htm, got 'a.pdf': use a.html"
    assert said(tmp_path / "a") == "a report ends in .html or .htm, got 'a': use a.html"
    assert (
        said(tmp_path / "folder.html")
        == f"{tmp_path}/folder.html is a folder: name a file in it that ends in .html or .htm"
    )
    assert said(tmp_path / "no" / "a.html") == (
        f"{tmp_path}/no/a.html has no folder: make {tmp_path}/no first, or choose another output"
    )
    assert said(tmp_path / "there.html") == (
        f"{tmp_path}/there.html exists: choose another output, or replace it with --overwrite"
    )
    assert said(Path("s3://bucket/a.html")).startswith("s3://bucket/a.html: outputs go to local or shared folders")
    assert said(tmp_path / "there.html", overwrite=True) == "" and said(tmp_path / "a.pdf", ()) == ""


def test_an_input_is_not_replaced_under_any_name(tmp_path: Path) -> None:
    source, other = tmp_path / "in.html", tmp_path / "other.html"
    source.write_text("in")
    other.write_text("other")
    (tmp_path / "link.html").symlink_to(source)
    os.link(source, tmp_path / "hard.html")
    inputs = [source, Path("https://host/in.html"), tmp_path / "absent"]
    for name in ("in.html", "link.html", "hard.html"):
        sentence = f"{tmp_path / name} is an input of this run: choose another output"
        assert said(tmp_path / name, overwrite=True, inputs=inputs) == sentence
    assert said(other, overwrite=True, inputs=inputs) == ""


def test_a_link_to_nothing_exists(tmp_path: Path) -> None:
    (tmp_path / "link.html").symlink_to(tmp_path / "gone.html")
    assert " exists: " in said(tmp_path / "link.html")


def test_a_folder_that_the_run_makes_is_there(tmp_path: Path) -> None:
    made = tmp_path / "made"
    check_place(made / "a.html", PAGE, kind="a report", folders=[made])
    with pytest.raises(OutputError, match="has no folder"):
        check_place(made / "inner" / "a.html", PAGE, kind="a report", folders=[made])


@pytest.mark.parametrize(("name", "fits"), [("p.png", True), ("P.PNG", True), ("p.tif", False), ("png", False)])
def test_suffixes_match_in_capitals_too(name: str, fits: bool) -> None:
    try:
        check_suffix(Path(name), (".png",), kind="a preview")
    except OutputError as error:
        assert not fits and str(error).endswith(f"got {name!r}: use {Path(name).stem}.png")
    else:
        assert fits
