"""The dense CRF: exact against the definition written out, fast against exact, windows against the whole."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from landseg.crf import fast
from landseg.crf import permutohedral as lattice
from landseg.crf.energy import CrfOptions, Scene
from landseg.crf.fast import halo, refine
from landseg.crf.permutohedral import Lattice, reach
from landseg.crf.plan import plan_crf, refine_windows
from landseg.errors import BandError, PlanError
from landseg.geo.grid import Rect
from tests.parts.reference_crf import gaussian, refine_exactly
from tests.parts.refining import Array, picture

SMALL = CrfOptions(iterations=2, bilateral_xy=1.5, bilateral_bands=12.0, spatial_xy=0.8)


def defined(probs: Array, image: Array, options: CrfOptions, *, own: bool, normalise: bool) -> Array:
    """Krähenbühl and Koltun's equations, pixel by pixel and pair by pair, for one width of all bands."""
    classes, height, width = probs.shape
    pixels = list(np.ndindex(height, width))

    def kernel(which: int, i: Any, j: Any) -> float:
        away = (i[0] - j[0]) ** 2 + (i[1] - j[1]) ** 2
        if which:
            return math.exp(-away / (2 * options.spatial_xy**2))
        looks = sum((image[b][i] - image[b][j]) ** 2 for b in range(len(image)))
        bands = float(np.max(options.bilateral_bands))
        return math.exp(-away / (2 * options.bilateral_xy**2) - looks / (2 * bands**2))

    k = {(m, i, j): kernel(m, i, j) for m in (0, 1) for i in pixels for j in pixels}
    if normalise:
        size = {(m, i): sum(k[m, i, j] for j in pixels) for m in (0, 1) for i in pixels}
        k = {(m, i, j): value / math.sqrt(size[m, i] * size[m, j]) for (m, i, j), value in k.items()}
    q = {i: [probs[c][i] for c in range(classes)] for i in pixels}
    for _ in range(options.iterations):
        new = {}
        for i in pixels:
            costs = [-math.log(probs[c][i]) for c in range(classes)]
            for m, weight in enumerate((options.bilateral_weight, options.spatial_weight)):
                for j in pixels:
                    for c in range(classes):  # Potts: every other class at j costs
                        if own or i != j:
                            costs[c] += weight * k[m, i, j] * (sum(q[j]) - q[j][c])
            powers = [math.exp(min(costs) - cost) for cost in costs]
            new[i] = [power / sum(powers) for power in powers]
        q = new
    return np.array([[[q[y, x][c] for x in range(width)] for y in range(height)] for c in range(classes)])


@pytest.mark.parametrize("own", [True, False])
@pytest.mark.parametrize("normalise", [True, False])
@pytest.mark.parametrize("bands", [1, 4])
def test_exact_is_the_definition(own: bool, normalise: bool, bands: int) -> None:
    image, probs, _ = picture(5, 6, bands=bands)
    options = CrfOptions(3, 2.0, 2.5, 15.0, 1.0, 1.2)
    got = refine_exactly(probs, Scene.of(image), options, own=own, normalise=normalise)
    expected = defined(probs, image, options, own=own, normalise=normalise)
    assert np.allclose(got, expected, rtol=0, atol=1e-12)
    other = defined(probs, image, options, own=not own, normalise=normalise)
    assert not np.allclose(got, other, rtol=0, atol=1e-3)  # twin


@given(st.integers(1, 6), st.integers(0, 100))
def test_no_pixel_beyond_the_reach_has_any_influence(d: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    features = rng.uniform(-6, 6, (400, d))
    value = np.zeros((1, 400))
    value[0, 0] = 1.0
    away = np.abs(features - features[0])
    assert ((Lattice(features)(value)[0] == 0) | (away <= reach(d)).all(1)).all()


@pytest.mark.parametrize("d", [1, 2, 3, 5])
def test_the_lattices_kernel_is_near_the_gaussian(d: int) -> None:
    assert_gaussian(d)


def assert_gaussian(d: int) -> None:
    features = np.random.default_rng(0).uniform(0, 2.5, (1500, d))
    values, kernel = np.random.default_rng(1).uniform(0, 1, (2, 1500)), gaussian(features)
    found = Lattice(features)
    means = found(values) / found(np.ones((1, 1500)))
    assert np.abs(means - values @ kernel / kernel.sum(0)).max() < 0.01
    middle = ((features - 1.25) ** 2).sum(1).argmin()
    assert np.corrcoef(found(np.eye(1500)[[middle]])[0], kernel[middle])[0, 1] > 0.97


def assert_near(got: Array, exact: Array, probs: Array) -> None:
    """The tolerance: 3 % of what the CRF changes, in the mean, and the same class at 98.5 % of the pixels."""
    assert np.abs(got - exact).mean() < 0.03 * np.abs(exact - probs).mean()
    assert (got.argmax(0) == exact.argmax(0)).mean() >= 0.985


@pytest.mark.parametrize("bands", [1, 3, 8])
@pytest.mark.parametrize("width", [8.0, 20.0, 60.0])
@pytest.mark.parametrize(("iterations", "weight"), [(1, 1.0), (10, 1.0), (10, 4.0)])
def test_fast_is_near_exact(bands: int, width: float, iterations: int, weight: float) -> None:
    image, probs, truth = picture(32, 40, bands=bands)
    options = CrfOptions(iterations, weight, width, 14.0, weight, 1.0)
    exact = refine_exactly(probs, Scene.of(image), options)
    assert_near(refine(probs, Scene.of(image), options), exact, probs)
    assert (probs.argmax(0) == truth).mean() + 0.05 < (exact.argmax(0) == truth).mean()


@pytest.mark.parametrize(
    "wrong",
    [
        CrfOptions(10, 1.0, 6.0, 14.0, 1.0, 1.0),
        CrfOptions(10, 1.0, 20.0, 40.0, 1.0, 1.0),
        CrfOptions(10, 0.0, 20.0, 14.0, 1.0, 1.0),
    ],
    ids=["narrower", "blind to edges", "spatial only"],
)
def test_twin_another_energy_is_not_near(wrong: CrfOptions) -> None:
    image, probs, _ = picture(32, 40)
    exact = refine_exactly(probs, Scene.of(image), CrfOptions(10, 1.0, 20.0, 14.0, 1.0, 1.0))
    with pytest.raises(AssertionError):
        assert_near(refine(probs, Scene.of(image), wrong), exact, probs)


def test_the_spatial_kernel_alone_is_exact_but_for_its_cut() -> None:
    image, probs, _ = picture(20, 24)
    options = CrfOptions(5, 0.0, spatial_weight=4.0, spatial_xy=2.0)
    got, expected = (how(probs, Scene.of(image), options) for how in (refine, refine_exactly))
    assert np.abs(got - expected).max() < 1e-3


def tiled(
    image: Array, probs: Array, options: CrfOptions, window: int, *, valid: Any = None, **how: Any
) -> tuple[Array, int]:
    """The windows put together, and their number."""

    def read(rect: Rect) -> tuple[Array, Array, Any]:
        rows, columns = rect.slices
        return probs[:, rows, columns], image[:, rows, columns], None if valid is None else valid[rows, columns]

    plan = plan_crf(image.shape[1:], options, bands=len(image), window=window, **how)
    out = np.full(probs.shape, np.nan)
    for core, found in refine_windows(read, plan, options, pixel_size=how.get("pixel_size", (1.0, 1.0))):
        out[(slice(None), *core.slices)] = found
    return out, len(plan)


@settings(max_examples=8)
@given(st.sampled_from([1, 3, 5]), st.integers(60, 90), st.integers(60, 90), st.integers(0, 99), st.booleans())
def test_windows_with_the_halo_are_the_whole(bands: int, height: int, width: int, seed: int, holes: bool) -> None:
    image, probs, _ = picture(height, width, bands=bands, seed=seed)
    valid = np.random.default_rng(seed).random((height, width)) < 0.8 if holes else None
    assert_seamless(image, probs, SMALL, valid=valid)


def assert_seamless(image: Array, probs: Array, options: CrfOptions, *, valid: Any = None, **how: Any) -> None:
    needed = halo(options, bands=len(image), pixel_size=how.get("pixel_size", (1.0, 1.0)))
    got, windows = tiled(image, probs, options, 2 * needed + 13, valid=valid, **how)
    whole = refine(probs, Scene.of(image, valid, how.get("pixel_size", (1.0, 1.0))), options)
    assert windows > 1 and np.abs(got - whole).max() <= 1e-9


def test_twin_a_shorter_halo_leaves_seams() -> None:
    image, probs, _ = picture(70, 66)
    with pytest.raises(AssertionError):
        assert_seamless(image, probs, SMALL, halo=4)


def test_twin_windows_that_count_from_their_own_corner_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    image, probs, _ = picture(70, 66)
    assert_seamless(image, probs, SMALL)
    places = Scene.places.fget
    assert places is not None
    moved = property(lambda self: places(Scene(self.image, self.valid, self.pixel_size)))
    monkeypatch.setattr(Scene, "places", moved)
    with pytest.raises(AssertionError):
        assert_seamless(image, probs, SMALL)


def test_widths_in_metres_follow_the_pixels() -> None:
    image, probs, _ = picture(70, 66)
    in_metres = CrfOptions(2, 4.0, 0.75, 12.0, 3.0, 0.4)
    got = refine(probs, Scene.of(image, pixel_size=(0.5, 0.5)), in_metres)
    assert np.allclose(got, refine(probs, Scene.of(image), SMALL), atol=1e-9)
    assert halo(in_metres, bands=3, pixel_size=(0.5, 0.5)) == halo(SMALL, bands=3)
    assert_seamless(image, probs, in_metres, pixel_size=(0.5, 1.0))


def test_pixels_without_data_take_no_part() -> None:
    image, probs, _ = picture(24, 20)
    valid = np.ones((24, 20), bool)
    valid[5:9, 4:17] = False
    dirty, unsure = np.where(valid, image, np.nan), np.where(valid, probs, np.nan)
    for how in (refine, refine_exactly):
        got = how(unsure, Scene.of(dirty, valid), SMALL)
        assert np.isnan(got[:, ~valid]).all() and np.allclose(got[:, valid].sum(0), 1.0)
        other = how(probs, Scene.of(np.where(valid, image, -1e3), valid), SMALL)
        assert np.array_equal(got[:, valid], other[:, valid])
        assert np.array_equal(other[:, ~valid], probs[:, ~valid])
    nothing = np.zeros((24, 20), bool)
    assert np.array_equal(refine(probs, Scene.of(image, nothing), SMALL), probs)


def test_no_iterations_and_no_weights_change_nothing() -> None:
    image, probs, _ = picture(9, 8)
    assert np.array_equal(refine(probs, Scene.of(image), CrfOptions(0)), probs)
    free = CrfOptions(5, bilateral_weight=0.0, spatial_weight=0.0)
    assert np.allclose(refine(probs, Scene.of(image), free), probs)
    assert halo(CrfOptions(0), bands=3) == 0


def test_twin_a_blur_that_forgets_one_direction_is_no_gaussian(monkeypatch: pytest.MonkeyPatch) -> None:
    neighbours = lattice._neighbours
    monkeypatch.setattr(lattice, "_neighbours", lambda *args: neighbours(*args)[1:])
    with pytest.raises(AssertionError):
        assert_gaussian(2)


def test_refusals() -> None:
    image, probs, _ = picture(9, 8)
    with pytest.raises(PlanError, match="widths of a CRF should be above 0"):
        CrfOptions(bilateral_bands=(3.0, 0.0))
    with pytest.raises(PlanError, match="0 or more"):
        CrfOptions(spatial_weight=-1.0)
    with pytest.raises(BandError, match="widths for 2 bands and the image has 3"):
        refine(probs, Scene.of(image), CrfOptions(bilateral_bands=(3.0, 3.0)))
    with pytest.raises(BandError, match="mark those pixels as nodata"):
        Scene.of(np.full((1, 2, 2), np.nan))
    with pytest.raises(PlanError, match="has no size"):
        Scene.of(image, pixel_size=(0.5, -0.5))
    with pytest.raises(PlanError, match="different sizes"):
        refine(probs[:, :5], Scene.of(image), SMALL)
    with pytest.raises(PlanError, match=r"use landseg\.crf\.fast"):
        refine_exactly(probs, Scene.of(np.zeros((1, 200, 200))), SMALL)
    with pytest.raises(PlanError, match="use a window of at least"):
        plan_crf((4000, 4000), CrfOptions(), bands=3, window=1024)
    assert fast._CUT == 4.0
