"""A run that was stopped and resumed has the weights of one that was not, to the bit."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from landseg.errors import RasterError, TrainingError
from landseg.training.loop import fit as fit_module
from landseg.training.loop.checkpoint import Checkpoint
from landseg.training.loop.learner import Learner
from tests.parts.training import Batch, Batches, Tiny, same, train

ROOT = Path(__file__).resolve().parents[3]


class Stopper:
    """Raises once, while batch ``at`` is being made."""

    def __init__(self, at: int, error: BaseException) -> None:
        self.at, self.error = at, error

    def __call__(self, number: int, batch: Batch) -> Batch:
        if number == self.at:
            self.at = -1
            raise self.error
        return batch


def stop_and_resume(folder: Path, *, at: int = 7, **options: Any) -> nn.Module:
    stopper = Stopper(at, RasterError("scene.tif: truncated"))
    with pytest.raises(RasterError, match=r"^scene.tif: truncated$"):
        train(folder, batches=Batches(spoil=stopper), **options)
    return train(folder, resume=True, **options)


@pytest.mark.parametrize("options", [{}, {"accumulate": 3, "optimizer": "sgd"}, {"workers": 1}], ids=str)
def test_stopped_by_an_error_and_resumed(tmp_path: Path, options: dict[str, Any]) -> None:
    whole = train(tmp_path / "whole", **options)
    resumed = stop_and_resume(tmp_path / "resumed", **options)
    assert same(whole, resumed)
    logs = [list(csv.reader((tmp_path / name / "log.csv").read_text().splitlines())) for name in ("whole", "resumed")]
    assert len(logs[0]) == 13
    assert [(row[0], *row[2:]) for row in logs[0]] == [(row[0], *row[2:]) for row in logs[1]]  # all but the seconds


def test_twin_a_loader_that_starts_again_gives_other_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = train(tmp_path / "whole")
    loader = fit_module.Loader

    def forgetful(batches: Any, first: int, last: int, **place: Any) -> Any:
        return loader(batches, 0, last - first, **place)

    monkeypatch.setattr(fit_module, "Loader", forgetful)
    assert not same(whole, stop_and_resume(tmp_path / "resumed"))


def test_twin_dropout_that_starts_again_gives_other_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forgotten = property(lambda learner: 0, lambda learner, value: None)
    monkeypatch.setattr(Learner, "first", forgotten, raising=False)
    whole = train(tmp_path / "whole")
    assert not same(whole, stop_and_resume(tmp_path / "resumed"))


def test_the_checkpoint_of_an_error_is_the_last_whole_step(tmp_path: Path) -> None:
    with pytest.raises(RasterError):
        train(tmp_path, batches=Batches(spoil=Stopper(7, RasterError("x"))), accumulate=2)
    checkpoint = Checkpoint.load(tmp_path)
    assert checkpoint is not None and checkpoint.state.step == 3  # batch 7 is the second half of the fourth
    assert not list(tmp_path.glob("*.part"))
    assert same(train(tmp_path / "whole", accumulate=2), train(tmp_path, accumulate=2, resume=True))


def test_a_finished_run_is_not_gone_on_with(tmp_path: Path) -> None:
    whole = train(tmp_path)
    before = (tmp_path / "last.pt").read_bytes()
    assert same(whole, train(tmp_path, resume=True, batches=Batches(spoil=Stopper(0, RasterError("read")))))
    assert (tmp_path / "last.pt").read_bytes() == before
    longer = train(tmp_path, resume=True, steps=14)
    assert not same(whole, longer)


def test_a_new_run_forgets_the_old_one(tmp_path: Path) -> None:
    train(tmp_path, validate=lambda network: {"mean_iou": 0.5})
    with pytest.raises(RasterError):
        train(tmp_path, batches=Batches(spoil=Stopper(0, RasterError("x"))))
    assert not (tmp_path / "last.pt").exists() and not (tmp_path / "best.pt").exists()


@pytest.mark.parametrize("content", [b"no zip", b"", None], ids=["foreign", "empty", "other network"])
def test_a_checkpoint_that_does_not_fit_gets_a_sentence(tmp_path: Path, content: bytes | None) -> None:
    network = None
    if content is None:
        train(tmp_path)
        network = nn.Sequential(nn.Conv2d(3, 2, 1))
    else:
        (tmp_path / "last.pt").write_bytes(content)
    before = (tmp_path / "last.pt").read_bytes()
    with pytest.raises(
        TrainingError, match=r"last.pt does not fit this run .*; resume with the same options"
    ) as told:
        train(tmp_path, network=network, resume=True)
    assert len(str(told.value)) < 500 and (tmp_path / "last.pt").read_bytes() == before


def test_a_checkpoint_runs_no_code(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "ran",))

    torch.save({"network": Trap()}, tmp_path / "last.pt")
    with pytest.raises(TrainingError, match="does not fit"):
        train(tmp_path, resume=True)
    assert not (tmp_path / "ran").exists()


def test_other_options_are_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("landseg.training.loop.fit.FEW_STEPS", 0)
    train(tmp_path)
    caplog.clear()
    train(tmp_path, resume=True, steps=13, workers=1)
    assert not caplog.records
    train(tmp_path, resume=True, steps=14, learning_rate=1e-3)
    assert "resumed with learning_rate 0.001 in place of 0.01" in caplog.text


@pytest.fixture
def hears_ctrl_c() -> Iterator[None]:
    """A shell starts what runs in the background deaf to Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize(
    ("number", "times", "steps"),
    [(signal.SIGINT, 1, 7), (signal.SIGINT, 2, 6), (signal.SIGTERM, 1, 7)],
    ids=["Ctrl-C", "Ctrl-C twice", "SIGTERM"],
)
@pytest.mark.usefixtures("hears_ctrl_c")
def test_a_signal_keeps_what_is_learned(tmp_path: Path, number: signal.Signals, times: int, steps: int) -> None:
    whole = train(tmp_path / "whole")

    def interrupt(at: int, batch: Batch) -> Batch:
        for _ in range(times if at == 6 else 0):
            os.kill(os.getpid(), number)
        return batch

    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "resumed", batches=Batches(spoil=interrupt))
    assert signal.getsignal(number) is before
    checkpoint = Checkpoint.load(tmp_path / "resumed")
    assert checkpoint is not None and checkpoint.state.step == steps
    assert same(whole, train(tmp_path / "resumed", resume=True))


def program(folder: Path, *arguments: str, launcher: tuple[str, ...] = (), **environment: str) -> int:
    """The exit status of a training in a process of its own; other failures than a kill are shown."""
    folder.mkdir(exist_ok=True)
    paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, *launcher, "-m", "tests.parts.training", str(folder), *arguments]
    environment = {**os.environ, "PYTHONPATH": paths, **environment}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode <= 0, done.stderr
    return done.returncode


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["0", "1"])
def test_killed_and_resumed(tmp_path: Path, workers: str) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert program(whole, WORKERS=workers) == 0
    for step in ("5", "9"):
        assert program(killed, step, WORKERS=workers) == -signal.SIGKILL
        checkpoint = Checkpoint.load(killed)
        assert checkpoint is not None and 0 < checkpoint.state.step <= int(step)
    assert program(killed, WORKERS=workers) == 0
    first, second = (torch.load(folder / "made-0.pt", weights_only=True) for folder in (whole, killed))
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.slow
def test_two_processes_learn_what_one_learns(tmp_path: Path) -> None:
    """Without batch norm and dropout, whose statistics and dice are each process's own."""
    one, two = tmp_path / "one", tmp_path / "two"
    assert program(one, DROPOUT="0") == 0
    torchrun = ("-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone")
    assert program(two, launcher=torchrun, DROPOUT="0") == 0
    single, first, second = (
        torch.load(path, weights_only=True) for path in (one / "made-0.pt", two / "made-0.pt", two / "made-1.pt")
    )
    start = Tiny(norm=False).state_dict()
    for name in single:
        assert torch.equal(first[name], second[name])
        torch.testing.assert_close(first[name], single[name], rtol=1e-4, atol=1e-5)
        assert not torch.allclose(single[name], start[name], atol=1e-3)


def test_another_processor_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("landseg.training.loop.process.choose_precision", lambda name, device: "fp32")
    train(tmp_path, precision="auto")
    train(tmp_path, resume=True, steps=13, precision="auto")
    assert "resumed with" not in caplog.text
    monkeypatch.setattr("landseg.training.loop.process.choose_precision", lambda name, device: "bf16")
    train(tmp_path, resume=True, steps=14, precision="auto")
    assert "resumed with precision bf16 in place of fp32" in caplog.text
