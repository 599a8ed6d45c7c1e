"""Runtimes: a compiled network makes the maps that PyTorch makes, in every way over a raster, and without it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import torch
from torch import nn

from landseg.cli.predict import lines as predict_lines
from landseg.cli.verify import lines as verify_lines
from landseg.errors import PlanError, ResumeError
from landseg.inference import runtimes
from landseg.inference.prediction import Prediction
from landseg.models.file import Model
from landseg.output.outputs import Outputs
from landseg.predict import predict
from landseg.verify import verify
from tests.parts.box_network import FIELD, BoxNetwork, BoxRows, compiled, torch_box
from tests.parts.commands import run as command
from tests.parts.predicting import MODEL, noise, one, read

Write = Callable[..., Path]
BOX = Model(torch_box(), replace(MODEL.card, name="box", receptive_field=FIELD), Path("box.safetensors"), "box")
FP32: dict[str, Any] = {"device": "cpu", "precision": "fp32", "quiet": True}


@pytest.fixture
def box(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let every model compile to the box network; the function that is given changes that network."""

    def change(**changes: Any) -> None:
        monkeypatch.setattr(runtimes, "compiled_network", compiled(**changes))

    change()
    return change


def mapped(source: Path, out: Path, **options: Any) -> Prediction:
    probs = out.with_name(f"{out.stem}_probs.tif")
    return one(predict(source, out, model=BOX, probs=probs, probs_dtype="float32", **FP32, **options))


def assert_same_maps(first: Path, second: Path) -> None:
    """Probabilities agree to rounding, and classes but where the two best are as near."""
    probs = []
    for path in (first, second):
        with rasterio.open(path.with_name(f"{path.stem}_probs.tif")) as raster:
            probs.append(raster.read())
    np.testing.assert_allclose(probs[0], probs[1], atol=1e-5)
    best = np.sort(probs[0], axis=0)
    ties = best[-1] - best[-2] <= 1e-5
    assert (read(first) == read(second))[~ties].all() and ties.mean() < 1e-3


AOI = "500010.5,5399955,500040,5399979.5"
WAYS: dict[str, dict[str, Any]] = {
    "rows": {},
    "windows": {"window": 32},
    "flips": {"tta": "flips", "window": 48},
    "turns": {"tta": "d4", "window": 48},
    "an area": {"aoi": AOI},
    "an area in windows": {"aoi": AOI, "window": 32},
    "coarser": {"resolution": 1.25},
    "finer, in windows": {"resolution": 0.4, "window": 64},
    "batches": {"window": 32, "batch": 3},
}


@pytest.mark.parametrize("way", WAYS)
def test_every_way_gives_the_map_that_pytorch_gives(
    way: str, box: Callable[..., None], write_raster: Write, tmp_path: Path
) -> None:
    pixels = noise(150, 131)
    pixels[:, 40:90] = 0  # a gap
    source, how = write_raster(pixels, nodata=0), WAYS[way]
    made = {name: mapped(source, tmp_path / f"{name}.tif", runtime=name, **how) for name in ("torch", "onnx")}
    assert made["onnx"].runtime == "onnx" and made["torch"].runtime == "torch"
    assert {made["onnx"].engine, made["torch"].engine} == {"windows" if "window" in how else "stream"}
    assert_same_maps(tmp_path / "torch.tif", tmp_path / "onnx.tif")


def test_blocks_of_columns(box: Callable[..., None], write_raster: Write, tmp_path: Path) -> None:
    source = write_raster(noise(90, 131))
    mapped(source, tmp_path / "torch.tif", runtime="torch")
    box(blocks=3)
    made = mapped(source, tmp_path / "onnx.tif", runtime="onnx")
    assert (made.windows, made.halo) == (3, 1)
    assert_same_maps(tmp_path / "torch.tif", tmp_path / "onnx.tif")


def test_twin_a_stream_that_loses_a_row_gives_another_map(
    box: Callable[..., None], write_raster: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_raster(noise(90, 131))
    mapped(source, tmp_path / "torch.tif", runtime="torch")
    monkeypatch.setattr(BoxRows, "push", shifted(BoxRows.push))
    mapped(source, tmp_path / "onnx.tif", runtime="onnx")
    with pytest.raises(AssertionError):
        assert_same_maps(tmp_path / "torch.tif", tmp_path / "onnx.tif")


def shifted(push: Any) -> Any:
    """Return a push that gives each strip's first row twice, and its last never."""

    def pushed(rows: BoxRows, pixels: Any) -> Any:
        return [(row, np.concatenate([part[:, :, :1], part[:, :, :-1]], axis=2)) for row, part in push(rows, pixels)]

    return pushed


@pytest.mark.parametrize("how", [{}, {"window": 32}])
def test_a_killed_run_goes_on_to_the_same_bytes_on_the_same_runtime_alone(
    how: dict[str, Any],
    box: Callable[..., None],
    write_raster: Write,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source, real = write_raster(noise(150, 131)), Outputs.commit
    (tmp_path / "once").mkdir()
    (tmp_path / "twice").mkdir()
    predict(source, tmp_path / "once" / "o.tif", model=BOX, runtime="onnx", **FP32, **how)
    steps: list[str] = []

    def killed(self: Outputs, step: str) -> None:
        if len(steps) == 3:
            raise KeyboardInterrupt
        steps.append(step)
        real(self, step)

    out = tmp_path / "twice" / "o.tif"
    with monkeypatch.context() as patch:
        patch.setattr(Outputs, "commit", killed)
        with pytest.raises(KeyboardInterrupt):
            predict(source, out, model=BOX, runtime="onnx", **FP32, **how)
    with pytest.raises(ResumeError, match="runtime"):
        predict(source, out, model=BOX, runtime="torch", resume=True, **FP32, **how)
    predict(source, out, model=BOX, resume=True, **FP32, **how)  # auto takes it too
    assert out.read_bytes() == (tmp_path / "once" / "o.tif").read_bytes()


def test_the_runtime_is_said_and_kept(box: Callable[..., None], write_raster: Write, tmp_path: Path) -> None:
    source, out = write_raster(noise(60, 70)), tmp_path / "o.tif"
    plan = one(predict(source, out, model=BOX, dry_run=True, **FP32))
    made = one(predict(source, out, model=BOX, **FP32))
    for result in (plan, made):
        assert result.runtime == "onnx"
        assert result.runtime_note == "ONNX Runtime, which computes fp32 on processors and starts sooner"
        assert "network       fp32, cpu, stream, onnx" in predict_lines(result)
        assert f"runtime       {result.runtime_note}" in predict_lines(result)
        assert result.to_json()["runtime"] == "onnx"
    assert plan.seconds > 0
    with rasterio.open(out) as raster:
        tags = raster.tags()
    assert tags["LANDSEG_RUNTIME"] == "onnx" and "--runtime onnx" in tags["LANDSEG_COMMAND"]
    again = one(predict(source, out, model=BOX, resume=True, **FP32))
    assert again.skipped and again.runtime == "onnx"
    asked = one(predict(source, out, model=BOX, runtime="onnx", overwrite=True, **FP32))
    assert asked.runtime_note is None


OTHERS: dict[str, tuple[dict[str, Any], str]] = {
    "device": ({"device": "cuda"}, "ONNX Runtime is used on processors, and the device is cuda"),
    "precision": ({"device": "cpu", "precision": "bf16"}, "ONNX Runtime is used in fp32, and the precision is bf16"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_onnx_is_refused_with_the_reason_where_it_cannot_be(
    name: str, box: Callable[..., None], write_raster: Write, tmp_path: Path
) -> None:
    how, reason = OTHERS[name]
    with pytest.raises(PlanError, match=f"--runtime onnx: {reason}; use --runtime auto or torch"):
        predict(write_raster(noise(20, 20)), tmp_path / "o.tif", model=BOX, runtime="onnx", **how)


def test_auto_takes_pytorch_with_the_reason(
    box: Callable[..., None], write_raster: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, out = write_raster(noise(40, 40)), tmp_path / "o.tif"
    made = one(predict(source, out, model=BOX, device="cpu", precision="bf16", quiet=True))
    assert (made.runtime, made.runtime_note) == ("torch", f"PyTorch, because {OTHERS['precision'][1]}")

    def refused(model: object) -> Any:
        raise PlanError("pool reads the whole image; use --runtime torch")

    monkeypatch.setattr(runtimes, "compiled_network", refused)
    made = one(predict(source, out, model=BOX, overwrite=True, **FP32))
    assert (made.runtime, made.runtime_note) == ("torch", "PyTorch, because pool reads the whole image")
    with pytest.raises(PlanError, match="--runtime onnx: pool reads the whole image; use --runtime auto or torch"):
        predict(source, out, model=BOX, overwrite=True, runtime="onnx", **FP32)
    named = one(predict(source, out, model=BOX, overwrite=True, runtime="torch", **FP32))
    assert (named.runtime, named.runtime_note) == ("torch", None)


@pytest.mark.parametrize(("bf16", "runtime"), [(True, "torch"), (False, "onnx")])
def test_auto_goes_by_the_processor(
    bf16: bool,
    runtime: str,
    box: Callable[..., None],
    write_raster: Write,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(runtimes, "may_have_bf16", lambda: bf16)
    monkeypatch.setattr("landseg.runtime.device.has_bf16", lambda: True)  # it is asked only where it may be
    source = write_raster(noise(40, 40))
    made = one(predict(source, tmp_path / "o.tif", model=BOX, dry_run=True, device="cpu", quiet=True))
    assert (made.runtime, made.precision) == (runtime, "bf16" if bf16 else "fp32")


def test_onnx_asked_for_takes_what_it_has(
    box: Callable[..., None], write_raster: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where device and precision are left open, they are the processor and fp32, whatever else there is."""
    monkeypatch.setattr(runtimes, "may_have_bf16", lambda: True)
    monkeypatch.setattr(runtimes, "may_have_gpu", lambda: True)
    source = write_raster(noise(40, 40))
    made = one(predict(source, tmp_path / "o.tif", model=BOX, runtime="onnx", dry_run=True, quiet=True))
    assert (made.runtime, made.precision, made.device, made.precision_note) == ("onnx", "fp32", "cpu", None)


def test_an_unknown_runtime_is_refused(write_raster: Write, tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="runtime 'tvm' is unknown; use auto, torch or onnx"):
        predict(write_raster(noise(20, 20)), tmp_path / "o.tif", model=BOX, runtime="tvm")


@pytest.mark.parametrize("how", [{}, {"window": 64}, {"window": 64, "tta": "d4"}])
def test_verify_proves_the_runtime(how: dict[str, Any], box: Callable[..., None], write_raster: Write) -> None:
    found = verify(write_raster(noise(300, 260)), model=BOX, runtime="onnx", size=200, device="cpu", **how)
    assert found.exact and found.runtime == "onnx" and found.engine == ("windows" if how else "stream")
    assert found.max_abs_diff < 1e-4
    assert "network       fp32, onnx; the whole image in PyTorch" in verify_lines(found)


@pytest.mark.parametrize("how", [{}, {"window": 64}])
def test_twin_verify_finds_a_wrong_compiled_network(
    how: dict[str, Any], box: Callable[..., None], write_raster: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = BoxNetwork.run
    monkeypatch.setattr(BoxRows, "push", shifted(BoxRows.push))
    monkeypatch.setattr(BoxNetwork, "run", lambda network, images: real(network, images) * np.float32(1.01))
    found = verify(write_raster(noise(300, 260)), model=BOX, runtime="onnx", size=200, device="cpu", **how)
    assert not found.exact


def test_threads_are_those_of_the_option(box: Callable[..., None], write_raster: Write, tmp_path: Path) -> None:
    asked: list[int] = []
    real = runtimes.compiled_network

    def counting(model: Any) -> Any:
        make, field = real(model)
        return lambda threads: asked.append(threads) or make(threads), field

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runtimes, "compiled_network", counting)
        predict(write_raster(noise(40, 40)), tmp_path / "o.tif", model=BOX, threads=3, runtime="onnx", **FP32)
    assert asked == [3]


def test_models_in_memory_are_told_apart_by_their_layers(write_raster: Write, tmp_path: Path) -> None:
    """A model in memory may have any network, whatever its hash says: graphs that are kept are of its own layers."""
    source = write_raster(noise(60, 70))
    torch.manual_seed(5)
    for side in (3, 5, 1):
        network = nn.Sequential(nn.Conv2d(3, 3, side, padding=side // 2)).eval()
        model = replace(BOX, network=network)
        maps = []
        for runtime in ("torch", "onnx"):
            out = tmp_path / f"{runtime}.tif"
            predict(source, out, model=model, runtime=runtime, window=48, halo=8, overwrite=True, **FP32)
            maps.append(read(out))
        assert (maps[0] != maps[1]).mean() < 1e-3


PROGRAM = textwrap.dedent("""
    import json, sys
    from typer.testing import CliRunner
    from landseg.cli.main import app

    done = CliRunner().invoke(app, sys.argv[1:])
    assert done.exit_code == 0, (done.output, done.exception)
    print(json.dumps(sorted(set(sys.modules))))
""")
HEAVY = {
    "torch", "torchvision", "timm", "segmentation_models_pytorch", "lightning", "geopandas", "pandas", "matplotlib",
    "scipy", "sklearn", "pyogrio", "PIL",
}  # fmt: skip


def imported(*arguments: str) -> set[str]:
    """Return the modules of a fresh process that has run a command."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments],
        cwd=Path(__file__).resolve().parents[2],
        env=os.environ | {"CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_the_shipped_network_starts_without_pytorch(write_raster: Write, tmp_path: Path) -> None:
    source = str(write_raster(noise(64, 64)))
    words = ["predict", source, "--precision", "fp32", "-q", "-o"]
    assert imported(*words, str(tmp_path / "a.tif"), "--runtime", "onnx") & HEAVY == set()
    assert (
        imported(*words, str(tmp_path / "b.tif"), "--tta", "d4", "--confidence", str(tmp_path / "c.tif")) & HEAVY
        == set()
    )
    assert "torch" in imported(*words, str(tmp_path / "d.tif"), "--runtime", "torch")  # the twin


def test_the_command_line_names_the_runtime(box: Callable[..., None], write_raster: Write, tmp_path: Path) -> None:
    source = str(write_raster(noise(40, 40)))
    code, _, said = command("predict", source, "-o", tmp_path / "o.tif", "--runtime", "onnx", "--device", "cuda")
    assert code == 1 and "the device is cuda" in " ".join(said.split())
