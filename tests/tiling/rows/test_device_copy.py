"""What goes to the network's device and back arrives as it was."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from landseg.tiling.rows.device_copy import DeviceCopy

DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")),
]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_there_and_back(device: str, dtype: torch.dtype) -> None:
    lane = DeviceCopy(device)
    strips = [torch.randn(1, 3, 64, 512).to(dtype).contiguous(memory_format=torch.channels_last) for _ in range(20)]
    sent = [lane.send(strip) for strip in strips]
    there = [lane.receive(one) for one in sent]
    assert all(x.device.type == device and x.is_contiguous(memory_format=torch.channels_last) for x in there)
    coming = [lane.fetch(x[0] * 2) for x in there]
    for strip, one in zip(strips, coming, strict=True):
        back = lane.fetched(one)
        assert back.dtype == np.float32
        np.testing.assert_array_equal(back, strip[0].float().numpy() * 2)
