"""The merge of masks row by row: equal to the merge of the whole list, however the rows are cut."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from landseg.dense.boxes import SUB, Boxes
from landseg.dense.mask_claims import Claims
from landseg.dense.mask_merge import MaskMerge

HEIGHT, WIDTH = 60, 20
LARGEST = 12 * SUB
SHARES = (Fraction(0), Fraction(1, 4), Fraction(1, 2), Fraction(9, 10))
Labels = NDArray[np.int64]
Pieces = tuple[Boxes, NDArray[np.float32]]


def random_objects(seed: int, *, count: int = 40, scores: int = 3) -> Pieces:
    """Return objects of two classes with few different scores, whose anchors come from above, and their masks."""
    random = np.random.default_rng(seed)
    anchor = np.sort(random.integers(0, HEIGHT * SUB, count))
    centre = np.stack([random.integers(0, WIDTH * SUB, count), anchor], axis=1)
    near, far = (random.integers(SUB // 2, LARGEST + 1, (count, 2)) for _ in range(2))
    box = np.clip(np.concatenate([centre - near, centre + far], axis=1), 0, np.tile([WIDTH, HEIGHT], 2) * SUB)
    masks = random.choice([0.0, 0.6, 1.0], (count, 4, 4)).astype(np.float32)
    score = random.integers(0, scores, count).astype(np.float32)
    place = random.permutation(count)
    return Boxes(box, score, place, anchor, random.integers(0, 2, count)), masks


def merged(objects: Pieces, share: Fraction) -> Labels:
    """Return the place of each pixel's object (h, w), -1 for none: of all objects, one after the other."""
    boxes, masks = objects
    found = np.full((HEIGHT, WIDTH), -1)
    for index in sorted(range(len(boxes)), key=lambda i: (-boxes.score[i], boxes.place[i])):
        alone = Claims((HEIGHT, WIDTH))
        alone.add(boxes.chosen(np.array([index])), masks[[index]], 1)
        mask = alone.finish(HEIGHT) == 1
        taken = mask & (found >= 0)
        if mask.sum() and Fraction(int(taken.sum()), int(mask.sum())) <= share:
            found[mask & ~taken] = boxes.place[index]
    return found


def in_strips(objects: Pieces, share: Fraction, cuts: Sequence[int], *, early: int = 0) -> Labels:
    """Return `merged` of objects that come in strips of rows; ``early``: rows by which each is decided too early."""
    (boxes, masks), claims = objects, Claims((HEIGHT, WIDTH))
    merge, rows, place, top = MaskMerge(claims, share, largest=LARGEST), [], [np.array([-1])], 0
    for bottom in [*cuts, 1 << 40]:
        part = (boxes.anchor >= top) & (boxes.anchor < bottom)
        place.append(merge.merge(boxes.chosen(part), masks[part], bottom).place)
        if early:
            merge._decide(merge.waiting.box[:, 3] + LARGEST - early * SUB <= bottom)
            place.append(np.array(list(merge._labels), np.int64))
            merge._labels.clear()
        above = min(bottom - LARGEST, int(merge.waiting.box[:, 1].min(initial=1 << 40)))
        if not early:
            rows.append(claims.finish(min(max(above // SUB, 0), HEIGHT)))
        top = bottom
    rows.append(claims.finish(HEIGHT))
    assert not len(merge.waiting) and not merge.nbytes
    found: Labels = np.concatenate(place)[np.concatenate(rows)]
    return found


@given(st.integers(0, 2**32 - 1), st.sampled_from(SHARES), st.lists(st.integers(0, HEIGHT * SUB)), st.integers(1, 20))
def test_it_equals_the_merge_of_the_whole_list(seed: int, share: Fraction, cuts: list[int], scores: int) -> None:
    objects = random_objects(seed, scores=scores)
    expected = merged(objects, share)
    np.testing.assert_array_equal(in_strips(objects, share, sorted(cuts)), expected)
    np.testing.assert_array_equal(in_strips(objects, share, []), expected)


def test_twin_objects_that_are_decided_too_early_are_wrong_often() -> None:
    share, cuts = Fraction(1, 2), list(range(0, HEIGHT * SUB, 5 * SUB))
    wrong = 0
    for seed in range(20):
        objects = random_objects(seed, scores=20)
        expected = merged(objects, share)
        np.testing.assert_array_equal(in_strips(objects, share, cuts), expected)
        wrong += bool((in_strips(objects, share, cuts, early=12) != expected).any())
    assert wrong > 10


def test_twin_claims_in_the_order_of_coming_are_wrong() -> None:
    boxes, masks = random_objects(1, scores=20)
    coming = Boxes(boxes.box, -np.arange(len(boxes), dtype=np.float32), boxes.place, boxes.anchor, boxes.kind)
    share = Fraction(1, 2)
    assert (in_strips((coming, masks), share, [300]) != merged((boxes, masks), share)).mean() > 0.1


@pytest.mark.parametrize(
    ("columns", "labels"), [(6, "1111110000"), (5, "1111122222"), (4, "1111222222")], ids=["more", "half", "less"]
)
def test_an_object_is_dropped_if_more_than_its_share_is_taken(columns: int, labels: str) -> None:
    wide, narrow = [0, 0, 10 * SUB, SUB], [0, 0, columns * SUB, SUB]
    claims, zeros = Claims((1, 10)), np.zeros(2, np.int64)
    boxes = Boxes(np.array([narrow, wide]), np.array([2, 1], np.float32), np.arange(2), zeros, zeros)
    merge = MaskMerge(claims, Fraction(1, 2), largest=LARGEST)
    kept = merge.merge(boxes, np.ones((2, 28, 28), np.float32), 1 << 40)
    found = claims.finish(1)[0]
    assert "".join(map(str, found)) == labels and len(kept) == (1 if columns == 6 else 2)


def test_an_object_without_pixels_is_dropped() -> None:
    boxes, masks = random_objects(0, count=3)
    merge = MaskMerge(Claims((HEIGHT, WIDTH)), Fraction(1, 2), largest=LARGEST)
    assert len(merge.merge(boxes, masks * 0, 1 << 40)) == 0
