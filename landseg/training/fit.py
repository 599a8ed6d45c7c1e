"""The training loop: crops in, weights out, within a budget of time."""

from __future__ import annotations

import csv
import itertools
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from landseg.errors import TrainingError
from landseg.training.batches import Batches
from landseg.training.losses import LabelSets, partial_cross_entropy
from landseg.training.sampler import CropSampler, SamplingOptions
from landseg.training.scene import Scene


@dataclass(frozen=True)
class FitOptions:
    """How to train; a run is a function of these, the scenes and the machine's speed.

    Attributes:
        minutes: The time budget; the learning rate falls to 0 over it.
        steps: A budget in steps in place of the time: the same run on a machine of any speed.
        crop: Side of a training crop, in pixels.
        batch: Crops a step.
        learning_rate: AdamW's, for the head; the encoder takes ``encoder_rate`` times as much.
        weight_decay: AdamW's.
        warmup: Share of the budget over which the rate rises from 0.
        power: Of the poly schedule, ``(1 - share done) ** power`` (DeepLab).
        ema: Decay a step of the moving average of the weights, which is what is kept.
        seed: Of crops, augmentation and initial weights.
    """

    minutes: float = 40.0
    steps: int | None = None
    crop: int = 384
    batch: int = 8
    learning_rate: float = 1e-3
    encoder_rate: float = 0.4
    weight_decay: float = 0.02
    warmup: float = 0.03
    power: float = 0.9
    ema: float = 0.98
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("minutes", "steps", "crop", "batch", "learning_rate"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise TrainingError(f"{name} must be above 0, got {value}")


@dataclass(frozen=True)
class Scaling:
    """The network sees ``(raw - mean) / std`` by band, and 0 where there is no data."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def apply(self, pixels: Tensor, valid: Tensor) -> Tensor:
        """Scale (N, C, H, W) raw pixels; ``valid`` is (N, H, W)."""
        shape = (1, -1, 1, 1)
        scaled = (pixels - torch.tensor(self.mean).view(shape)) / torch.tensor(self.std).view(shape)
        return torch.where(valid[:, None], scaled, 0.0)


@dataclass
class Progress:
    """Where a run stands; what a checkpoint holds besides the weights."""

    step: int = 0
    seconds: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)

    def done(self, options: FitOptions) -> float:
        """The share of the budget that is used."""
        if options.steps is not None:
            return self.step / options.steps
        return self.seconds / (60 * options.minutes)


def fit(
    network: nn.Module,
    scenes: Sequence[Scene],
    sets: LabelSets,
    scaling: Scaling,
    *,
    options: FitOptions,
    folder: Path,
    resume: bool = False,
    report: Callable[[str], None] = print,
) -> nn.Module:
    """Train ``network`` in place and return the moving average of its weights, in eval mode.

    ``folder`` gets ``log.csv`` and, every five minutes, ``last.pt`` to resume from; the checkpoint holds tensors
    and numbers only. A resumed run goes on where the checkpoint was, with the crops that would have come next.

    Raises:
        TrainingError: when the loss is no number (the last checkpoint stays), or there is nothing to resume.
    """
    torch.manual_seed(options.seed)
    network.train().to(memory_format=torch.channels_last)
    average_fn = get_ema_multi_avg_fn(options.ema)  # type: ignore[no-untyped-call]
    average = AveragedModel(network, multi_avg_fn=average_fn, use_buffers=True)
    optimizer = torch.optim.AdamW(_parameter_groups(network, options), weight_decay=options.weight_decay)
    progress = _load(folder, network, average, optimizer) if resume else Progress()
    before, begin, saved = progress.seconds, time.monotonic(), time.monotonic()
    sampling = SamplingOptions(crop=options.crop, batch=options.batch)
    sampler = CropSampler(scenes, sampling, seed=options.seed, sets=sets)
    with _batches(sampler, progress.step) as batches:
        for pixels, valid, target in batches:
            done = progress.done(options)
            if done >= 1:
                break
            _set_rate(optimizer, options, done)
            loss = _step(network, optimizer, scaling.apply(pixels, valid), target, sets)
            if not np.isfinite(loss):
                raise TrainingError(
                    f"the loss became {loss} at step {progress.step + 1}; the last checkpoint is kept in {folder}: "
                    "lower the learning rate and go on with --resume"
                )
            average.update_parameters(network)
            progress.step += 1
            progress.seconds = before + time.monotonic() - begin
            progress.history.append({"step": progress.step, "seconds": progress.seconds, "loss": loss})
            if progress.step % 20 == 0:
                report(_line(progress, options))
            if time.monotonic() - saved > 300:
                _save(folder, network, average, optimizer, progress)
                saved = time.monotonic()
    _save(folder, network, average, optimizer, progress)
    trained: nn.Module = average.module
    return trained.eval()


def _parameter_groups(network: nn.Module, options: FitOptions) -> list[dict[str, Any]]:
    """Two groups: the (pretrained) encoder learns more slowly than the head."""
    inside = {id(p) for p in network.get_submodule("encoder").parameters()}
    rates = (options.learning_rate * options.encoder_rate, options.learning_rate)
    groups: tuple[list[nn.Parameter], list[nn.Parameter]] = ([], [])
    for parameter in network.parameters():
        groups[id(parameter) not in inside].append(parameter)
    return [{"params": g, "lr": r, "peak": r} for g, r in zip(groups, rates, strict=True)]


def _set_rate(optimizer: torch.optim.Optimizer, options: FitOptions, done: float) -> None:
    """Linear warm-up, then the poly schedule, over the share of the budget that is used."""
    factor = min(1.0, (done + 1e-4) / options.warmup) * (1 - done) ** options.power
    for group in optimizer.param_groups:
        group["lr"] = group["peak"] * factor


def _step(
    network: nn.Module, optimizer: torch.optim.Optimizer, inputs: Tensor, target: Tensor, sets: LabelSets
) -> float:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = network(inputs.contiguous(memory_format=torch.channels_last))
    loss = partial_cross_entropy(logits, target, sets)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(network.parameters(), 5.0)
    optimizer.step()
    return float(loss.detach())


@contextmanager
def _batches(sampler: CropSampler, step: int) -> Iterator[Iterator[tuple[Tensor, Tensor, Tensor]]]:
    """Batches (pixels, valid, target) made one ahead by a thread; its exceptions come out here."""
    ready: queue.Queue[tuple[Tensor, Tensor, Tensor] | BaseException] = queue.Queue(maxsize=2)
    stop = threading.Event()
    batches = Batches(sampler, steps=1 << 40)

    def produce() -> None:
        try:
            for number in itertools.count(step):
                batch = batches[number]
                _put(ready, (batch.pixels, batch.valid, batch.target), stop)
                if stop.is_set():
                    break
        except BaseException as error:
            _put(ready, error, stop)

    def consume() -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        while True:
            item = ready.get()
            if isinstance(item, BaseException):
                raise item
            yield item

    thread = threading.Thread(target=produce, daemon=True, name="crops")
    thread.start()
    try:
        yield consume()
    finally:
        stop.set()
        thread.join()


def _put(ready: queue.Queue[Any], item: Any, stop: threading.Event) -> None:
    while not stop.is_set():
        try:
            return ready.put(item, timeout=0.2)
        except queue.Full:
            continue


def _save(
    folder: Path, network: nn.Module, average: nn.Module, optimizer: torch.optim.Optimizer, progress: Progress
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    state = {
        "network": network.state_dict(),
        "average": average.state_dict(),
        "optimizer": optimizer.state_dict(),
        "progress": asdict(progress),
    }
    torch.save(state, folder / "last.pt.part")
    (folder / "last.pt.part").replace(folder / "last.pt")
    with (folder / "log.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["step", "seconds", "loss"])
        writer.writeheader()
        writer.writerows(progress.history)


def _load(folder: Path, network: nn.Module, average: nn.Module, optimizer: torch.optim.Optimizer) -> Progress:
    path = folder / "last.pt"
    if not path.exists():
        return Progress()
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        network.load_state_dict(state["network"])
        average.load_state_dict(state["average"])
        optimizer.load_state_dict(state["optimizer"])
        return Progress(**state["progress"])
    except Exception as error:
        raise TrainingError(
            f"{path} does not fit this run ({error}); resume with the same options or start afresh"
        ) from error


def _line(progress: Progress, options: FitOptions) -> str:
    recent = [h["loss"] for h in progress.history[-20:]]
    done = progress.done(options)
    left = max(0.0, progress.seconds * (1 - done) / done)
    speed = progress.step * options.batch * options.crop**2 / 1e6 / max(progress.seconds, 1e-9)
    return (
        f"step {progress.step}  loss {np.mean(recent):.3f}  {speed:.2f} Mpx/s  "
        f"{int(left // 60)}:{int(left % 60):02d} left"
    )
