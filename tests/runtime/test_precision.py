"""Precision: what --precision auto takes is said, kept and never mixed; bf16 where the processor does not have it."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import torch
from torch import nn

from landseg.cli.predict import lines as predict_lines
from landseg.errors import ResumeError
from landseg.output.outputs import Outputs
from landseg.predict import predict
from landseg.runtime import device, fused
from landseg.runtime.device import choose_precision, has_bf16
from landseg.runtime.fused import FusedConv
from landseg.tiling.runner import Runner
from tests.parts.commands import run as command
from tests.parts.engine import small_runner
from tests.parts.predicting import MODEL, noise, one, read

Write = Callable[..., Path]
CPU = torch.device("cpu")
NOTE = "for this processor; another may choose otherwise and give another map, --precision fp32 keeps them alike"
PLAIN: dict[str, Any] = {"device": "cpu", "quiet": True}


def processor(monkeypatch: pytest.MonkeyPatch, *, bf16: bool) -> None:
    """Let this computer be one with or without instructions for bfloat16."""
    monkeypatch.setattr(device, "has_bf16", lambda: bf16)
    monkeypatch.setattr("landseg.inference.runtimes.may_have_bf16", lambda: bf16)


@pytest.mark.parametrize(("bf16", "taken"), [(True, "bf16"), (False, "fp32")])
@pytest.mark.parametrize("how", [{}, {"window": 64}])
def test_what_auto_took_is_said_and_kept(
    bf16: bool, taken: str, how: dict[str, Any], write_raster: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    processor(monkeypatch, bf16=bf16)
    raster, out = write_raster(noise(60, 70)), tmp_path / "o.tif"
    plan = one(predict(raster, out, model=MODEL, dry_run=True, **how, **PLAIN))
    made = one(predict(raster, out, model=MODEL, **how, **PLAIN))
    for result in (plan, made):
        assert result.precision == taken and result.precision_note == f"--precision auto chose {taken} {NOTE}"
        assert sum(NOTE in line for line in predict_lines(result)) == 1  # one line, no nagging
        assert result.to_json()["precision_note"] == result.precision_note
    with rasterio.open(out) as file:
        tags = file.tags()
    assert tags["LANDSEG_PRECISION"] == taken and tags["LANDSEG_PRECISION_NOTE"] == made.precision_note
    asked = f"--precision {taken}" in tags["LANDSEG_COMMAND"]
    assert asked  # the command gives these pixels on another processor too
    again = one(predict(raster, out, model=MODEL, resume=True, **how, **PLAIN))
    assert again.skipped and again.precision_note == made.precision_note


def test_a_precision_that_was_asked_for_needs_no_words(write_raster: Write, tmp_path: Path) -> None:
    out = tmp_path / "o.tif"
    made = one(predict(write_raster(noise(60, 70)), out, model=MODEL, precision="fp32", **PLAIN))
    assert made.precision_note is None and not any("another map" in line for line in predict_lines(made))
    with rasterio.open(out) as file:
        assert "LANDSEG_PRECISION_NOTE" not in file.tags()


@pytest.mark.parametrize("first", [True, False])
def test_a_run_is_not_continued_in_another_precision(
    first: bool, write_raster: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raster, out = write_raster(noise(60, 70)), tmp_path / "o.tif"
    before, now = ("bf16", "fp32") if first else ("fp32", "bf16")

    def killed(*_: Any) -> Any:
        raise KeyboardInterrupt

    processor(monkeypatch, bf16=first)
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(Outputs, "finish", killed)
        predict(raster, out, model=MODEL, window=64, **PLAIN)
    processor(monkeypatch, bf16=not first)
    how = f"--precision auto chooses for the processor, --precision {before} goes on"
    with pytest.raises(ResumeError, match=f"precision was {before}, is now {now} .{how}"):
        predict(raster, out, model=MODEL, window=64, resume=True, **PLAIN)
    predict(raster, out, model=MODEL, window=64, resume=True, precision=before, **PLAIN)
    with pytest.raises(ResumeError, match=f"made with precision {before}, now asked for is {now} .{how}"):
        predict(raster, out, model=MODEL, window=64, resume=True, **PLAIN)
    processor(monkeypatch, bf16=first)  # twin: on the first computer nothing differs
    assert one(predict(raster, out, model=MODEL, window=64, resume=True, **PLAIN)).skipped


def test_the_help_says_so() -> None:
    assert "auto depends on the processor" in " ".join(command("predict", "--help")[1].split())


class Refusing:
    """PyTorch's operators on a processor whose library has no convolution in bfloat16."""

    def __init__(self, real: Any) -> None:
        self._real = real

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def _reorder_convolution_weight(self, weight: torch.Tensor, *rest: Any) -> Any:
        if weight.dtype == torch.bfloat16:
            raise RuntimeError("mkldnn_reorder_conv2d_weight: bf16 path needs the cpu support avx512bw")
        return self._real._reorder_convolution_weight(weight, *rest)


@pytest.fixture
def without_bf16(monkeypatch: pytest.MonkeyPatch) -> Any:
    fused.fused_convolution.cache_clear()
    monkeypatch.setattr(torch.ops, "mkldnn", Refusing(torch.ops.mkldnn))
    yield
    monkeypatch.undo()
    fused.fused_convolution.cache_clear()


@pytest.mark.usefixtures("without_bf16")
def test_bf16_runs_unfused_where_the_library_refuses(monkeypatch: pytest.MonkeyPatch, heard: list[str]) -> None:
    assert fused.fused_convolution(torch.bfloat16) is None and fused.fused_convolution(torch.float32) is not None
    assert not has_bf16() and choose_precision("auto", CPU) == "fp32"  # what is used was probed, not only flags
    layer = nn.Conv2d(3, 5, 3, stride=2).to(torch.bfloat16).requires_grad_(False)
    x = torch.rand(1, 3, 21, 20).to(torch.bfloat16)
    made = FusedConv(layer, (0.0, 6.0))(x, (1, 1))
    exact = nn.functional.conv2d(x.float(), layer.weight.float(), layer.bias.float(), 2, 1).clamp(0, 6)
    assert torch.allclose(made.float(), exact, rtol=2**-7, atol=2**-7)
    small_runner(precision="bf16")
    assert sum("does not compute in bfloat16 itself" in line for line in heard) == 1
    monkeypatch.setattr(fused, "fused_convolution", lambda dtype: torch.ops.mkldnn._convolution_pointwise)
    with pytest.raises(RuntimeError, match="bf16 path"):  # twin: where only float32 was probed
        FusedConv(layer)(x, (1, 1))


def test_no_word_where_the_processor_has_it(heard: list[str]) -> None:
    if not has_bf16():
        pytest.skip("this processor has no bfloat16")
    small_runner(precision="bf16")
    Runner(nn.Conv2d(2, 3, 1), mean=[0, 0], std=[1, 1], device="cpu", precision="fp32")
    assert not heard


PROGRAM = textwrap.dedent("""
    import sys, torch
    from landseg.tiling.runner import choose_precision
    from landseg.predict import predict
    sys.path.insert(0, sys.argv[3])
    from tests.parts.predicting import MODEL
    for engine in ("stream", "windows"):
        made = predict(
            sys.argv[1], f"{sys.argv[2]}/{engine}.tif", model=MODEL, device="cpu", precision="bf16", engine=engine
        )
        assert made.precision == "bf16", made
    print(choose_precision("auto", torch.device("cpu")))
""")


@pytest.mark.skipif(sys.platform == "darwin", reason="oneDNN is not used there")
def test_on_an_older_processor(write_raster: Write, tmp_path: Path) -> None:
    """oneDNN without AVX-512, as on processors that do not have it."""
    pixels = noise(90, 100)
    raster = write_raster(pixels)
    older = {**os.environ, "ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}
    arguments = [str(raster), str(tmp_path), str(Path(__file__).resolve().parents[2])]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments], capture_output=True, text=True, env=older, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-1] == "fp32"
    predict(raster, tmp_path / "here.tif", model=MODEL, precision="fp32", **PLAIN)
    here = read(tmp_path / "here.tif")
    for engine in ("stream", "windows"):
        assert (read(tmp_path / f"{engine}.tif") != here).mean() < 0.05
    assert np.unique(here).size > 1
