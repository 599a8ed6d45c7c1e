"""Runs on another resolution than the raster's: any size, factor, strip, window and area of interest comes to its
end, every pixel is written once, and both engines agree with the network's whole image."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import shapely
import torch
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import nn
from typer.testing import CliRunner

from landseg.classes import ClassMap, LandClass
from landseg.cli.main import app
from landseg.errors import GridError
from landseg.geo.grid import Grid, Rect, scaled_size
from landseg.geo.rasters.bands import BandTable
from landseg.geo.rasters.source import Pixels, Source
from landseg.geo.vectors.aoi import Aoi
from landseg.inference.engine import Engine
from landseg.inference.match import ModelInput
from landseg.inference.options import PredictOptions
from landseg.inference.row_strategy import RowStrategy, plan_rows
from landseg.inference.runtimes import torch_engine
from landseg.inference.scope import Scope
from landseg.inference.strategy import Strategy, WindowStrategy
from landseg.models.card import Band
from landseg.models.file import Model
from landseg.tiling.placement import GridPlacement
from tests.parts.engine import Small
from tests.parts.sample_models import make_card, save_small_model

Shape = tuple[int, int]
CLASSES = 3
_CLOSE = 2e-4  # of the largest logit: windows of other sizes are summed in another order


class Memory(Source):
    """A raster in memory."""

    def __init__(self, pixels: NDArray[Any], valid: NDArray[np.bool_]) -> None:
        count = len(pixels)
        nothing = (None,) * count
        table = BandTable(tuple(range(1, count + 1)), nothing, ("gray",) * count, ("uint8",) * count, nothing, None)
        super().__init__("memory", ("memory",), Grid(None, Affine.identity(), *valid.shape[::-1]), table)
        self.pixels, self.valid = pixels, valid

    def close(self) -> None:
        pass

    def _read(self, rect: Rect) -> Pixels:
        assert rect.area, "no raster is asked for no pixels"
        return self.pixels[(slice(None), *rect.slices)], self.valid[rect.slices]

    def _files(self) -> list[dict[str, Any]]:
        return []


class Sink:
    """Outputs in memory: logits, validity and how often each pixel was written; fails at the commit ``stop``."""

    def __init__(self, shape: Shape, stop: int | None = None) -> None:
        self.logits = np.full((CLASSES, *shape), np.nan, np.float32)
        self.valid = np.zeros(shape, np.bool_)
        self.written = np.zeros(shape, np.int64)
        self.steps: list[str] = []
        self.stop = stop

    @property
    def done(self) -> frozenset[str]:
        return frozenset(self.steps)

    def write(self, name: str, rect: Rect, pixels: NDArray[Any] | None, valid: NDArray[Any] | None = None) -> None:
        if name == "logits":
            self.logits[(slice(None), *rect.slices)] = np.nan if pixels is None else pixels
            return
        self.written[rect.slices] += 1
        self.valid[rect.slices] = pixels

    def commit(self, step: str) -> None:
        if self.stop is not None and len(self.steps) >= self.stop:
            raise KeyboardInterrupt
        self.steps.append(step)


def encode(finished: Any) -> dict[str, NDArray[Any] | None]:
    logits = None if finished.logits is None else np.array(finished.logits)
    return {"logits": logits, "valid": np.array(finished.valid)}


def engine_of(network: nn.Module) -> Engine:
    with torch.random.fork_rng():
        torch.manual_seed(7)
        for weight in network.parameters():
            nn.init.normal_(weight, std=0.5)
    classes = ClassMap(tuple(LandClass(v, f"c{v}", (v, v, v)) for v in range(1, CLASSES + 1)))
    bands = (Band("a", None, 100.0, 50.0), Band("b", None, 100.0, 50.0))
    card = make_card(bands=bands, classes=classes, fill=0.0)
    return torch_engine(Model(network.eval(), card, Path("small.safetensors"), ""), device="cpu", precision="fp32")


class Light(nn.Module):
    """Two convolutions at the input's own stride."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.LeakyReLU(), nn.Conv2d(4, CLASSES, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.layers(x)
        return out


ENGINES = [engine_of(Small()), engine_of(Light())]
POOLED = engine_of(Small(pooled=True))
OPTIONS = PredictOptions.of(device="cpu", precision="fp32", quiet=True, memory=1 << 20, workers=2)


def scene(shape: Shape, factor: float, *, seed: int = 0, holes: bool = False) -> ModelInput:
    """Noise, and with ``holes`` rows and blocks without data, matched to a network ``factor`` pixels coarser."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (2, *shape), dtype=np.uint8)
    valid = np.ones(shape, np.bool_)
    if holes:
        valid[rng.random(shape) < 0.02] = False
        top = int(rng.integers(0, shape[0]))
        valid[top : top + int(rng.integers(1, 1 + shape[0]))] = False
    source = Memory(pixels, valid)
    network = source.at_scale(factor)
    return ModelInput(source, network, GridPlacement(shape, network.grid.shape, factor))


def reference(
    engine: Engine, matched: ModelInput, region: Rect, aoi: Aoi | None
) -> tuple[NDArray[Any], NDArray[Any]]:
    """What the network's whole image says of the region, and which of its pixels are wanted."""
    whole = matched.network.grid.rect
    logits = engine.executor.run([engine.executor.prepare(*matched.network.read(whole))])[0]
    valid = matched.source.read(region)[1]
    inside = None if aoi is None else aoi.inside(region)
    wanted = valid if inside is None else valid & inside
    return matched.placement.resample(logits, whole, region), wanted


def rows(engine: Engine, matched: ModelInput, region: Rect, *, strip: int | None, blocks: int = 1) -> Strategy:
    """The stream, in strips of so many rows and so many blocks of columns."""
    scope = Scope(engine, matched, OPTIONS, region)
    plan = plan_rows(scope, strip=strip)
    area, period = scope.network_region, engine.executor.period
    cuts = {area.left + area.width * i // blocks // period * period for i in range(1, blocks)}
    edges = sorted({area.left, *(cut for cut in cuts if area.left < cut < area.right), area.right})
    parts = [Rect(area.top, left, area.height, right - left) for left, right in pairwise(edges)]
    return RowStrategy(scope, replace(plan, blocks=tuple(parts)))


def windows(engine: Engine, matched: ModelInput, region: Rect, *, side: int | None) -> Strategy:
    """Windows of one side in pixels, or those that the engine chooses."""
    options = OPTIONS if side is None else replace(OPTIONS, window=side)
    scope = Scope(engine, matched, options, region)
    tiling = scope.plan()
    assert tiling.mode == "exact"
    return WindowStrategy(scope, tiling, None)


def check(
    strategy: Strategy, engine: Engine, matched: ModelInput, region: Rect, aoi: Aoi | None, stop: int | None
) -> None:
    """The strategy ends, writes each pixel once, and its logits are the whole image's."""
    sink = Sink(region.shape, stop)
    try:
        strategy.run(sink, aoi=aoi, encode=encode)  # type: ignore[arg-type]
    except KeyboardInterrupt:
        sink.stop = None
        strategy.run(sink, aoi=aoi, encode=encode)  # type: ignore[arg-type]
        assert (sink.written >= 1).all()
    else:
        assert (sink.written == 1).all()
    logits, wanted = reference(engine, matched, region, aoi)
    assert np.array_equal(sink.valid, wanted)
    if wanted.any():
        apart = np.abs(sink.logits - logits)[:, wanted]
        assert apart.max() <= _CLOSE * np.abs(logits).max()  # nan is more than anything
    strategy.cuts()


def area(shape: Shape, kind: str, at: tuple[float, float], size: tuple[float, float]) -> tuple[Rect, Aoi | None]:
    """All, a rectangle, one row, one column, one pixel, or a triangle, at a share of the raster."""
    height, width = shape
    top, left = min(height - 1, int(at[0] * height)), min(width - 1, int(at[1] * width))
    high, wide = max(1, int(size[0] * (height - top))), max(1, int(size[1] * (width - left)))
    if kind == "all":
        return Rect(0, 0, height, width), None
    high = 1 if kind in ("row", "pixel") else high
    wide = 1 if kind in ("column", "pixel") else wide
    if kind == "last row":
        top, high = height - 1, 1
    if kind == "last column":
        left, wide = width - 1, 1
    rect = Rect(top, left, high, wide)
    if kind != "triangle":
        return rect, Aoi(rect)
    outline = shapely.Polygon([(left, top), (left + wide, top), (left, top + high)])
    return rect, Aoi(rect, (outline,))


KINDS = ("all", "box", "row", "column", "pixel", "last row", "last column", "triangle")
SIZES = st.tuples(st.integers(1, 400), st.integers(1, 120)) | st.tuples(st.integers(1, 60), st.integers(1, 400))
FACTORS = st.sampled_from([0.6, 0.7, 1 / 3, 0.5, 2.0, 1.0]) | st.floats(0.3, 3.0)
SHARES = st.tuples(st.floats(0, 0.999), st.floats(0, 0.999))


def sliver(shape: Shape, factor: float, strip: int | None) -> Shape:
    """The shape made lower until the last strip of the network's rows is one row, where such a height is near."""
    for height in range(shape[0], max(0, shape[0] - 200), -1):
        if scaled_size(height, factor) % (strip or 256) == 1:
            return height, shape[1]
    return shape


@settings(max_examples=200, deadline=None)
@given(
    shape=SIZES,
    factor=FACTORS,
    thin=st.booleans(),
    number=st.sampled_from([0, 1]),
    kind=st.sampled_from(KINDS),
    at=SHARES,
    size=SHARES,
    strip=st.sampled_from([None, 16, 17, 32, 64, 256]),
    side=st.sampled_from([None, 64, 128]),
    blocks=st.integers(1, 4),
    holes=st.booleans(),
    stop=st.none() | st.integers(0, 6),
)
def test_every_walk_is_the_whole_image(
    shape: Shape,
    factor: float,
    thin: bool,
    number: int,
    kind: str,
    at: tuple[float, float],
    size: tuple[float, float],
    strip: int | None,
    side: int | None,
    blocks: int,
    holes: bool,
    stop: int | None,
) -> None:
    shape = sliver(shape, factor, strip) if thin else shape
    engine, matched = ENGINES[number], scene(shape, factor, holes=holes)
    region, aoi = area(shape, kind, at, size)
    check(rows(engine, matched, region, strip=strip, blocks=blocks), engine, matched, region, aoi, stop)
    check(windows(engine, matched, region, side=side), engine, matched, region, aoi, stop)


def check_strips(shape: Shape, factor: float, strips: range, blocks: int) -> None:
    matched = scene(shape, factor)
    region = matched.source.grid.rect
    for strip in strips:
        strategy = rows(ENGINES[1], matched, region, strip=strip, blocks=blocks)
        check(strategy, ENGINES[1], matched, region, None, None)


CASES = [((154, 40), 0.6, range(256, 257), 1), ((40, 150), 0.7, range(15, 20), 9)]


@pytest.mark.parametrize(("shape", "factor", "strips", "blocks"), CASES)
def test_a_last_strip_of_no_source_row_ends(shape: Shape, factor: float, strips: range, blocks: int) -> None:
    matched = scene(shape, factor)
    last = Rect(matched.network.grid.height - 1, 0, 1, 1)
    assert matched.placement.to_source(last).height == 0
    check_strips(shape, factor, strips, blocks)


def test_twin_a_source_that_refuses_no_pixels_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def refusing(source: Source, rect: Rect) -> Pixels:
        if not rect.area:
            raise GridError("no pixels")
        return source._read(rect)

    monkeypatch.setattr(Source, "read", refusing)
    for shape, factor, strips, blocks in CASES:
        with pytest.raises(GridError, match="no pixels"):
            check_strips(shape, factor, strips, blocks)


def test_twin_a_reach_that_is_too_short_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    matched, region = scene((90, 70), 0.6), Rect(20, 10, 40, 30)
    check(windows(ENGINES[0], matched, region, side=64), ENGINES[0], matched, region, None, None)
    monkeypatch.setattr(GridPlacement, "reach", -1)
    with pytest.raises(AssertionError):
        check(rows(ENGINES[0], matched, region, strip=16), ENGINES[0], matched, region, None, None)


def test_an_area_of_interest_holds_nothing_of_no_pixels() -> None:
    outline = shapely.box(0, 0, 5, 5)
    inside = Aoi(Rect(0, 0, 5, 5), (outline,)).inside(Rect(5, 0, 0, 5))
    assert inside is not None and inside.shape == (0, 5)


@pytest.mark.parametrize("engine", ["stream", "windows"])
@pytest.mark.parametrize(("shape", "pixel", "resolution"), [((154, 40), 1.0, 0.6), ((40, 150), 1.0, 0.7)])
def test_the_command_maps_a_raster_on_a_finer_grid(
    shape: Shape, pixel: float, resolution: float, engine: str, tmp_path: Path, write_raster: Callable[..., Path]
) -> None:
    model, made = tmp_path / "m.safetensors", tmp_path / "o.tif"
    save_small_model(model)
    pixels = np.random.default_rng(0).integers(1, 255, (2, *shape), dtype=np.uint8)
    raster = write_raster(pixels, transform=Affine(pixel, 0, 5e5, 0, -pixel, 54e5))
    options = ["-o", str(made), "--model", str(model), "--resolution", str(resolution), "--engine", engine]
    result = CliRunner().invoke(app, ["predict", str(raster), *options, "--device", "cpu"])
    assert result.exit_code == 0, result.stderr
    with rasterio.open(made) as map_:
        assert map_.shape == shape and (map_.read(1) > 0).all()


def test_a_few_pixels_at_the_rasters_edge_need_no_full_window() -> None:
    """What the halo reaches there is less than two halos."""
    matched = scene((200, 300), 1.0)
    engine, options = ENGINES[0], replace(OPTIONS, window="auto")
    for region in (Rect(0, 0, 3, 3), Rect(197, 298, 3, 2), Rect(0, 100, 4, 8)):
        scope = Scope(engine, matched, options, region)
        check(WindowStrategy(scope, scope.plan(), None), engine, matched, region, None, None)


def check_blended(shape: Shape, factor: float, region: Rect) -> None:
    """A blended run that stops after any step goes on to the same pixels."""
    matched, options = scene(shape, factor), replace(OPTIONS, window=32, halo=0)
    scope = Scope(POOLED, matched, options, region)
    tiling = replace(scope.plan(), sums=1)
    strategy = WindowStrategy(scope, tiling, None)
    whole = Sink(region.shape)
    strategy.run(whole, aoi=None, encode=encode)  # type: ignore[arg-type]
    assert tiling.mode == "blend" and (whole.written == 1).all() and np.isfinite(whole.logits).all()
    for stop in range(len(whole.steps)):
        sink = Sink(region.shape, stop)
        with pytest.raises(KeyboardInterrupt):
            strategy.run(sink, aoi=None, encode=encode)  # type: ignore[arg-type]
        sink.stop = None
        strategy.run(sink, aoi=None, encode=encode)  # type: ignore[arg-type]
        assert np.array_equal(sink.logits, whole.logits) and np.array_equal(sink.valid, whole.valid)


def test_a_blended_run_goes_on_at_a_strip_of_no_source_row() -> None:
    shape, region = (54, 16), Rect(19, 0, 32, 1)  # the last strip holds no row that is asked for
    check_blended(shape, 1 / 3, region)


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 90), st.sampled_from([0.6, 0.7, 1 / 3, 2.0]) | st.floats(0.3, 3.0), SHARES, SHARES)
def test_blended_runs_go_on(height: int, factor: float, at: tuple[float, float], size: tuple[float, float]) -> None:
    shape = (height, 30)
    if max(scaled_size(height, factor), scaled_size(30, factor)) > 32:  # more than one window
        check_blended(shape, factor, area(shape, "box", at, size)[0])
