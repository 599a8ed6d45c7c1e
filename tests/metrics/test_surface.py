"""Surface Dice: the reference package's known answers, a brute-force oracle, no outlines of the survey's making."""

from __future__ import annotations

import itertools
import math
import warnings

import numpy as np
import pytest
import surface_distance
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from landseg.metrics.surface import SurfaceDice


def reference(truth: np.ndarray, predicted: np.ndarray, tolerance: float, spacing: tuple[float, float]) -> float:
    """The reference package's answer for two masks; nan, as there, without an outline."""
    if not truth.any() or not predicted.any():  # the package says inf by a name that NumPy 2 has dropped
        return 0.0 if truth.any() or predicted.any() else math.nan
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # it calls SciPy by names of old
        distances = surface_distance.compute_surface_distances(truth, predicted, spacing)
    return float(surface_distance.compute_surface_dice_at_tolerance(distances, tolerance))


def ours(truth: np.ndarray, predicted: np.ndarray, tolerance: float, spacing: tuple[float, float]) -> float:
    """The figure of class 1 of two masks, with borders as in the package."""
    found = SurfaceDice(2, tolerance, spacing, border=True)
    found.update(truth.astype(np.uint8), predicted.astype(np.uint8))
    return float(found.compute()[1])


def test_known_answer_of_the_package() -> None:
    truth, predicted = np.zeros((128, 128), bool), np.zeros((128, 128), bool)
    truth[50, 70] = predicted[50, 72] = True
    found = SurfaceDice(2, 1.0, (2.0, 1.0), border=True)
    found.update(truth.astype(np.uint8), predicted.astype(np.uint8))
    # Four half diagonals of 1.118034 on each side, at distances of 1, 1, 2 and 2.
    assert found.pieces[:, 1].tolist() == [[[4, 2], [0, 0], [0, 0]]] * 2
    assert found.compute()[1] == 0.5 == reference(truth, predicted, 1.0, (2.0, 1.0))
    assert ours(truth, predicted, 2.0, (2.0, 1.0)) == 1 and ours(truth, predicted, 0.99, (2.0, 1.0)) == 0


def test_known_answers_for_empty_masks() -> None:
    one, none = np.eye(5, dtype=bool), np.zeros((5, 5), bool)
    assert ours(one, none, 1, (1, 1)) == ours(none, one, 1, (1, 1)) == 0
    assert math.isnan(ours(none, none, 1, (1, 1)))


shapes = st.tuples(st.integers(1, 9), st.integers(1, 9))
spacings = st.sampled_from([(1.0, 1.0), (2.0, 1.0), (0.5, 0.5), (0.3, 0.7)])
tolerances = st.sampled_from([0.0, 0.3, 0.5, 0.9, 1.0, math.sqrt(2), 1.5, 2.0, 3.0, 5.0])


@given(st.data(), tolerances, spacings)
def test_with_borders_it_is_the_packages_figure(
    data: st.DataObject, tolerance: float, spacing: tuple[float, float]
) -> None:
    shape = data.draw(shapes)
    truth, predicted = (data.draw(hnp.arrays(bool, shape)) for _ in range(2))
    want = reference(truth, predicted, tolerance, spacing)
    assert ours(truth, predicted, tolerance, spacing) == pytest.approx(want, abs=1e-12, nan_ok=True)


def test_it_is_the_packages_figure_on_a_larger_mask() -> None:
    rng = np.random.default_rng(0)
    truth = np.kron(rng.random((12, 12)) < 0.5, np.ones((8, 8), bool))
    predicted = np.roll(truth, (2, 3), (0, 1)) ^ (rng.random(truth.shape) < 0.01)
    for tolerance, spacing in ((1.0, (0.5, 0.5)), (2.6, (0.8, 1.1)), (0.0, (1.0, 1.0))):
        want = reference(truth, predicted, tolerance, spacing)
        assert 0 < want < 1 and ours(truth, predicted, tolerance, spacing) == pytest.approx(want, abs=1e-12)
        swapped = spacing[0] * 1.5, spacing[1]  # twin
        assert ours(truth, predicted, tolerance, swapped) != pytest.approx(want, abs=1e-12)


def _outline(
    labels: np.ndarray, index: int, border: bool, spacing: tuple[float, float]
) -> dict[tuple[int, int], float]:
    """Length of a class's outline by corner, one corner at a time."""
    height, width = labels.shape
    down, across = spacing
    found = {}
    for i, j in itertools.product(range(height + 1), range(width + 1)):
        around = [
            int(labels[y, x]) if 0 <= y < height and 0 <= x < width else 255 for y in (i - 1, i) for x in (j - 1, j)
        ]
        if 255 in around and not border:
            continue
        a, b, c, d = (value == index for value in around)
        if 0 < a + b + c + d < 4:
            half = math.hypot(down, across) / 2
            two = across if a == b else down if a == c else 2 * half
            found[i, j] = two if a + b + c + d == 2 else half
    return found


def _oracle(
    truth: np.ndarray, predicted: np.ndarray, index: int, tolerance: float, spacing: tuple[float, float], border: bool
) -> float:
    sides = [_outline(labels, index, border, spacing) for labels in (truth, predicted)]
    if not border and not sides[0]:
        return math.nan  # nothing in the truth to be compared with
    whole = within = 0.0
    for own, other in (sides, sides[::-1]):
        for (i, j), length in own.items():
            around = truth[max(0, i - 1) : i + 1, max(0, j - 1) : j + 1]
            if not border and (around == 255).any():
                continue
            whole += length
            near = (math.sqrt(((i - y) * spacing[0]) ** 2 + ((j - x) * spacing[1]) ** 2) for y, x in other)
            within += length * (min(near, default=math.inf) <= tolerance)
    return within / whole if whole else math.nan


classes = st.sampled_from([0, 1, 1, 2, 255])


@given(st.data(), tolerances, spacings, st.booleans())
def test_every_class_equals_the_oracle(
    data: st.DataObject, tolerance: float, spacing: tuple[float, float], border: bool
) -> None:
    shape = data.draw(st.tuples(st.integers(1, 6), st.integers(1, 6)))
    truth, predicted = (data.draw(hnp.arrays(np.uint8, shape, elements=classes)) for _ in range(2))
    found = SurfaceDice(3, tolerance, spacing, border=border)
    found.update(truth, predicted)
    want = [_oracle(truth, predicted, index, tolerance, spacing, border) for index in range(3)]
    np.testing.assert_allclose(found.compute(), want, atol=1e-12)
    mean = np.mean([value for value in want if not math.isnan(value)] or [math.nan])
    assert found.mean() == pytest.approx(mean, nan_ok=True)


def test_no_outlines_at_edges_void_and_nodata_unless_asked() -> None:
    truth = np.ones((6, 6), np.uint8)
    truth[2:4, 2:4] = 255
    for labels in (np.ones((6, 6), np.uint8), truth):
        inside, framed = SurfaceDice(2, 1.0), SurfaceDice(2, 1.0, border=True)
        for found in (inside, framed):
            found.update(labels, labels)
        assert np.isnan(inside.compute()).all() and framed.compute()[1] == 1
        assert framed.pieces[0, 1, 1:, 0].sum() > 0
    # The truth's outline passes a gap in the prediction: what the gap hides is missed.
    halves = np.repeat([[0, 1]], 6, 0).repeat(3, 1).astype(np.uint8)
    gap = halves.copy()
    gap[:3] = 255
    found = SurfaceDice(2, 0.5)
    found.update(halves, gap)
    assert found.pieces[:, 1, 1].tolist() == [[5, 2], [2, 2]] and found.compute()[1] == 4 / 7


def _in_windows(pair: np.ndarray, whole: SurfaceDice, halo: tuple[int, int], step: int) -> SurfaceDice:
    """The same figure counted in windows with a halo, one object each, merged."""
    make = lambda: SurfaceDice(whole.classes, whole.tolerance, whole.spacing, border=whole.border)  # noqa: E731
    found, (height, width) = make(), pair.shape[1:]
    for top, left in itertools.product(range(0, height, step), range(0, width, step)):
        y, x = max(0, top - halo[0]), max(0, left - halo[1])
        part = make()
        part.update(
            *pair[:, y : min(height, top + step + halo[0]), x : min(width, left + step + halo[1])],
            core=(slice(top - y, min(top + step, height) - y), slice(left - x, min(left + step, width) - x)),
        )
        found.merge(part)
    return found


scenes = hnp.arrays(np.uint8, (2, 10, 12), elements=st.sampled_from([0, 1, 2, 255]), fill=st.just(0))


@settings(max_examples=40)
@given(scenes, tolerances, spacings, st.integers(0, 1), st.integers(1, 8), st.booleans())
def test_windows_with_a_halo_count_what_the_whole_does(
    pair: np.ndarray, tolerance: float, spacing: tuple[float, float], more: int, step: int, border: bool
) -> None:
    whole = SurfaceDice(3, tolerance, spacing, border=border)
    whole.update(*pair)
    halo = whole.halo[0] + more, whole.halo[1] + more
    assert np.array_equal(_in_windows(pair, whole, halo, step).pieces, whole.pieces)


def test_twin_a_halo_too_small_does_not() -> None:
    pair = np.random.default_rng(0).choice(3, (2, 10, 12), p=[0.9, 0.05, 0.05]).astype(np.uint8)
    whole = SurfaceDice(3, 2.0)
    whole.update(*pair)
    assert whole.halo == (3, 3)
    assert np.array_equal(_in_windows(pair, whole, (3, 3), 4).pieces, whole.pieces)
    assert not np.array_equal(_in_windows(pair, whole, (2, 2), 4).pieces, whole.pieces)


def test_more_classes_than_fit_one_number() -> None:
    rng = np.random.default_rng(1)
    truth, predicted = rng.integers(0, 200, (2, 12, 12)).astype(np.uint8)
    predicted = np.where(rng.random(truth.shape) < 0.7, truth, predicted)
    found = SurfaceDice(200, 1.0)
    found.update(truth, predicted)
    want = [_oracle(truth, predicted, index, 1.0, (1.0, 1.0), False) for index in range(200)]
    np.testing.assert_allclose(found.compute(), want, atol=1e-12)
    assert np.nanmax(want[64:]) > 0


def test_refusals() -> None:
    for tolerance, spacing in ((-1.0, (1.0, 1.0)), (1.0, (0.0, 1.0))):
        with pytest.raises(ValueError, match="tolerance of 0 or more"):
            SurfaceDice(2, tolerance, spacing)
    for other in (
        SurfaceDice(2, 2.0),
        SurfaceDice(3, 1.0),
        SurfaceDice(2, 1.0, (2, 1)),
        SurfaceDice(2, 1.0, border=True),
    ):
        with pytest.raises(ValueError, match="the same classes, tolerance"):
            SurfaceDice(2, 1.0).merge(other)
