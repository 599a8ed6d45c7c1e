"""The disk: journals that survive being torn, refusals as sentences, and what these promise."""

import errno
import multiprocessing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from landseg.errors import OutputError
from landseg.runtime.disk import FullDisk, Journal, disk_errors, empty_folder, work_folder, work_kept


def test_journal_reads_back(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j")
    assert journal.header is None
    journal.restart({"a": 1})
    journal.append({"done": "x"})
    journal.close()
    again = Journal(tmp_path / "j")
    assert again.header == {"a": 1}
    assert again.records == [{"done": "x"}]
    again.close()


@given(cut=st.integers(0, 60))
def test_a_torn_line_is_dropped_and_never_glued_to_the_next(tmp_path_factory: Any, cut: int) -> None:
    path = tmp_path_factory.mktemp("torn") / "j"
    journal = Journal(path)
    journal.restart({"a": 1})
    journal.append({"done": "x"})
    journal.append({"done": "y"})
    journal.close()
    whole = path.read_bytes()
    path.write_bytes(whole[: min(cut, len(whole))])
    lines = whole[: min(cut, len(whole))].count(b"\n")
    again = Journal(path)
    assert (again.header is not None) + len(again.records) == lines
    if again.header is not None:
        again.append({"done": "z"})
        again.close()
        third = Journal(path)
        assert [r["done"] for r in third.records] == [*["x", "y"][: lines - 1], "z"]
        third.close()
    else:
        again.close()


def test_what_follows_a_broken_line_is_not_believed(tmp_path: Path) -> None:
    (tmp_path / "j").write_bytes(b'{"a": 1}\n{"don\x00\x00\n{"done": "y"}\n')
    journal = Journal(tmp_path / "j")
    assert journal.records == []
    journal.close()


def hold(path: str, ready: Any, release: Any) -> None:
    journal = Journal(Path(path))
    ready.set()
    release.wait(20)
    journal.close()


def test_a_second_run_is_refused_while_the_first_lives(tmp_path: Path) -> None:
    context = multiprocessing.get_context("forkserver")
    ready, release = context.Event(), context.Event()
    other = context.Process(target=hold, args=(str(tmp_path / "j"), ready, release))
    other.start()
    assert ready.wait(30)
    with pytest.raises(OutputError, match="another run is writing"):
        Journal(tmp_path / "j")
    release.set()
    other.join(30)
    Journal(tmp_path / "j").close()


def test_other_refusals_name_the_file(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"cannot write .*x \(Permission denied\)"), disk_errors(tmp_path / "x"):
        raise PermissionError(errno.EACCES, "Permission denied")


def refuse(path: Path, *, kept: bool) -> str:
    """Return the sentence about a full disk in a block that says whether work is kept."""
    with pytest.raises(FullDisk) as caught:  # noqa: SIM117
        with work_kept(kept), disk_errors(path):
            raise OSError(errno.ENOSPC, "No space left on device")
    return str(caught.value)


@pytest.mark.parametrize("kept", [True, False])
def test_a_full_disk_promises_what_is_true_of_the_run(tmp_path: Path, kept: bool) -> None:
    full, _, end = refuse(tmp_path / "a.tif", kept=kept).partition("; ")
    assert full.startswith(f"the disk of {tmp_path} is full (") and full.endswith("or a file may not grow further")
    if kept:
        assert end == "finished work is kept: make space there and run the same command again with --resume"
    else:
        assert end == "nothing was kept: make space there and run the same command again"


def test_other_errors_pass_through_kept_work(tmp_path: Path) -> None:
    sentence = r"\(Permission denied\): choose a folder that you may write to$"
    with pytest.raises(OutputError, match=sentence), work_kept(), disk_errors(tmp_path):
        raise PermissionError(errno.EACCES, "Permission denied")


def test_a_folder_is_emptied_but_for_one_file(tmp_path: Path) -> None:
    folder = work_folder(tmp_path / "a.tif")
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "x").touch()
    (folder / "journal").touch()
    (folder / "y").touch()
    empty_folder(folder, keep=folder / "journal")
    assert [entry.name for entry in folder.iterdir()] == ["journal"]
