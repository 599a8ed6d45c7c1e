"""Keypoints in boxes: cells and losses as torchvision's and PyTorch's, places back from perfect maps."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torchvision.models.detection.roi_heads import keypoints_to_heatmap

from landseg.dense.keypoints.top_down import CELLS, cubic_weights, decode, encode, position_loss

Floats = NDArray[np.float64]


def objects(seed: int, smallest: float = 4.0, largest: float = 56.0) -> tuple[Floats, Floats]:
    """Return keypoints (5, 17, 2) in boxes (5, 4) of a range of sizes; float32 holds them all."""
    random = np.random.default_rng(seed)
    corner, size = random.uniform(0, 4000, (5, 2)), random.uniform(smallest, largest, (5, 2))
    boxes = np.concatenate([corner, corner + size], axis=1).astype(np.float32).astype(np.float64)
    share = random.uniform(0, 1, (5, 17, 2))
    points = boxes[:, None, :2] + share * (boxes[:, 2:] - boxes[:, :2])[:, None]
    return points.astype(np.float32).astype(np.float64), boxes


def perfect(cell: NDArray[np.int64]) -> Floats:
    """Return logits with one cell above the others."""
    maps = np.zeros((*cell.shape, CELLS * CELLS))
    np.put_along_axis(maps, cell[..., None], 20.0, axis=2)
    return maps.reshape(*cell.shape, CELLS, CELLS)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=30)
def test_places_come_back_to_half_a_pixel(seed: int) -> None:
    points, boxes = objects(seed)
    cell, counts = encode(points, boxes)
    assert counts.all()
    found, scores = decode(perfect(cell), boxes, resize=False)
    assert np.abs(found - points).max() <= 0.5 + 1e-3 and (scores > 0.99).all()
    wrong, _ = decode(perfect((cell + 1) % CELLS**2), boxes, resize=False)  # the twin: one cell to the right
    assert (np.abs(wrong - points) > (boxes[:, 2:] - boxes[:, :2])[:, None] / CELLS / 2 + 1e-3).any()


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=10)
def test_resized_maps_give_places_to_half_a_cell_and_half_a_pixel(seed: int) -> None:
    points, boxes = objects(seed, smallest=32, largest=120)
    cell = encode(points, boxes)[0]
    found, _ = decode(perfect(cell), boxes)
    outermost = np.isin(np.stack([cell % CELLS, cell // CELLS], axis=2), (0, CELLS - 1))
    within = (boxes[:, 2:] - boxes[:, :2])[:, None] / CELLS * np.where(outermost, 1, 0.5) + 0.5 + 1e-3
    assert (np.abs(found - points) <= within).all()
    assert (np.abs(found - points - 1) > within).any()  # the twin: one pixel too far


def test_cells_are_those_of_torchvision() -> None:
    points, boxes = objects(0, largest=300)
    points[0, 0], points[1, 1] = boxes[0, 2:], boxes[1, :2]  # on the right and on the left corner
    points[2, 2], points[3, 3] = boxes[2, 2:] + 5, boxes[3, :2] - 5  # outside
    seen = np.ones((*points.shape[:2], 1))
    given_points = torch.tensor(np.concatenate([points, seen], axis=2), dtype=torch.float64)
    expected, valid = keypoints_to_heatmap(given_points, torch.tensor(boxes), CELLS)
    cell, counts = encode(points, boxes)
    assert np.array_equal(counts, valid.numpy() > 0) and np.array_equal(cell, expected.numpy())
    assert (~counts).sum() == 2


def test_a_keypoint_that_is_not_there_does_not_count() -> None:
    points, boxes = objects(1)
    points[0, 0] = np.nan
    _, counts = encode(points, boxes)
    assert not counts[0, 0] and counts.sum() == counts.size - 1


def test_maps_are_resized_as_pytorch_does() -> None:
    maps = np.random.default_rng(0).normal(size=(56, 56))
    for height, width in ((56, 56), (120, 31), (9, 200)):
        found = cubic_weights(56, height) @ maps @ cubic_weights(56, width).T
        expected = torch.nn.functional.interpolate(
            torch.tensor(maps)[None, None], (height, width), mode="bicubic", align_corners=False
        )
        assert np.allclose(found, expected[0, 0].numpy(), atol=1e-12)


def test_the_loss_is_the_cross_entropy_of_pytorch() -> None:
    random = np.random.default_rng(0)
    logits, cell = random.normal(size=(2, 3, 56, 56)), random.integers(0, 56 * 56, (2, 3))
    counts = np.array([[True, True, False], [False, True, True]])
    expected = torch.nn.functional.cross_entropy(
        torch.tensor(logits.reshape(6, -1))[counts.ravel()], torch.tensor(cell.ravel())[counts.ravel()]
    )
    assert np.isclose(position_loss(logits, cell, counts), float(expected), rtol=1e-12)
    assert position_loss(logits, cell, counts) != position_loss(logits, cell, np.ones_like(counts))
    assert position_loss(logits, cell, np.zeros_like(counts)) == 0


def test_no_box_gives_no_place() -> None:
    found, scores = decode(np.zeros((0, 4, 56, 56)), np.zeros((0, 4)))
    assert found.shape == (0, 4, 2) and scores.shape == (0, 4)
