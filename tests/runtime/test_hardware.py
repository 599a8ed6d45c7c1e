"""What this computer may have is told without PyTorch, and never denied where PyTorch finds it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from landseg.runtime import hardware
from landseg.runtime.device import has_bf16

LINUX = sys.platform.startswith("linux")


def test_what_pytorch_finds_is_not_denied() -> None:
    assert hardware.may_have_bf16() or not has_bf16()
    assert hardware.may_have_gpu() or not torch.cuda.is_available()


@pytest.mark.skipif(not LINUX, reason="device files are those of Linux")
def test_a_driver_is_a_hint_at_a_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.delenv("HIP_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(hardware, "_GPU_FILES", (str(tmp_path / "nvidiactl"),))
    assert not hardware.may_have_gpu()
    (tmp_path / "nvidiactl").touch()
    assert hardware.may_have_gpu()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")  # hidden from this process
    assert not hardware.may_have_gpu()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    assert hardware.may_have_gpu()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("flags\t\t: fpu avx2 avx512f\n", False),
        ("flags\t\t: fpu avx2 avx512f avx512_bf16\n", True),
        ("processor : 0\nflags : fpu amx_tile amx_bf16\n", True),
        ("bugs : avx512_bf16\nflags : fpu\n", False),
        ("", False),
    ],
)
def test_flags_of_the_processor(text: str, found: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware.sys, "platform", "linux")
    monkeypatch.setattr(hardware.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: text)
    assert hardware.may_have_bf16() is found
    monkeypatch.setattr(hardware.platform, "machine", lambda: "aarch64")
    assert not hardware.may_have_bf16()


def test_a_processor_that_does_not_say_is_left_to_pytorch(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> str:
        raise PermissionError

    monkeypatch.setattr(hardware.sys, "platform", "linux")
    monkeypatch.setattr(hardware.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(Path, "read_text", refused)
    assert hardware.may_have_bf16()


def test_it_imports_no_pytorch() -> None:
    asks = "hardware.may_have_gpu(), hardware.may_have_bf16()"
    code = f"import sys; from landseg.runtime import hardware; {asks}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
