"""Devices and precisions of this machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch

from landseg.errors import PlanError
from landseg.runtime.fused import fused_convolution
from landseg.runtime.names import check_device, check_precision
from landseg.runtime.processors import processors, threads_of_environment

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def choose_device(name: str) -> torch.device:
    """Return the device of a name; "auto" is a GPU where there is one.

    Raises:
        PlanError: an unknown name, or no such device here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    check_device(name)
    here = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    kind = name.partition(":")[0]
    if not here[kind]:
        raise PlanError(f"this computer has no {kind} device that torch can use; use --device auto or cpu")
    return torch.device(name)


def choose_precision(name: str, device: torch.device) -> str:
    """Return the precision of a name; "auto" is the fastest that the device computes natively.

    bf16 on CPUs with instructions for it, fp16 on CUDA, otherwise fp32.

    Raises:
        PlanError: an unknown name, or fp16 on a CPU.
    """
    if name == "auto":
        if device.type == "cuda":
            return "fp16"
        return "bf16" if device.type == "cpu" and has_bf16() else "fp32"
    check_precision(name)
    if name == "fp16" and device.type == "cpu":
        raise PlanError("fp16 is slower than fp32 on a CPU; use --precision auto, fp32 or bf16")
    return name


@contextmanager
def computing(device: torch.device, *, too_little: str) -> Iterator[None]:
    """Let a GPU compute inside as a CPU does; its settings are as before afterwards.

    On CUDA float32 is float32 and not TF32, in which cuDNN would keep 10 of 23 bits of each factor, and convolutions
    give the same bits each time. These settings are the process's. On other devices nothing changes.

    Args:
        device: of the network.
        too_little: what the device has too little memory for, and what to do, for the sentence of the error.

    Raises:
        PlanError: the device's memory is too small.
    """
    if device.type != "cuda":
        yield
        return
    cudnn: Any = torch.backends.cudnn
    with ExitStack() as stack:
        for owner, name, value in (
            *_float32_settings(),
            (cudnn, "deterministic", True),
            (cudnn, "benchmark", False),
        ):
            stack.callback(setattr, owner, name, getattr(owner, name))
            setattr(owner, name, value)
        try:
            yield
        except torch.cuda.OutOfMemoryError as error:
            raise PlanError(f"the device has too little memory for {too_little}") from error


def _float32_settings() -> Iterator[tuple[Any, str, Any]]:
    """Yield owner, name and value of the settings by which float32 is not TF32, in the words of this PyTorch.

    PyTorch 2.9 has new names, and refuses a mixture of both.
    """
    cudnn: Any = torch.backends.cudnn
    matmul: Any = torch.backends.cuda.matmul
    convolution = getattr(cudnn, "conv", None)
    if hasattr(convolution, "fp32_precision") and hasattr(matmul, "fp32_precision"):
        yield convolution, "fp32_precision", "ieee"
        yield matmul, "fp32_precision", "ieee"
    else:
        yield cudnn, "allow_tf32", False
        yield matmul, "allow_tf32", False


def free_device_bytes(device: torch.device) -> int:
    """Return the bytes that are free on a CUDA device, the one that is named and not the first."""
    free, _ = torch.cuda.mem_get_info(device)
    return int(free)


def set_threads(threads: int | None) -> None:
    """Set the number of threads that torch computes with, in the whole process.

    None leaves it to OMP_NUM_THREADS and torch, which counts the processors of the affinity and knows no quota of a
    container: there it becomes the number of processors that may be used, if it is larger.
    """
    if threads is None and threads_of_environment() is None:
        threads = min(torch.get_num_threads(), processors())
    if threads not in (None, torch.get_num_threads()):
        torch.set_num_threads(threads)


def has_bf16() -> bool:
    """Return True if this CPU multiplies bfloat16 natively in every operation used here.

    Emulation is slower than float32. The flags of the CPU are not enough: the library that convolves may be kept from
    the instructions (ONEDNN_MAX_CPU_ISA), or not know the processor.
    """
    names = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
    if not any((supported := getattr(torch.cpu, name, None)) is not None and supported() for name in names):
        return False
    return fused_convolution(torch.float32) is None or fused_convolution(torch.bfloat16) is not None
