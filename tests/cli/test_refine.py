"""`landseg refine` as a program: its two streams, its exit codes, its arguments."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from landseg.crf.energy import CrfOptions
from tests.parts.commands import run
from tests.parts.refining import files, read, scene, stop_at, values, whole

Write = Callable[..., Path]
SMALL = ["--iterations", 2, "--bilateral-xy", 1.5, "--bilateral-bands", "12,12,12", "--spatial-xy", 0.8]


def test_json_is_one_object_and_nothing_else(write_raster: Write, tmp_path: Path) -> None:
    image, probs = scene()
    both = files(write_raster, image, probs)
    out = tmp_path / "o.tif"
    code, said, err = run("refine", *both, "-o", out, *SMALL, "--window", 60, "--halo", "exact", "--json")
    assert code == 0, err
    found = json.loads(said)
    wanted = {"output", "files", "windows", "halo", "exact", "mode", "changed", "seconds", "disagreement", "crf"}
    assert wanted <= set(found)
    assert found["exact"] is True and found["halo"] == 18 and found["output"] == str(out)
    assert "100.0 %" in err and "exact: 2 updates hear no further" in err
    np.testing.assert_array_equal(read(out)[0], values(whole(image, probs)))


def test_every_option_reaches_the_crf(write_raster: Write, tmp_path: Path) -> None:
    image, probs = scene(60, 70)
    both = files(write_raster, image, probs)
    weights = ["--bilateral-weight", 2, "--spatial-weight", 1, "--bands", "3,1", "--units", "metres"]
    words = ["--iterations", 3, "--bilateral-xy", 1, "--bilateral-bands", 20, "--spatial-xy", 0.5, *weights]
    more = ["--probs", tmp_path / "p.tif", "--probs-dtype", "float32", "--memory", 2000]
    code, said, err = run("refine", *both, "-o", tmp_path / "o.tif", *words, *more)
    assert code == 0, err
    assert "3 updates; near and alike: weight 2, 1 m, bands by 20; near: weight 1, 0.5 m" in said
    assert str(tmp_path / "p.tif") in said and "changed" in said and "exact: one window" in said
    size = json.loads(run("info", both[0], "--json")[1])["resolution_m"]
    options = CrfOptions(3, 2.0, 1.0, 20.0, 1.0, 0.5)
    expected = whole(image[[2, 0]], probs, options, pixel_size=(size, size))
    assert np.abs(read(tmp_path / "p.tif") - expected).max() < 1e-4


def test_interrupted_it_says_how_to_go_on(
    write_raster: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = files(write_raster, *scene())
    words: list[Any] = ["refine", *both, "-o", tmp_path / "o.tif", *SMALL, "--window", 60, "--halo", "exact"]
    with monkeypatch.context() as patch:
        stop_at(patch, 3, KeyboardInterrupt())
        code, said, err = run(*words)
    assert code == 130 and said == "" and "--resume" in err and not (tmp_path / "o.tif").exists()
    assert run(*words, "--resume")[0] == 0 and (tmp_path / "o.tif").exists()
    assert "finished before, skipped" in run(*words, "--resume")[1]
    code, _, err = run(*words)
    assert code == 1 and "--overwrite" in err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--halo", "18.5"], "halo '18.5': expected auto, exact, or a whole number"),
        (["--halo", "-3"], "halo -3: expected 0 or more, exact, or auto"),
        (["--window", "60x50"], "window '60x50': a CRF's windows are square"),
        (["--bands", "a"], "--bands a: expected numbers such as 3,2,1"),
        (["--bands", "4"], "band 4 was asked for: use 1 to 3"),
        (["--bilateral-bands", "8,-1"], "bilateral bands '8,-1': expected auto, or widths above 0"),
        (["--preset", "best"], "preset 'best': expected moderate or deeplab-v2"),
        (["--units", "feet"], "units 'feet': expected pixels or metres"),
        (["--iterations", "-1"], "the iterations and weights of a CRF should be 0 or more"),
        (["--spatial-weight", "nan"], "the iterations and weights of a CRF should be 0 or more"),
        (["--bilateral-xy", "0"], "the widths of a CRF should be above 0"),
        (["--memory", "0"], "memory 0: expected a whole number, 1 or more"),
    ],
)
def test_a_refusal_is_one_sentence_and_exit_1(
    words: list[str], sentence: str, write_raster: Write, tmp_path: Path
) -> None:
    both = files(write_raster, *scene(20, 20))
    code, said, err = run("refine", *both, "-o", tmp_path / "o.tif", *words)
    assert code == 1 and said == "" and sentence in err and err.count("\n") == 1 and "Traceback" not in err
    assert {path.name for path in tmp_path.iterdir()} == {"probs.tif", "image.tif"}


def test_wrong_usage_is_exit_2(write_raster: Write, tmp_path: Path) -> None:
    code, _, err = run("refine", tmp_path / "p.tif", "-o", tmp_path / "o.tif")
    assert code == 2 and "IMAGE" in err
