"""The runner: scaling, holes, precision, memory."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from landseg.errors import PlanError
from landseg.runtime.device import choose_device, choose_precision
from landseg.tiling.runner import Runner
from tests.parts.engine import CLASSES, Small, picture, small_runner, whole


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32", "float64"])
def test_prepare_scales_any_dtype(dtype: str) -> None:
    runner = Runner(Small(2), mean=[10, 20], std=[2, 4], device="cpu", precision="fp32")
    pixels = np.arange(24).reshape(2, 3, 4).astype(dtype)
    prepared = runner.prepare(pixels, np.ones((3, 4), bool))
    expected = (pixels - np.array([10, 20])[:, None, None]) / np.array([2, 4])[:, None, None]
    assert prepared.shape == (1, 2, 3, 4) and prepared.dtype == torch.float32
    np.testing.assert_allclose(prepared[0].numpy(), expected, atol=1e-6)
    assert prepared.is_contiguous(memory_format=torch.channels_last)


def test_prepare_rounds_to_bfloat16_as_torch_does() -> None:
    values = np.random.default_rng(0).normal(size=(1, 300, 400)).astype(np.float32) * 100
    ties = np.array([1 + 2**-8, 1 + 3 * 2**-8, -(1 + 2**-8), 0.0, -0.0, 255.0, 1e-30], np.float32)
    values[0, 0, : len(ties)] = ties
    runner = Runner(Small(1), mean=[0], std=[1], device="cpu", precision="bf16")
    prepared = runner.prepare(values, np.ones((300, 400), bool))
    assert prepared.dtype == torch.bfloat16 and prepared.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(prepared[0], torch.from_numpy(values).to(torch.bfloat16))
    cut_off = (torch.from_numpy(values).view(torch.int32) >> 16 << 16).view(torch.float32)  # the twin: not rounded
    assert not torch.equal(prepared[0], cut_off.to(torch.bfloat16))


def test_what_is_not_valid_becomes_the_fill_whatever_it_held() -> None:
    runner = Runner(Small(2), mean=[1, 1], std=[1, 1], fill=0.25, device="cpu", precision="fp32")
    pixels = np.full((2, 2, 3), 5, np.float32)
    pixels[:, 0] = np.nan, np.inf, -np.inf
    valid = np.isfinite(pixels[0])
    prepared = runner.prepare(pixels, valid)[0].numpy()
    assert (prepared[:, 0] == 0.25).all() and (prepared[:, 1] == 4).all()


def test_run_returns_float32_logits_of_every_window() -> None:
    runner = small_runner()
    one = picture(33, 47)
    batch = [runner.prepare(one, np.ones((33, 47), bool))] * 3
    logits = runner.run(batch)
    assert logits.shape == (3, CLASSES, 33, 47) and logits.dtype == np.float32
    np.testing.assert_allclose(logits[2], logits[0], atol=1e-5)


def test_precisions_agree_roughly() -> None:
    image = picture(64, 64)
    exact, rough = (whole(small_runner(precision=name), image) for name in ("fp32", "bf16"))
    assert 0 < np.abs(exact - rough).max() < 0.1 * np.abs(exact).max()


def test_the_network_itself_is_left_alone() -> None:
    network = Small(2)
    before = network.first.weight.detach().clone()
    Runner(network, mean=[0, 0], std=[1, 1], device="cpu", precision="bf16")
    assert network.first.weight.dtype == torch.float32
    assert torch.equal(network.first.weight, before)


def test_memory_is_counted_by_the_pixel() -> None:
    runner = small_runner()
    # Input 2 x 4 bytes, first features 6 x 4 / 4 with their rectified twin, logits 3 x 4 and their padding.
    assert 20 < runner.bytes_per_pixel() < 120
    assert runner.seconds(64, 64) > 0


@pytest.mark.parametrize(("name", "sentence"), [("tpu", "use auto, cpu"), ("cuda", "no cuda device")])
def test_devices_that_are_not_here_are_refused(name: str, sentence: str) -> None:
    if name == "cuda" and torch.cuda.is_available():
        pytest.skip("there is one")
    with pytest.raises(PlanError, match=sentence):
        choose_device(name)


def test_precisions_that_do_not_fit_are_refused() -> None:
    cpu = torch.device("cpu")
    assert choose_precision("auto", cpu) in ("fp32", "bf16")
    assert choose_precision("auto", torch.device("cuda")) == "fp16"
    for name in ("fp16", "int8"):
        with pytest.raises(PlanError, match=name):
            choose_precision(name, cpu)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="resident memory is read from /proc")
def test_freed_memory_that_is_kept_can_be_given_back() -> None:
    """In a process of its own: 1 GiB taken and freed stays resident, until it is given back."""
    code = """
import torch
from landseg.inference.scope import resident_bytes
from landseg.tiling.runner import keep_freed_memory, give_back_freed_memory
keep_freed_memory()
taken = [torch.ones(1 << 20) for _ in range(256)]
taken.append(taken)  # a cycle, as traced networks have them
del taken
kept = resident_bytes()
give_back_freed_memory()
print(kept >> 20, (kept - resident_bytes()) >> 20)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    kept, given_back = map(int, done.stdout.split())
    assert kept > 1024 and given_back > 900
