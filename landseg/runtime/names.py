"""Names of devices and precisions, read before torch says which of them are here."""

from __future__ import annotations

from landseg.errors import PlanError

DEVICES = ("cpu", "cuda", "mps")


PRECISIONS = ("fp32", "bf16", "fp16")


def check_device(name: str) -> None:
    """Refuse a device that does not exist anywhere.

    Raises:
        PlanError: an unknown name.
    """
    if name != "auto" and name.partition(":")[0] not in DEVICES:
        raise PlanError(f"device {name!r} is unknown; use auto, cpu, cuda or mps")


def check_precision(name: str) -> None:
    """Refuse a precision that does not exist anywhere.

    Raises:
        PlanError: an unknown name.
    """
    if name not in ("auto", *PRECISIONS):
        raise PlanError(f"precision {name!r} is unknown; use auto, {', '.join(PRECISIONS)}")
