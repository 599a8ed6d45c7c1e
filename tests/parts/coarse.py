"""Fine and coarse classes of a made-up ground, for the tests of learning from both."""

import numpy as np
from numpy.typing import NDArray

BLOCK = 16


def patchwork(seed: int, edge: int = 96) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Fine and coarse classes: a quarter of each "mostly dark" block of 16 is bright, three of each bright one."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 2, (edge // BLOCK,) * 2).repeat(BLOCK, 0).repeat(BLOCK, 1)
    tone = rng.random((edge // 2,) * 2).repeat(2, 0).repeat(2, 1) < np.where(coarse == 1, 0.75, 0.25)
    return tone.astype(np.uint8), coarse.astype(np.uint8)
