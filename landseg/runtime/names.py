"""Names of devices, precisions and runtimes, checked before torch is imported and lists those of this machine."""

from __future__ import annotations

from landseg.errors import PlanError

DEVICES = ("cpu", "cuda", "mps")
PRECISIONS = ("fp32", "bf16", "fp16")
RUNTIMES = ("torch", "onnx")
"""The libraries that compute: PyTorch and ONNX Runtime."""


def check_device(name: str) -> None:
    """Raise PlanError if a name is that of no device, here or elsewhere."""
    if name != "auto" and name.partition(":")[0] not in DEVICES:
        raise PlanError(f"device {name!r} is unknown; use auto, cpu, cuda or mps")


def check_runtime(name: str) -> None:
    """Raise PlanError if a name is that of no library that computes."""
    if name not in ("auto", *RUNTIMES):
        raise PlanError(f"runtime {name!r} is unknown; use auto, {' or '.join(RUNTIMES)}")


def check_precision(name: str) -> None:
    """Raise PlanError if a name is that of no precision."""
    if name not in ("auto", *PRECISIONS):
        raise PlanError(f"precision {name!r} is unknown; use auto, {', '.join(PRECISIONS)}")
