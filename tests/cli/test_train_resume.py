"""A training command that is killed and told to go on makes the model file of one that was not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from landseg.models.file import load_model
from tests.parts.labelled import NETWORK, write_scenes

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = "from landseg.cli.main import main; main()"
STEPS = 30
FIT = (
    *(
        "--steps",
        STEPS,
        "--crop",
        32,
        "--batch",
        2,
        "--set",
        "fit.precision=fp32",
        "--set",
        "fit.validate_every=1000",
    ),
    *("--set", "fit.checkpoint_minutes=0.000001"),
)


def start(data: Path, folder: str, *arguments: object) -> subprocess.Popen[str]:
    output = data / folder / "m.safetensors"
    output.parent.mkdir(exist_ok=True)
    command = ["train", data / "images", data / "labels", "--classes", data / "classes.toml", "-o", output]
    paths = os.pathsep.join([*filter(None, [os.environ.get("PYTHONPATH")]), str(ROOT)])
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *map(str, (*command, *NETWORK, *FIT, *arguments))],
        env={**os.environ, "PYTHONPATH": paths}, cwd=data, text=True, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def finish(process: subprocess.Popen[str]) -> str:
    said, _ = process.communicate(timeout=240)
    assert process.returncode == 0, said
    return said


def kill_in_the_middle(process: subprocess.Popen[str], log: Path) -> int:
    """Steps that were logged before SIGKILL, with every process that it started."""
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline and process.poll() is None:
        if log.exists() and len(log.read_text().splitlines()) > 5:
            break
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL, said
    return len(log.read_text().splitlines()) - 1


def same(one: Path, other: Path) -> bool:
    first, second = (load_model(path).network.state_dict() for path in (one, other))
    return all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 1])
def test_killed_and_resumed_is_the_undisturbed_run(tmp_path: Path, workers: int) -> None:
    write_scenes(tmp_path)
    chosen = ("--set", f"fit.workers={workers}")
    whole, killed = (tmp_path / name / "m.safetensors" for name in ("whole", "killed"))
    finish(start(tmp_path, "whole", *chosen))
    done = kill_in_the_middle(start(tmp_path, "killed", *chosen), tmp_path / "killed/m.run/log.csv")
    assert 5 <= done < STEPS and not killed.exists()
    assert not list((tmp_path / "killed").glob("*.safetensors*"))
    step = torch.load(tmp_path / "killed/m.run/last.pt", weights_only=True)["state"]["step"]
    assert 0 < step < STEPS
    finish(start(tmp_path, "killed", *chosen, "--resume"))
    assert same(whole, killed) and whole.read_bytes() == killed.read_bytes()
    logs = [(tmp_path / name / "m.run/log.csv").read_text().splitlines() for name in ("whole", "killed")]
    without_seconds = [[(line.split(",")[0], *line.split(",")[2:]) for line in log] for log in logs]
    assert without_seconds[0] == without_seconds[1] and len(logs[0]) == STEPS + 1
    recipes = [(tmp_path / name / "m.run/train.toml").read_bytes() for name in ("whole", "killed")]
    assert recipes[0] == recipes[1]


@pytest.mark.slow
def test_twin_a_run_that_goes_on_with_other_dice_is_another(tmp_path: Path) -> None:
    write_scenes(tmp_path)
    chosen = ("--set", "fit.workers=0")
    finish(start(tmp_path, "whole", *chosen))
    kill_in_the_middle(start(tmp_path, "killed", *chosen), tmp_path / "killed/m.run/log.csv")
    said = finish(start(tmp_path, "killed", *chosen, "--resume", "--seed", 1))
    assert "resumed with seed 1 in place of 0" in said
    assert not same(tmp_path / "whole/m.safetensors", tmp_path / "killed/m.safetensors")
