"""Boundary IoU: bands by hand, the published definition, and windows that see what the whole does."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from landseg.metrics.boundary import BoundaryIoU, outline

SQUARE = np.array(
    [
        [0, 0, 0, 0, 0, 0, 0],
        [0, 1, 1, 1, 1, 1, 0],
        [0, 1, 1, 1, 1, 1, 0],
        [0, 1, 1, 1, 1, 1, 0],
        [0, 1, 1, 1, 1, 1, 0],
        [0, 1, 1, 1, 1, 1, 0],
        [0, 0, 0, 0, 0, 0, 0],
    ],
    np.uint8,
)


def published(truth: np.ndarray, predicted: np.ndarray, index: int, distance: int) -> float:
    """Boundary IoU of one class as published: a mask less itself, framed and eroded ``distance`` times by 3 x 3."""

    def boundary(labels: np.ndarray) -> np.ndarray:
        mask = labels == index
        eroded = np.pad(mask, 1)
        for _ in range(distance):
            framed = np.pad(eroded, 1, constant_values=True)  # beyond the frame nothing is eroded
            shifted = [framed[i : i + len(eroded), j : j + eroded.shape[1]] for i in range(3) for j in range(3)]
            eroded = np.logical_and.reduce(shifted)
        return mask & ~eroded[1:-1, 1:-1]

    one, two = boundary(truth), boundary(predicted)
    union = (one | two).sum()
    return float((one & two).sum() / union) if union else float("nan")


def test_bands_by_hand() -> None:
    truth = np.pad(SQUARE, ((0, 0), (0, 1)))
    moved = np.roll(truth, 1, 1)
    found = BoundaryIoU(2, 1)
    found.update(truth, moved)
    # The square's band is its rim, 16 of 25 pixels. Moved one column, the two share 4 + 4 pixels at top and bottom,
    # and nothing of their sides, which lie in or beyond the other square.
    assert (found.intersection[1], found.union[1]) == (8, 24)
    assert found.compute()[1] == 8 / 24 == published(truth, moved, 1, 1)
    # The background's band is the ring around, 24 pixels; two rings share 6 + 6 at top and bottom.
    assert (found.intersection[0], found.union[0]) == (12, 36)
    assert found.mean() == 1 / 3


def test_the_rasters_edge_is_no_outline_unless_asked() -> None:
    flat = np.zeros((5, 5), np.uint8)
    assert not outline(flat, 1).any()
    assert outline(flat, 1, border=True).sum() == 16 and outline(flat, 2, border=True).sum() == 24
    void = flat.copy()
    void[2, 2] = 255
    assert not outline(void, 1).any()
    assert (outline(void, 1, border=True) == (void == 0)).all()
    empty = BoundaryIoU(1, 1)
    empty.update(flat, flat)
    assert np.isnan(empty.compute()).all() and np.isnan(empty.mean())


maps = hnp.arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.integers(0, 2))


def assert_as_published(truth: np.ndarray, predicted: np.ndarray, distance: int, *, border: bool) -> None:
    found = BoundaryIoU(3, distance, border=border)
    found.update(truth, predicted)
    want = [published(truth, predicted, index, distance) for index in range(3)]
    np.testing.assert_allclose(found.compute(), want, atol=1e-12)


@given(st.data(), st.integers(1, 4))
def test_with_borders_it_is_the_published_figure(data: st.DataObject, distance: int) -> None:
    truth = data.draw(maps)
    predicted = data.draw(hnp.arrays(np.uint8, truth.shape, elements=st.integers(0, 2)))
    assert_as_published(truth, predicted, distance, border=True)


def test_twin_without_borders_it_is_not() -> None:
    with pytest.raises(AssertionError):
        assert_as_published(np.zeros((4, 4), np.uint8), np.zeros((4, 4), np.uint8), 1, border=False)


@given(hnp.arrays(np.uint8, (7, 8), elements=st.sampled_from([0, 1, 2, 253, 255])), st.integers(1, 9), st.booleans())
def test_outlines_equal_those_of_a_loop(labels: np.ndarray, distance: int, border: bool) -> None:
    want = np.zeros(labels.shape, bool)
    for (i, j), own in np.ndenumerate(labels):
        for y in range(i - distance, i + distance + 1):
            for x in range(j - distance, j + distance + 1):
                inside = 0 <= y < 7 and 0 <= x < 8
                other = int(labels[y, x]) if inside else 255
                want[i, j] |= own != 255 and other != own and (border or other != 255)
    assert np.array_equal(outline(labels, distance, border=border), want)


def _in_windows(
    truth: np.ndarray, predicted: np.ndarray, distance: int, halo: int, step: int, border: bool
) -> BoundaryIoU:
    found = BoundaryIoU(3, distance, border=border)
    height, width = truth.shape
    for top in range(0, height, step):
        for left in range(0, width, step):
            y, x = max(0, top - halo), max(0, left - halo)
            window = slice(y, min(height, top + step + halo)), slice(x, min(width, left + step + halo))
            core = slice(top - y, min(top + step, height) - y), slice(left - x, min(left + step, width) - x)
            part = BoundaryIoU(3, distance, border=border)
            part.update(truth[window], predicted[window], core=core)
            found.merge(part)
    return found


def assert_windows_are_the_whole(
    truth: np.ndarray, predicted: np.ndarray, distance: int, halo: int, step: int, border: bool
) -> None:
    whole = BoundaryIoU(3, distance, border=border)
    whole.update(truth, predicted)
    parts = _in_windows(truth, predicted, distance, halo, step, border)
    assert np.array_equal(whole.intersection, parts.intersection) and np.array_equal(whole.union, parts.union)


scenes = hnp.arrays(np.uint8, (2, 11, 13), elements=st.sampled_from([0, 0, 0, 1, 2, 255]), fill=st.just(0))


@settings(max_examples=40)
@given(scenes, st.integers(1, 4), st.integers(0, 2), st.integers(1, 8), st.booleans())
def test_windows_with_a_halo_count_what_the_whole_does(
    pair: np.ndarray, distance: int, more: int, step: int, border: bool
) -> None:
    assert_windows_are_the_whole(pair[0], pair[1], distance, distance + more, step, border)


def test_twin_a_halo_too_small_does_not() -> None:
    truth, predicted = np.random.default_rng(0).choice(3, (2, 11, 13), p=[0.9, 0.05, 0.05]).astype(np.uint8)
    with pytest.raises(AssertionError):
        assert_windows_are_the_whole(truth, predicted, 3, 2, 4, False)


def test_void_follows_the_truth_only() -> None:
    truth, predicted = SQUARE.copy(), SQUARE.copy()
    truth[:, :3] = 255  # void: neither an outline nor counted
    found = BoundaryIoU(2, 1)
    found.update(truth, predicted)
    # Of the square's rim three sides lie right of the void: 3 + 3 + 3 pixels, and so does the prediction's.
    assert (found.intersection[1], found.union[1], found.mean()) == (9, 9, 1.0)
    predicted[:, 3:] = 255
    found = BoundaryIoU(2, 1)
    found.update(truth, predicted)
    assert (found.intersection[1], found.union[1]) == (0, 9)  # no data where the truth has an outline: missed


def test_what_the_prediction_draws_in_void_makes_no_band() -> None:
    truth = np.array([[0, 0, 0, 1, 1, 1, 255, 255]], np.uint8)
    inside = np.array([[0, 0, 0, 1, 1, 1, 1, 1]], np.uint8)
    beyond = np.array([[0, 0, 0, 1, 1, 1, 0, 2]], np.uint8)  # an outline where nobody knows of one
    for predicted in (inside, beyond):
        found = BoundaryIoU(3, 1)
        found.update(truth, predicted)
        assert found.has_outline and found.compute()[:2].tolist() == [1.0, 1.0]
    twin = BoundaryIoU(3, 1)
    twin.update(np.where(truth == 255, np.uint8(1), truth), beyond)  # were the void known, it would be wrong
    assert twin.compute()[1] < 1


def test_a_truth_without_outlines_judges_none() -> None:
    samples = np.array([[0, 0, 255, 1, 1]], np.uint8)
    found = BoundaryIoU(2, 1)
    found.update(samples, np.array([[0, 1, 1, 1, 1]], np.uint8))
    assert not found.has_outline
    other = BoundaryIoU(2, 1)
    other.update(np.array([[0, 1]], np.uint8), np.array([[0, 0]], np.uint8))
    other.merge(found)
    assert other.has_outline


def test_refusals() -> None:
    with pytest.raises(ValueError, match="at least 1 pixel"):
        BoundaryIoU(2, 0)
    for other in (BoundaryIoU(2, 2), BoundaryIoU(2, 1, border=True)):
        with pytest.raises(ValueError, match="one distance"):
            BoundaryIoU(2, 1).merge(other)
