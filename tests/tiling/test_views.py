"""Test-time augmentation: the mean over views of the whole image, however the image is cut."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from typer.testing import CliRunner

from landseg.cli.main import app
from landseg.cli.predict import lines as predict_lines
from landseg.errors import PlanError, ResumeError
from landseg.geo.grid import Rect
from landseg.inference import strategy
from landseg.models.file import Model
from landseg.models.named import NamedModel
from landseg.predict import predict
from landseg.tiling.costs import MIB, Costs
from landseg.tiling.plan import plan_tiling
from landseg.tiling.runner import Runner
from landseg.tiling.views import View, Views, mean_of_views
from landseg.verify import verify
from tests.parts.predicting import MODEL, QUICK, TABLE, noise, one, read, small_model
from tests.parts.smooth import smooth

Write = Callable[..., Path]
ALL = [View(*(bool(number >> bit & 1) for bit in range(3))) for number in range(8)]
WARM = small_model(temperature=2.5)
SYMMETRIES: dict[str, list[tuple[int, ...]]] = {  # the axes of (K, h, w) that are mirrored
    "none": [()],
    "flips": [(), (1,), (2,), (1, 2)],
    "d4": [(), (1,), (2,), (1, 2)],
}


def mean_probs(pixels: np.ndarray, tta: str, model: Model = MODEL, valid: np.ndarray | None = None) -> np.ndarray:
    """The mean of the softmax over mirrored and turned copies of the whole picture: (K, h, w)."""
    card, valid = model.card, np.ones(pixels.shape[1:], bool) if valid is None else valid
    runner = Runner(model.network, mean=card.means, std=card.stds, device="cpu", precision="fp32")
    total: list[Tensor] = []
    for axes in SYMMETRIES[tta]:
        for swapped in (False, True) if tta == "d4" else (False,):
            image = torch.flip(runner.prepare(pixels, valid)[0], axes)
            image = image.transpose(1, 2) if swapped else image
            with torch.inference_mode():
                logits = runner.network(image[None])[0]
            logits = torch.flip(logits.transpose(1, 2) if swapped else logits, axes)
            total.append(torch.softmax(logits / card.temperature, 0))
    return torch.stack(total).mean(0).numpy()  # type: ignore[no-any-return]


def probs_of(path: Path) -> np.ndarray:
    with rasterio.open(path) as raster:
        return raster.read()  # type: ignore[no-any-return]


def assert_mean_of_the_whole(raster: Path, pixels: np.ndarray, tta: str, folder: Path, **options: Any) -> None:
    out, probs = folder / "o.tif", folder / "p.tif"
    how = {"model": MODEL, "probs_dtype": "float32", "overwrite": True, **QUICK, **options}
    made = one(predict(raster, out, probs=probs, tta=tta, **how))
    assert made.mode == "exact" and made.windows > 6 and made.tta == tta
    whole = mean_probs(pixels, tta)
    np.testing.assert_allclose(probs_of(probs), whole, atol=2e-5)
    np.testing.assert_array_equal(read(out), TABLE.to_values(whole.argmax(0), None))


# Neither of the two sides is a multiple of the stride, 4, then one, then both.
@pytest.mark.parametrize("shape", [(149, 211), (150, 208), (148, 212)])
@pytest.mark.parametrize("tta", ["flips", "d4"])
def test_windows_give_the_mean_over_views_of_the_whole_image(
    tta: str, shape: tuple[int, int], write_raster: Write, tmp_path: Path
) -> None:
    pixels = noise(*shape)
    assert_mean_of_the_whole(write_raster(pixels), pixels, tta, tmp_path, window=64)


@pytest.mark.parametrize("batch", [3, 8])
def test_batches_and_flat_windows_too(batch: int, write_raster: Write, tmp_path: Path) -> None:
    pixels = noise(101, 230)
    assert_mean_of_the_whole(write_raster(pixels), pixels, "d4", tmp_path, window=(48, 64), batch=batch)


def test_twin_views_of_a_window_that_do_not_begin_on_the_stride_give_another_mean(
    write_raster: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(View, "reads", lambda view, window, shape, stride: window)
    pixels = noise(149, 211)
    with pytest.raises(AssertionError):
        assert_mean_of_the_whole(write_raster(pixels), pixels, "flips", tmp_path, window=64)
    pixels = noise(148, 212)  # where both sides are multiples, turning windows in place is no fault
    assert_mean_of_the_whole(write_raster(pixels, "even.tif"), pixels, "flips", tmp_path, window=64)


def test_an_area_of_interest_is_the_whole_result_cropped(write_raster: Write, tmp_path: Path) -> None:
    pixels = noise(150, 211)
    source, area = write_raster(pixels), "500010.5,5399935,500081,5399979.5"  # columns 21 to 162, rows 41 to 130
    made = one(predict(source, tmp_path / "o.tif", model=MODEL, aoi=area, tta="d4", window=64, **QUICK))
    whole = mean_probs(pixels, "d4").argmax(0)
    assert made.windows > 4
    np.testing.assert_array_equal(read(tmp_path / "o.tif"), TABLE.to_values(whole[41:130, 21:162], None))


def test_layers_agree_and_holes_stay_holes(write_raster: Write, tmp_path: Path) -> None:
    pixels, valid = noise(90, 101), np.ones((90, 101), bool)
    valid[:20, :30] = valid[50, 60] = False
    files = {name: tmp_path / f"{name}.tif" for name in ("probs", "confidence", "logits")}
    options = {"model": WARM, "window": 64, "probs_dtype": "float32", **files, **QUICK}
    predict(write_raster(pixels, valid=valid), tmp_path / "o.tif", tta="flips", **options)
    whole = mean_probs(pixels, "flips", WARM, valid)
    probs, logits, classes = probs_of(files["probs"]), probs_of(files["logits"]), read(tmp_path / "o.tif")
    for array in (probs, logits):
        np.testing.assert_array_equal(np.isnan(array).any(0), ~valid)
    np.testing.assert_allclose(probs[:, valid], whole[:, valid], atol=2e-5)
    np.testing.assert_array_equal(classes, TABLE.to_values(whole.argmax(0), valid))
    # The logits over the temperature are the logarithm of the probabilities, so their softmax is those.
    np.testing.assert_allclose(np.exp(logits[:, valid] / 2.5), whole[:, valid], atol=2e-5)
    top = probs_of(files["confidence"])[0]
    np.testing.assert_allclose(top[valid] / 255, whole.max(0)[valid], atol=0.5 / 255 + 1e-4)


@pytest.mark.parametrize(("tta", "axes"), [("flips", (1, 2)), ("flips", (2,)), ("d4", (1,)), ("d4", None)])
def test_a_turned_raster_gets_the_turned_map(
    tta: str, axes: tuple[int, ...] | None, write_raster: Write, tmp_path: Path
) -> None:
    """None stands for a quarter turn."""

    def turned(array: np.ndarray) -> np.ndarray:
        return np.rot90(array, axes=(1, 2)).copy() if axes is None else np.flip(array, axes).copy()

    pixels = noise(101, 130)
    maps = []
    for name, image in (("a", pixels), ("b", turned(pixels))):
        raster = write_raster(image, f"{name}.tif")
        for way in (tta, "none"):
            predict(raster, tmp_path / f"{name}_{way}.tif", model=MODEL, tta=way, window=64, **QUICK)
    for way in (tta, "none"):
        maps.append(turned(read(tmp_path / f"a_{way}.tif")[None])[0] != read(tmp_path / f"b_{way}.tif"))
    assert not maps[0].any() and maps[1].mean() > 0.05  # the twin: without the mean a turned raster gets another map


def test_at_another_resolution_the_mean_is_that_of_the_networks_grid(write_raster: Write, tmp_path: Path) -> None:
    source = write_raster(noise(150, 211))
    for name, window in (("small", 64), ("whole", 512)):
        options = {"resolution": 0.7, "window": window, "engine": "windows", "tta": "d4", **QUICK}
        made = one(predict(source, tmp_path / f"{name}.tif", model=MODEL, **options))
        assert made.mode == "exact" and (made.windows == 1) == (name == "whole")
    differs = read(tmp_path / "small.tif") != read(tmp_path / "whole.tif")
    assert differs.mean() < 1e-4


def test_blended_windows_are_measured_through_the_same_mean(write_raster: Write, tmp_path: Path) -> None:
    pixels = smooth(230, 301)
    raster = write_raster(pixels)
    for model, how in ((MODEL, {"window": 64, "halo": 4}), (small_model(pooled=True), {"window": 128})):
        made = one(predict(raster, tmp_path / "o.tif", model=model, tta="flips", overwrite=True, **how, **QUICK))
        assert made.mode == "blend" and made.disagreement_note is not None
        assert made.disagreement_note.endswith("than with the whole raster at once")
        whole = TABLE.to_values(mean_probs(pixels, "flips", model).argmax(0), None)
        differs = (read(tmp_path / "o.tif") != whole).mean()
        assert made.disagreement == pytest.approx(differs, abs=2e-5) and differs > 0


def test_another_augmentation_does_not_go_on(
    write_raster: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raster, out, again = write_raster(noise(100, 130)), tmp_path / "o.tif", tmp_path / "again.tif"
    how = {"model": MODEL, "window": 64, **QUICK}
    predict(raster, out, tta="flips", **how)

    def killed(self: Any, *_: Any) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(strategy.WindowStrategy, "measured", killed)
        predict(raster, again, tta="flips", **how)
    for path in (out, again):
        for other in ("d4", "none"):
            with pytest.raises(
                ResumeError,
                match=f"tta (flips, now asked for is {other}|was flips, is now {other.replace('none', 'absent')})",
            ):
                predict(raster, path, tta=other, resume=True, **how)
    resumed = one(predict(raster, again, tta="flips", resume=True, **how))
    assert not resumed.skipped and again.read_bytes() == out.read_bytes()
    skipped = one(predict(raster, out, tta="flips", resume=True, **how))
    assert skipped.skipped and skipped.tta == "flips"


def test_what_it_is_and_costs_is_said(write_raster: Write, tmp_path: Path) -> None:
    raster = write_raster(noise(100, 130))
    for tta, count in (("flips", 4), ("d4", 8)):
        plan = one(predict(raster, tmp_path / "o.tif", model=MODEL, tta=tta, dry_run=True, **QUICK))
        assert plan.engine == "windows" and "windows, because mirrored views (--tta) are not streamed" in plan.reason
        line = f"tta           {tta}: the mean of {count} views of the raster, {count} times the work"
        assert line in predict_lines(plan) and plan.to_json()["tta"] == tta
    made = one(predict(raster, tmp_path / "o.tif", model=MODEL, tta="d4", **QUICK))
    plain = one(predict(raster, tmp_path / "p.tif", model=MODEL, **QUICK))
    assert plain.engine == "stream" and plain.tta == "none"
    assert not any("tta" in line for line in predict_lines(plain))
    with rasterio.open(made.output) as with_it, rasterio.open(plain.output) as without:
        assert with_it.tags()["LANDSEG_TTA"] == "d4" and "--tta d4" in with_it.tags()["LANDSEG_COMMAND"]
        assert not [name for name, text in without.tags().items() if "TTA" in name or "tta" in text]


def test_what_it_costs_is_estimated(write_raster: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Runner, "seconds", lambda self, height, width, batch=1: 10.0)
    raster, how = (
        write_raster(noise(100, 130)),
        {"model": MODEL, "engine": "windows", "dry_run": True, "runtime": "torch", **QUICK},
    )
    taken = [one(predict(raster, tmp_path / "o.tif", tta=tta, **how)).seconds for tta in ("none", "flips", "d4")]
    assert taken == pytest.approx([11, 44, 88], rel=0.01)


def test_memory_counts_what_views_read_beyond_a_window() -> None:
    field = MODEL.card.receptive_field
    costs = Costs(base=500 * MIB, network=200, waiting=10, result=30, limit=0)

    class Field:
        radius, stride, unbounded_by = field.halo, field.stride, None

    def fits(limit: int, grows: int) -> bool:
        limited = replace(costs, limit=limit * MIB)
        plan = plan_tiling((9001, 9002), field=Field(), costs=replace(limited, grows=grows))
        assert plan.memory <= limited.limit
        height, width = plan.windows.largest
        return limited.total((height + 64) * (width + 64)) <= limited.limit

    limits = range(580, 800, 20)
    assert all(fits(limit, 64) for limit in limits) and not all(fits(limit, 0) for limit in limits)
    assert replace(costs, grows=64).held((100, 9002), (9001, 9002)) == 164 * 9002


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "unknown": ({"tta": "flip"}, "tta 'flip' is unknown; use none, flips or d4"),
    "nothing": ({"tta": None}, "tta 'None' is unknown"),
    "rows": ({"tta": "d4", "engine": "stream"}, "use --engine auto or windows, or leave out --tta"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusals(name: str, write_raster: Write, tmp_path: Path) -> None:
    options, sentence = REFUSED[name]
    with pytest.raises(PlanError, match=sentence):
        predict("missing.tif", tmp_path / "o.tif", **options)
    with pytest.raises(PlanError, match=sentence):
        verify("missing.tif", **options)
    assert not list(tmp_path.iterdir())


def test_on_the_command_line(write_raster: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("landseg.models.named.named_model", lambda _: NamedModel(MODEL))

    def run(*arguments: object) -> tuple[int, str, str]:
        result = CliRunner().invoke(app, [*map(str, arguments), "--device", "cpu", "--precision", "fp32"])
        return result.exit_code, result.stdout, result.stderr

    pixels = noise(90, 101)
    raster, out = write_raster(pixels), tmp_path / "o.tif"
    code, text, err = run("predict", raster, "-o", out, "--tta", "d4", "--window", "64", "--json")
    assert code == 0 and json.loads(text)["tta"] == "d4", err
    np.testing.assert_array_equal(read(out), TABLE.to_values(mean_probs(pixels, "d4").argmax(0), None))
    code, text, err = run("predict", raster, "-o", tmp_path / "x.tif", "--tta", "rotations")
    assert code == 1 and not text and "tta 'rotations' is unknown" in err and "Traceback" not in err
    code, text, err = run("verify", raster, "--tta", "flips", "--window", "64")
    assert code == 0 and "tta           flips" in text and "whole image: exact" in text, err


def test_verify_finds_views_out_of_step(write_raster: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    raster = write_raster(noise(149, 211))
    how: dict[str, Any] = {"model": MODEL, "window": 64, "size": (149, 211), "device": "cpu", "tta": "flips"}
    found = verify(raster, **how)
    assert found.exact and found.tta == "flips" and found.windows > 6
    monkeypatch.setattr(View, "reads", lambda view, window, shape, stride: window)
    assert not verify(raster, **how).exact


@pytest.mark.parametrize("view", ALL)
def test_what_is_turned_comes_back(view: View) -> None:
    image = torch.arange(2 * 3 * 5).reshape(1, 2, 3, 5)
    assert torch.equal(view.back(view.turn(image)), image)
    assert view.turn(image).shape[2:] == ((5, 3) if view.swapped else (3, 5))
    assert torch.equal(view.turn(image), image) == (view == View())


@given(data=st.data(), view=st.sampled_from(ALL), stride=st.sampled_from([1, 4, 32]))
def test_a_view_reads_a_window_of_its_own_image(data: Any, view: View, stride: int) -> None:
    height, width = (data.draw(st.integers(1, 200)) for _ in range(2))
    top, left = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    window = Rect(top, left, data.draw(st.integers(1, height - top)), data.draw(st.integers(1, width - left)))
    read_ = view.reads(window, (height, width), stride)
    assert read_.contains(window) and Rect(0, 0, height, width).contains(read_)
    # Where the pixels lie in the view: what it reads must be one rectangle there that begins on the stride.
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    inside = (rows >= read_.top) & (rows < read_.bottom) & (columns >= read_.left) & (columns < read_.right)
    turned = torch.nonzero(view.turn(inside[None])[0])
    (first, begin), (last, end) = (int(n) for n in turned[0]), (int(n) + 1 for n in turned[-1])
    length = (width, height) if view.swapped else (height, width)
    assert first % stride == begin % stride == 0
    assert last in (length[0], -(-last // stride) * stride) and end in (length[1], -(-end // stride) * stride)


def test_one_view_is_the_network_itself() -> None:
    views = Views("none", stride=4)
    window = Rect(4, 8, 16, 20)
    assert (len(views), views.grows, views.reads(window, (99, 99))) == (1, 0, window)
    image = torch.rand(1, 2, 16, 20)
    prepared = [views.prepared(image, window, (99, 99))]
    logits = views.run(lambda batch: torch.cat(list(batch)).numpy(), mean_of_views, prepared)
    np.testing.assert_array_equal(logits, image.numpy())
