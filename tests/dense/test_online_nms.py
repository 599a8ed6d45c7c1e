"""Suppression row by row: equal to greedy suppression of the whole list, however the rows are cut."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from landseg.dense import boxes as boxes_module
from landseg.dense.boxes import Boxes, find_overlaps, move_boxes, overlap_more, share_of
from landseg.dense.online_nms import OnlineSuppression, suppress

SHARES = (Fraction(0), Fraction(3, 10), Fraction(1, 2), Fraction(7, 10))
LARGEST = 40


def random_boxes(seed: int, *, count: int = 60, scores: int = 4, kinds: int = 1, size: int = 160) -> Boxes:
    """Return boxes with few different scores, so with many ties, whose anchors come from above."""
    random = np.random.default_rng(seed)
    anchor = np.sort(random.integers(0, size, count))
    centre = np.stack([random.integers(0, size // 4, count), anchor], axis=1)
    near, far = (random.integers(1, LARGEST + 1, (count, 2)) for _ in range(2))
    score = random.integers(0, scores, count).astype(np.float32)
    kind = random.integers(0, kinds, count)
    return Boxes(np.concatenate([centre - near, centre + far], axis=1), score, np.arange(count), anchor, kind)


def greedy(boxes: Boxes, share: Fraction) -> list[int]:
    """Return the places of the boxes that are kept, one by one as in the definition."""
    kept: list[int] = []
    for index in sorted(range(len(boxes)), key=lambda i: (-boxes.score[i], boxes.place[i])):
        one = boxes.box[index]
        for other in kept:
            width = min(one[2], boxes.box[other, 2]) - max(one[0], boxes.box[other, 0])
            height = min(one[3], boxes.box[other, 3]) - max(one[1], boxes.box[other, 1])
            common = int(max(width, 0) * max(height, 0))
            both = sum(int((b[2] - b[0]) * (b[3] - b[1])) for b in (one, boxes.box[other])) - common
            if boxes.kind[index] == boxes.kind[other] and Fraction(common, both) > share:
                break
        else:
            kept.append(index)
    return sorted(int(boxes.place[i]) for i in kept)


def in_strips(boxes: Boxes, share: Fraction, cuts: Sequence[int], early: int = 0) -> list[int]:
    """Return the places of the boxes that are kept, with boxes in strips of rows; ``early``: see the twin."""
    rows, kept, top = OnlineSuppression(share, largest=LARGEST), [], -1000
    for bottom in cuts:
        part = boxes.chosen((boxes.anchor >= top) & (boxes.anchor < bottom))
        kept += rows.add(part, bottom).place.tolist()
        if early:  # decide as though boxes reached less far
            waiting = rows.waiting
            kept += rows._decide(waiting.box[:, 3] + LARGEST - early <= bottom).place.tolist()
        top = bottom
    kept += rows.add(boxes.chosen(boxes.anchor >= top), 1 << 40).place.tolist()
    return sorted(kept)


@given(st.integers(0, 2**32 - 1), st.sampled_from(SHARES), st.lists(st.integers(0, 160)), st.integers(1, 3))
def test_it_equals_the_suppression_of_the_whole_list(seed: int, share: Fraction, cuts: list[int], kinds: int) -> None:
    boxes = random_boxes(seed, kinds=kinds)
    expected = greedy(boxes, share)
    assert in_strips(boxes, share, sorted(cuts)) == expected
    assert sorted(suppress(boxes, share).place.tolist()) == expected


def test_twin_a_box_that_is_decided_one_reach_too_early_is_wrong_often() -> None:
    share, cuts = Fraction(3, 10), list(range(0, 160, 7))
    wrong = 0
    for seed in range(100):
        boxes = random_boxes(seed)
        wrong += in_strips(boxes, share, cuts, early=LARGEST) != greedy(boxes, share)
        assert in_strips(boxes, share, cuts) == greedy(boxes, share)
    assert wrong > 30


@given(st.integers(0, 2**32 - 1), st.sampled_from(SHARES), st.integers(0, 60))
def test_pairs_are_all_that_overlap(seed: int, share: Fraction, fresh: int) -> None:
    boxes = random_boxes(seed, kinds=2)
    one, other = np.triu_indices(len(boxes), 1)
    hit = overlap_more(boxes.box[one], boxes.box[other], share) & (boxes.kind[one] == boxes.kind[other])
    expected = {(int(a), int(b)) for a, b in zip(one[hit], other[hit], strict=True) if b >= fresh}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(boxes_module, "_AT_ONCE", 50)
        patch.setattr(boxes_module, "_CELL", 4)
        found = find_overlaps(boxes, share, fresh)
    rank = np.argsort(boxes.order())
    assert len(found) == len(expected) and {(min(a, b), max(a, b)) for a, b in found.tolist()} == expected
    assert (rank[found[:, 0]] < rank[found[:, 1]]).all()


def test_what_is_decided_is_forgotten() -> None:
    boxes = random_boxes(0, count=2000, size=20_000)
    rows, most = OnlineSuppression(Fraction(1, 2), largest=LARGEST), 0
    for top in range(0, 20_000, 50):
        rows.add(boxes.chosen((boxes.anchor >= top) & (boxes.anchor < top + 50)), top + 50)
        most = max(most, len(rows.waiting))
    assert 0 < most < 60
    rows.end()
    assert len(rows.waiting) == 0


def test_a_box_that_is_too_large_or_too_late_is_refused() -> None:
    boxes = random_boxes(0)
    with pytest.raises(ValueError, match="further"):
        OnlineSuppression(Fraction(1, 2), largest=LARGEST // 2).add(boxes, 1000)
    rows = OnlineSuppression(Fraction(1, 2), largest=LARGEST)
    rows.add(boxes, 1000)
    with pytest.raises(ValueError, match="too late"):
        rows.add(boxes, 2000)


@pytest.mark.parametrize("share", [-0.1, 1.0, float("nan")])
def test_a_share_outside_0_to_1_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match="share"):
        share_of(share)


@given(st.integers(0, 10_000), st.integers(0, 10_000), st.integers(0, 2**32 - 1))
def test_a_box_is_the_same_wherever_its_anchor_lies(right: int, down: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    centre, size = random.integers(0, 500, (5, 2)), random.integers(16, 2000, (5, 2))
    deltas = random.normal(0, 0.5, (5, 4)).astype(np.float32)
    here, there = move_boxes(centre, size, deltas), move_boxes(centre + np.array([right, down]), size, deltas)
    assert (there - here == [right, down, right, down]).all()


def test_differences_that_are_no_numbers_give_boxes() -> None:
    deltas = np.array([[np.inf, np.nan, 99, 99]], np.float32)
    assert np.abs(move_boxes(np.zeros((1, 2)), np.full((1, 2), 64), deltas)).max() <= boxes_module.FARTHEST * 16
