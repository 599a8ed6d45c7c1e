"""How the program ends: exit codes, one sentence, clean standard output."""

import json
import logging
import math
import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import typer
from typer.testing import CliRunner

from landseg.cli import console
from landseg.cli.main import app as program
from landseg.cli.run import Commands
from landseg.errors import PlanError

SENTENCE = "halo 24 is not a multiple of the stride 16; use 32"


def ending_with(error: BaseException | None, *, resumable: bool = False) -> typer.Typer:
    """A program with the command `do`, which prints a result or raises `error`, and another, `idle`."""
    app = typer.Typer(cls=Commands, rich_markup_mode=None)

    def work() -> None:
        with console.working():
            print("noise from a library")
            if error is not None:
                raise error
        console.show({"iou": math.nan, "n": np.int64(3)}, as_json=True, text="")

    if resumable:

        @app.command("do")
        def do_or_resume(resume: bool = False) -> None:
            work()
    else:

        @app.command("do")
        def do(size: int = 1) -> None:
            work()

    app.command("idle")(lambda: None)
    return app


@pytest.mark.parametrize(
    ("error", "code", "says"),
    [
        (PlanError(SENTENCE), 1, SENTENCE),
        (FileNotFoundError(2, "No such file or directory", "a.tif"), 1, "a.tif"),
        (MemoryError(), 1, "--memory"),
        (ZeroDivisionError("division by zero"), 1, "fault in landseg, ZeroDivisionError"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_failure_is_one_sentence(error: BaseException, code: int, says: str) -> None:
    done = CliRunner().invoke(ending_with(error), ["do"])
    assert done.exit_code == code
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert lines[0] == "noise from a library"
    assert len(lines) == 2 and says in lines[1] and "Traceback" not in done.stderr


@pytest.mark.parametrize(("resumable", "says"), [(True, "--resume"), (False, "start over")])
def test_interruption_says_how_to_go_on(resumable: bool, says: str) -> None:
    done = CliRunner().invoke(ending_with(KeyboardInterrupt(), resumable=resumable), ["do"])
    assert done.exit_code == 130
    assert says in done.stderr


def test_debugging_shows_the_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANDSEG_DEBUG", "1")
    done = CliRunner().invoke(ending_with(PlanError(SENTENCE)), ["do"])
    assert done.exit_code == 1
    assert "Traceback" in done.stderr and done.stderr.strip().endswith(SENTENCE)


def test_without_the_group_a_failure_escapes() -> None:
    """The failing twin: typer's own group lets the exception through."""
    app = typer.Typer()

    @app.command("do")
    def do() -> None:
        raise PlanError(SENTENCE)

    app.command("idle")(lambda: None)
    assert isinstance(CliRunner().invoke(app, ["do"]).exception, PlanError)


def test_result_is_one_json_object() -> None:
    done = CliRunner().invoke(ending_with(None), ["do"])
    assert done.exit_code == 0
    assert json.loads(done.stdout) == {"iou": None, "n": 3}
    assert done.stdout.count("\n") == 1


@pytest.mark.parametrize("arguments", [["nonsense"], ["--nonsense"]])
def test_wrong_usage_is_two(arguments: list[str]) -> None:
    done = CliRunner().invoke(program, arguments)
    assert done.exit_code == 2
    assert done.stdout == ""


def test_wrong_option_of_a_command_is_two() -> None:
    done = CliRunner().invoke(ending_with(None), ["do", "--size", "big"])
    assert done.exit_code == 2
    assert "--size" in done.stderr
    assert done.stdout == ""


def test_closed_pipe_is_no_fault() -> None:
    done = CliRunner().invoke(ending_with(BrokenPipeError(32, "Broken pipe")), ["do"])
    assert done.exit_code == 1
    assert "Broken pipe" not in done.stderr


def test_log_and_warnings_go_to_standard_error(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    log = logging.getLogger("landseg")
    state = log.handlers[:], log.level, log.propagate
    try:
        console.start()
        console.start()  # twice: still one handler
        log.info("reading")
        log.warning("no CRS")
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            console._show_warning("an old\n  option", UserWarning, "x.py", 1)
    finally:
        log.handlers[:], log.level, log.propagate = state
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == ["reading", "warning: no CRS", "warning: an old option"]


def console_of(folder: Path, code: str, **environ: str) -> list["subprocess.CompletedProcess[bytes]"]:
    """The program on a raster whose name no small encoding has, on a console of another encoding."""
    raster = folder / "Zürich 数据.tif"
    place = {"crs": "EPSG:32645", "transform": rasterio.Affine(1, 0, 333_000, 0, -1, 3_065_000)}
    with rasterio.open(raster, "w", driver="GTiff", count=1, height=4, width=4, dtype="uint8", **place) as file:
        file.write(np.ones((1, 4, 4), np.uint8))
        file.update_tags(LANDSEG_NOTE="größer 数据")
    inherited = {key: text for key, text in os.environ.items() if key not in ("PYTHONIOENCODING", "PYTHONUTF8")}
    start = f"import sys\nfrom landseg.cli import console\nfrom landseg.cli.main import main\n{code}\nmain()"
    given = (["info", str(raster)], ["info", str(raster), "--json"], ["info", str(folder / "数.tif")])
    how: dict[str, Any] = {"capture_output": True, "env": inherited | environ, "timeout": 300}
    return [subprocess.run([sys.executable, "-c", start, *words], **how) for words in given]


CONSOLES = [{"PYTHONIOENCODING": "cp1252"}, {"PYTHONIOENCODING": "ascii", "LC_ALL": "C"}]


@pytest.mark.parametrize("environ", CONSOLES)
def test_a_console_that_lacks_a_character_replaces_it(tmp_path: Path, environ: dict[str, str]) -> None:
    text, record, missing = console_of(tmp_path, "", **environ)
    assert text.returncode == record.returncode == 0 and missing.returncode == 1
    shown = text.stdout.decode("utf-8" if "LC_ALL" in environ else "cp1252")  # click takes ASCII for a mistake
    first = shown.replace("数据", "\\u6570\\u636e").splitlines()[0]
    assert first.endswith("Zürich \\u6570\\u636e.tif: 4 x 4 px, GTiff")
    assert not text.stderr
    found = json.loads(record.stdout.decode("ascii"))
    assert found["path"].endswith("Zürich 数据.tif") and found["provenance"] == {"LANDSEG_NOTE": "größer 数据"}
    assert b".tif: no such file" in missing.stderr and b"fault" not in missing.stderr


def test_json_is_written_as_it_is_where_the_console_has_it_all(tmp_path: Path) -> None:
    record = console_of(tmp_path, "", PYTHONIOENCODING="utf-8")[1]
    assert "Zürich 数据.tif" in record.stdout.decode()


def test_without_replacing_the_program_would_fail(tmp_path: Path) -> None:
    text = console_of(tmp_path, "console.show_everything = lambda: None", PYTHONIOENCODING="cp1252")[0]
    assert text.returncode == 1 and b"UnicodeEncodeError" in text.stderr


def test_help_is_shown_on_any_console() -> None:
    for arguments in (["--help"], ["train", "--help"], ["predict", "--help"]):
        code = f"import sys\nfrom landseg.cli.main import main\nsys.argv = ['landseg', *{arguments!r}]\nmain()"
        environ = {**os.environ, "PYTHONIOENCODING": "ascii"}
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, env=environ, timeout=120)
        assert done.returncode == 0 and b"Usage" in done.stdout and not done.stderr
