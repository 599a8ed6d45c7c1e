"""Where windows met: the tag says it, evaluation reads it, and a seam shows there."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from landseg.cli.main import app
from landseg.evaluate import evaluate
from landseg.geo import seams as borders
from landseg.geo.grid import Rect
from landseg.geo.seams import BORDERS, Seams
from landseg.labels.legend import class_tag
from landseg.output.outputs import Outputs
from landseg.predict import predict
from landseg.refine import refine
from landseg.tiling.rows.plan import plan_stream
from landseg.tiling.rows.program import program_of
from landseg.tiling.rows.sections import schedules
from tests.parts.predicting import MODEL, QUICK, TABLE, noise, read

Write = Callable[..., Path]
PLAIN: dict[str, Any] = {"boundary": None, "tolerance": None, "samples": 0}
numbers = st.lists(st.integers(1, 299), max_size=12).map(tuple)


def check_round_trip(rows: tuple[int, ...], columns: tuple[int, ...]) -> None:
    made = Seams((300, 300), rows, columns)
    assert Seams.read({BORDERS: made.text}, (300, 300)) == made
    assert made.rows == tuple(sorted(set(rows))) and made.columns == tuple(sorted(set(columns)))


@given(numbers, numbers)
def test_what_is_written_is_read(rows: tuple[int, ...], columns: tuple[int, ...]) -> None:
    check_round_trip(rows, columns)


def test_twin_a_run_that_is_one_short_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    check_round_trip((10, 20, 30, 40), ())
    honest = borders._runs
    monkeypatch.setattr(
        borders, "_runs", lambda n: [[*r[:2], r[2] - 1] if isinstance(r, list) else r for r in honest(n)]
    )
    with pytest.raises(AssertionError):
        check_round_trip((10, 20, 30, 40), ())


def test_a_regular_plan_has_a_short_tag_and_a_tag_cannot_ask_for_much() -> None:
    huge = Seams((10**7, 10**7), tuple(range(384, 10**7, 448)), tuple(range(384, 10**7, 448)))
    assert len(huge.text) < 100
    assert not Seams((100, 100), (0, 100, -5), ())
    text = json.dumps({"rows": [[-(10**12), 10, 10**15]], "columns": [5]})
    assert Seams.read({BORDERS: text}, (35, 9)) == Seams((35, 9), (10, 20, 30), (5,))


@pytest.mark.parametrize(
    "tag",
    [
        "",
        "no JSON",
        "[1]",
        "{}",
        '{"rows": [1]}',
        '{"rows": [[1, 0, 3]], "columns": []}',
        '{"rows": [[1, 2]], "columns": []}',
        '{"rows": ["a"], "columns": []}',
        '{"size": [5, 6], "rows": [1], "columns": [2]}',
    ],
)
def test_what_says_nothing_or_speaks_of_another_size_is_not_believed(tag: str) -> None:
    assert Seams.read({BORDERS: tag} if tag else {}, (50, 60)) is None


def written(monkeypatch: pytest.MonkeyPatch) -> list[Rect]:
    """What is written from now on, in pixels of the output."""
    rects: list[Rect] = []
    honest = Outputs.write

    def write(self: Outputs, name: str, rect: Rect, *arrays: Any) -> None:
        rects.append(rect)
        honest(self, name, rect, *arrays)

    monkeypatch.setattr(Outputs, "write", write)
    return rects


def borders_of(path: Path) -> Seams:
    with rasterio.open(path) as raster:
        found = Seams.read(raster.tags(), raster.shape)
    assert found is not None
    return found


@pytest.mark.parametrize(
    "options",
    [
        {"window": 64},
        {"window": (64, 96), "aoi": "500010,5399950,500075,5399990"},
        {"window": 64, "resolution": 0.35},
        {"window": 64, "resolution": 0.8, "aoi": "500010.5,5399950,500075,5399990"},
    ],
    ids=["windows", "aoi", "finer", "coarser, aoi"],
)
def test_the_tag_says_where_what_was_kept_of_each_window_begins(
    options: dict[str, Any], write_raster: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rects = written(monkeypatch)
    predict(write_raster(noise(150, 210)), tmp_path / "o.tif", model=MODEL, **options, **QUICK)
    found = borders_of(tmp_path / "o.tif")
    assert found.rows == tuple(sorted({rect.top for rect in rects} - {0})) != ()
    assert found.columns == tuple(sorted({rect.left for rect in rects} - {0})) != ()


def test_one_window_and_blended_ones(write_raster: Write, tmp_path: Path) -> None:
    source = write_raster(noise(60, 200))
    predict(source, tmp_path / "one.tif", model=MODEL, window=256, **QUICK)
    assert not borders_of(tmp_path / "one.tif")
    predict(source, tmp_path / "blend.tif", model=MODEL, window=64, halo=8, **QUICK)
    assert borders_of(tmp_path / "blend.tif") == Seams((60, 200), (), (56, 104, 152))


def test_rows_that_stream_tell_their_strips(write_raster: Write, tmp_path: Path) -> None:
    predict(write_raster(noise(700, 60)), tmp_path / "o.tif", model=MODEL, runtime="torch", **QUICK)
    assert borders_of(tmp_path / "o.tif") == Seams((700, 60), (256, 512), ())
    box = "500000,5399700,500030,5399990"  # rows 20 to 600: strips are cut where those of the whole raster are
    predict(write_raster(noise(700, 60)), tmp_path / "a.tif", model=MODEL, aoi=box, runtime="torch", **QUICK)
    assert borders_of(tmp_path / "a.tif") == Seams((580, 60), (236, 492), ())


@pytest.mark.parametrize("region", [Rect(0, 0, 300, 400), Rect(37, 50, 200, 301)])
@pytest.mark.parametrize("limit", [1 << 30, 150_000])
def test_strips_blocks_and_chunks_are_cut_where_the_plan_says(region: Rect, limit: int) -> None:
    flow = program_of(MODEL.network)
    plan = plan_stream(flow, (300, 400), bands=3, itemsize=4, limit=limit, region=region, strip=16, cell=16 * 24)
    rows, columns = set(), {block.left for block in plan.blocks}
    for block in plan.blocks:
        for schedule, starts in zip(schedules(flow, (300, 400), block, 16, plan.chunk), (rows, columns), strict=True):
            spans = [piece.spans[flow.output] for piece in schedule]
            starts.update(start for start, stop in spans if stop > start)
    assert plan.chunk and (limit > 1 << 29) == (len(plan.blocks) == 1)
    assert plan.cuts == (tuple(sorted(rows - {region.top})), tuple(sorted(columns - {region.left})))


def test_refined_classes_have_the_borders_of_both(write_raster: Write, tmp_path: Path) -> None:
    source = write_raster(noise(100, 120))
    predict(source, tmp_path / "o.tif", model=MODEL, window=64, probs=tmp_path / "p.tif", **QUICK)
    refine(tmp_path / "p.tif", source, tmp_path / "r.tif", window=80, halo=10, quiet=True)
    first, both = borders_of(tmp_path / "o.tif"), borders_of(tmp_path / "r.tif")
    assert borders_of(tmp_path / "p.tif") == first
    assert set(first.columns) < set(both.columns) and 70 in both.columns


def distances(cuts: tuple[int, ...], size: int) -> np.ndarray:
    """Of every pixel along an axis to the nearest border, the slow way."""
    return np.array([min((min(abs(x - c), abs(x - c + 1)) for c in cuts), default=999) for x in range(size)])


def planted(tmp_path: Path, source: Path) -> tuple[str, str]:
    """A prediction, and a truth that differs from it only beside borders."""
    predict(source, tmp_path / "o.tif", model=MODEL, window=64, **QUICK)
    found, classes = borders_of(tmp_path / "o.tif"), read(tmp_path / "o.tif")
    down, across = distances(found.rows, classes.shape[0]), distances(found.columns, classes.shape[1])
    beside = np.minimum(down[:, None], across) == 0
    truth = np.where(beside, np.where(classes == 1, 2, 1), classes).astype(np.uint8)
    with rasterio.open(tmp_path / "o.tif") as raster:
        profile = {"driver": "GTiff", "crs": raster.crs, "transform": raster.transform, "nodata": 0}
    height, width = truth.shape
    with rasterio.open(
        tmp_path / "t.tif", "w", count=1, dtype="uint8", height=height, width=width, **profile
    ) as raster:
        raster.write(truth, 1)
    return str(tmp_path / "o.tif"), str(tmp_path / "t.tif")


def test_a_seam_that_was_planted_is_found_at_distance_0(write_raster: Write, tmp_path: Path) -> None:
    ours, truth = planted(tmp_path, write_raster(noise(150, 210)))
    found = evaluate(ours, truth, **PLAIN)
    assert found.border is not None and found.seam is not None
    assert found.border[0].error_rate == 1 and found.border[0].pixels > 0
    assert all(b.error_rate == 0 for b in found.border[1:] if b.pixels)
    assert found.seam.near > 0.2 and found.seam.far == 0
    # Twin: borders that are one pixel off are told apart.
    with rasterio.open(ours, "r+", IGNORE_COG_LAYOUT_BREAK="YES") as raster:
        right = Seams.read(raster.tags(), raster.shape)
        assert right is not None
        off = Seams(right.size, tuple(at + 1 for at in right.rows), tuple(at + 1 for at in right.columns))
        raster.update_tags(**{BORDERS: off.text})
    moved = evaluate(ours, truth, **PLAIN).border
    assert moved is not None and 0 < moved[0].error_rate < 0.7 and moved[1].error_rate > 0


def test_the_program_shows_a_seam_and_none_where_there_is_none(write_raster: Write, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    shape, cuts = (1100, 2200), tuple(range(100, 2200, 100))
    truth = rng.integers(1, 3, shape, dtype=np.uint8)
    near = np.minimum(distances(cuts[:10], shape[0])[:, None], distances(cuts, shape[1])) < 4
    for name, rate in (("seam", 0.3), ("none", 0.1)):
        wrong = rng.random(shape) < np.where(near, rate, 0.1)
        path = write_raster(np.where(wrong, 3 - truth, truth).astype(np.uint8), f"{name}.tif", nodata=0)
        with rasterio.open(path, "r+") as raster:
            tags = {BORDERS: Seams(shape, cuts[:10], cuts).text, "LANDSEG_CLASSES": class_tag(TABLE)}
            raster.update_tags(**tags, LANDSEG_MODEL="m")
        arguments = ["evaluate", str(path), str(write_raster(truth, "t.tif", nodata=0))]
        arguments += ["--boundary", "none", "--tolerance", "none", "--samples", "200"]
        told = CliRunner().invoke(app, arguments)
        assert told.exit_code == 0, told.stderr
        line = next(line for line in told.stdout.splitlines() if "errors at window edges, 4 px" in line)
        assert "elsewhere 0.1" in line and ("a sign of a seam" in line) == (name == "seam")
        found = json.loads(CliRunner().invoke(app, [*arguments, "--json"]).stdout)
        assert [b["error_rate"] == pytest.approx(rate, abs=0.02) for b in found["border"][:3]] == [True] * 3
        assert found["border"][4]["error_rate"] == pytest.approx(0.1, abs=0.01)
        assert (found["seam"]["low"] > 1) == (name == "seam") and found["seam"]["distance"] == 4
