"""A network whose output changes slowly."""

from __future__ import annotations

import numpy as np


def smooth(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Imagery that is busy in some places and plain in others."""
    rng = np.random.default_rng(seed)
    busy = np.kron(rng.random((-(-height // 90), -(-width // 90))) ** 2, np.ones((90, 90)))[:height, :width]
    return (128 + rng.normal(0, 60, (3, height, width)) * busy).clip(1, 255).astype(np.uint8)
