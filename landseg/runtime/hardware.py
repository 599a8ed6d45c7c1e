"""What this computer may have, told without PyTorch: a GPU, and a processor that computes in bfloat16.

"False" is certain enough to leave PyTorch out; "True" is a hint, and PyTorch has the last word.
"""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path

_GPU_FILES = ("/dev/nvidiactl", "/dev/nvidia0", "/dev/dxg", "/dev/kfd")  # NVIDIA, WSL, AMD
_BF16_FLAGS = {"avx512_bf16", "amx_bf16", "amx_tile"}
_AVX512 = 41  # of the function IsProcessorFeaturePresent in Windows


def may_have_gpu() -> bool:
    """Return False if this process certainly sees no GPU that PyTorch calls "cuda"."""
    if sys.platform == "darwin":
        return False
    if any(os.environ.get(name) in ("", "-1") for name in ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES")):
        return False
    if sys.platform == "win32":
        folder = Path(os.environ.get("SYSTEMROOT", r"C:\Windows")) / "System32"
        return (folder / "nvcuda.dll").exists()
    return any(Path(name).exists() for name in _GPU_FILES)


def may_have_bf16() -> bool:
    """Return False if this processor certainly has no instructions for bfloat16 that PyTorch uses."""
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return False  # PyTorch is asked for those of this family alone, see `landseg.runtime.device.has_bf16`
    if sys.platform == "win32":
        import ctypes

        return bool(ctypes.windll.kernel32.IsProcessorFeaturePresent(_AVX512))
    if sys.platform == "darwin":
        return False
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    except OSError:
        return True
    flags = next((line for line in text.splitlines() if line.startswith("flags")), "")
    return bool(_BF16_FLAGS & set(flags.split()))
