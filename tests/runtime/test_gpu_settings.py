"""What a GPU is asked for, without a GPU: settings, free memory, the sentence on too little memory, the engine."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from landseg.errors import PlanError
from landseg.inference.options import InferenceOptions
from landseg.inference.row_strategy import why_not_rows
from landseg.runtime.device import computing, free_device_bytes

CPU, CUDA, SECOND = torch.device("cpu"), torch.device("cuda"), torch.device("cuda", 1)


def new_names(convolution: str, product: str) -> SimpleNamespace:
    """Return settings as PyTorch has them from 2.9 on."""
    cudnn = SimpleNamespace(conv=SimpleNamespace(fp32_precision=convolution), deterministic=False, benchmark=True)
    return SimpleNamespace(cudnn=cudnn, cuda=SimpleNamespace(matmul=SimpleNamespace(fp32_precision=product)))


def old_names() -> SimpleNamespace:
    cudnn = SimpleNamespace(allow_tf32=True, deterministic=False, benchmark=True)
    return SimpleNamespace(cudnn=cudnn, cuda=SimpleNamespace(matmul=SimpleNamespace(allow_tf32=True)))


def values(settings: SimpleNamespace) -> dict[str, Any]:
    """Return all settings by name, as they are now."""
    owners = {"cudnn": settings.cudnn, "matmul": settings.cuda.matmul}
    owners |= {"conv": settings.cudnn.conv} if hasattr(settings.cudnn, "conv") else {}
    return {f"{o}.{n}": v for o, owner in owners.items() for n, v in vars(owner).items() if n != "conv"}


EXACT = {"fp32_precision": "ieee", "allow_tf32": False, "deterministic": True, "benchmark": False}


@pytest.mark.parametrize("settings", [new_names("tf32", "none"), new_names("none", "tf32"), old_names()])
def test_a_gpu_computes_in_float32_and_the_settings_come_back(
    settings: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "backends", settings)
    before = values(settings)
    with pytest.raises(RuntimeError, match="of a layer"), computing(CUDA, too_little="it"):
        inside = values(settings)
        raise RuntimeError("of a layer")
    assert {name: EXACT[name.rpartition(".")[2]] for name in before} == inside
    assert values(settings) == before != inside
    with computing(CPU, too_little="it"):
        assert values(settings) == before, "on a CPU nothing changes"


def test_the_settings_of_this_pytorch_are_known() -> None:
    cudnn: Any = torch.backends.cudnn
    before = (cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32, cudnn.deterministic)
    with computing(CUDA, too_little="it"):
        assert cudnn.deterministic and not torch.backends.cuda.matmul.allow_tf32
        exact = cudnn.conv.fp32_precision == "ieee" if hasattr(cudnn, "conv") else not cudnn.allow_tf32
        assert exact
    assert (cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32, cudnn.deterministic) == before
    assert before[0], "the twin: PyTorch's own choice is TF32"


def test_too_little_memory_gets_a_sentence() -> None:
    sentence = r"^the device has too little memory for strips; use less$"
    with pytest.raises(PlanError, match=sentence), computing(CUDA, too_little="strips; use less"):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")
    with pytest.raises(torch.cuda.OutOfMemoryError), computing(CPU, too_little="strips"):
        raise torch.cuda.OutOfMemoryError("of no GPU of ours")


def test_free_memory_is_that_of_the_chosen_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    free = {CUDA: (1 << 30, 8 << 30), SECOND: (5 << 30, 8 << 30)}
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: free[device])
    assert free_device_bytes(SECOND) == 5 << 30 != free_device_bytes(CUDA)


@pytest.mark.parametrize(("device", "streams"), [("cpu", True), ("cuda", True), ("cuda:1", True), ("mps", False)])
def test_rows_are_streamed_on_nvidia_gpus(device: str, streams: bool) -> None:
    executor = SimpleNamespace(device_name=torch.device(device).type, why_not_streamed=None)
    engine: Any = SimpleNamespace(executor=executor)
    assert (why_not_rows(engine, InferenceOptions()) is None) == streams
    assert why_not_rows(engine, InferenceOptions(engine="stream")) is None
    assert why_not_rows(engine, InferenceOptions(engine="windows")) is not None
    engine.executor.why_not_streamed = "a layer"
    assert why_not_rows(engine, InferenceOptions(engine="stream")) == "a layer"
