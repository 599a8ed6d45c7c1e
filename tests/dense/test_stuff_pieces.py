"""Connected pieces of rows that come in strips: their sizes are those of the whole picture."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some
from numpy.typing import NDArray

from landseg.dense import stuff_pieces
from landseg.dense.stuff_pieces import Pieces
from landseg.errors import PlanError
from landseg.vector.topology.blocks import cut_blocks

NONE = -1


def brute(values: NDArray[np.int32], weights: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the size (h, w) of the piece of each pixel, found from neighbour to neighbour; 0 for none."""
    found = np.zeros(values.shape, np.int64)
    for start in zip(*np.nonzero(values != NONE), strict=True):
        if found[start]:
            continue
        piece, waiting = {start}, [start]
        while waiting:
            row, column = waiting.pop()
            for at in ((row + 1, column), (row - 1, column), (row, column + 1), (row, column - 1)):
                inside = 0 <= at[0] < values.shape[0] and 0 <= at[1] < values.shape[1]
                if inside and at not in piece and values[at] == values[start]:
                    piece.add(at)
                    waiting.append(at)
        place = tuple(np.array(sorted(piece)).T)
        found[place] = weights[place].sum()
    return found


def sizes(
    values: NDArray[np.int32], cuts: list[int], weights: NDArray[np.int64] | None, *, apart: bool = False
) -> NDArray[np.int64]:
    """Return the size (h, w) of the piece of each pixel of strips; `apart` is the twin that forgets the row above."""
    pieces, ends = Pieces(), [*sorted(cuts), len(values)]
    strips = [strip for strip in np.split(values, sorted(cuts)) if len(strip)]
    shares = None if weights is None else [part for part in np.split(weights, sorted(cuts)) if len(part)]
    labels = []
    for number, block in enumerate(list(cut_blocks(strips, NONE, None))[:-1]):
        if apart:
            pieces.begin()
        labels.append(pieces.add(block, None if shares is None else shares[number]))
    assert ends[-1] == len(values)
    return pieces.sizes()[np.concatenate(labels)]


@given(some.integers(0, 10**6), some.integers(1, 14), some.integers(1, 14), some.integers(1, 3), some.data())
def test_sizes_are_those_of_the_whole_picture(
    seed: int, height: int, width: int, most: int, data: some.DataObject
) -> None:
    rng = np.random.default_rng(seed)
    values = rng.integers(NONE, most, (height, width)).astype(np.int32)
    weights = rng.integers(1, 9, values.shape)
    cuts = data.draw(some.lists(some.integers(0, height), max_size=5))
    assert np.array_equal(sizes(values, cuts, weights), brute(values, weights))
    assert np.array_equal(sizes(values, cuts, None), brute(values, np.ones_like(weights)))


def test_twin_strips_for_themselves_differ() -> None:
    values = np.array([[0, NONE, 0], [0, NONE, 0], [0, 0, 0]], np.int32)  # one piece that only the last row closes
    assert set(sizes(values, [1, 2], None).ravel().tolist()) == {7, 0}
    assert set(sizes(values, [1, 2], None, apart=True).ravel().tolist()) == {1, 3, 0}


def test_regions_do_not_join_and_too_many_labels_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    pieces, row = Pieces(), np.zeros((1, 4), np.int32)
    for _ in range(2):
        pieces.begin()
        pieces.add(next(cut_blocks([row], NONE, None)))
    assert pieces.sizes().tolist() == [0, 4, 4]
    monkeypatch.setattr(stuff_pieces, "_MOST", 2)
    with pytest.raises(PlanError, match="more than 2 pieces of classes"):
        pieces.add(next(cut_blocks([row], NONE, None)))
