"""The training loop: batches in, weights out, within a budget of steps or time."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from landseg.errors import TrainingError
from landseg.runtime.device import set_threads
from landseg.runtime.disk import disk_errors, work_kept
from landseg.runtime.memory import keep_freed_memory
from landseg.runtime.progress import duration
from landseg.training.fit_options import FitOptions
from landseg.training.loop.checkpoint import Checkpoint, RunState, fitting
from landseg.training.loop.depthwise import quick_depthwise
from landseg.training.loop.loader import Loader
from landseg.training.loop.process import Place
from landseg.training.loop.run import Feedback, Lesson, Run
from landseg.training.loop.schedule import Average, Budget
from landseg.training.loop.signals import Interrupt, silence
from landseg.training.run_folder import BEST, LAST, clear

if TYPE_CHECKING:
    from lightning.pytorch import Callback, Trainer

_log = logging.getLogger(__name__)
FEW_STEPS = 100  # below this a network that starts from an ImageNet encoder has hardly begun
_HARMLESS = {"minutes", "steps", "epochs", "checkpoint_minutes", "workers", "keep", "patience"}


@work_kept()
def fit(
    network: nn.Module,
    lesson: Lesson,
    *,
    options: FitOptions,
    folder: Path,
    feedback: Feedback | None = None,
    resume: bool = False,
) -> nn.Module:
    """Train ``network`` in place and return the moving average of its weights, in eval mode on the CPU.

    Batch ``n`` is ``lesson.batches[n]``; step ``s`` takes the ``accumulate`` batches from ``s * accumulate`` on, and
    dropout is a function of the seed and the batch. So a run with a budget in steps that was killed and resumed has,
    on the same machine, the weights of a run that was not, to the bit. With a budget in time the rate follows the
    clock, and no two runs are equal; the seconds that were used are in the checkpoint.

    ``folder`` gets ``log.csv``, ``validation.csv``, ``tensorboard/``, ``curves.png``, ``samples.png``, ``best.pt``
    and ``last.pt`` to resume from. Files with weights hold tensors, numbers and text only, and are read as such.

    Where torchrun started several processes each works on a part of every batch; the loss is averaged over the
    processes, so one that divides by the number of labelled pixels weighs parts with few of them as high as others.

    Args:
        network: with an ``encoder``, which learns at a rate of its own.
        lesson: batches, their scaling, and the loss.
        options: of the run.
        folder: is made; its parent exists.
        feedback: figures, pictures and progress; None: progress alone.
        resume: go on from ``last.pt``, where it exists.

    Raises:
        TrainingError: a loss or a gradient that is no number (the step before it is kept), a checkpoint of another
            run, fewer batches than steps, or a network that has no units to take the loss at.
        OutputError: the run folder cannot be written.
        KeyboardInterrupt: stopped by SIGINT or SIGTERM, after a whole step; ``resume=True`` continues.
    """
    set_threads(None)
    run = _opened(network, options, folder, resume=resume)
    if not run.ended:
        first = run.state.step * options.accumulate
        count = len(lesson.batches)
        last = count if run.budget.steps is None else run.budget.steps * options.accumulate
        if last > count:
            raise TrainingError(f"expected {last} batches or more, got {count}; take fewer steps")
        place = run.place
        loader = Loader(lesson.batches, first, last, place=(place.rank, place.world), workers=place.workers(options))
        _learn(run, network, lesson, loader, feedback or Feedback())
        _warn_of_few_steps(run)
    if options.keep == "best" and (folder / BEST).exists():
        with fitting(folder / BEST):
            best = torch.load(folder / BEST, map_location="cpu", weights_only=True)
            run.average.model.cpu().load_state_dict(best["average"])
    return run.average.network.cpu()


def _opened(network: nn.Module, options: FitOptions, folder: Path, *, resume: bool) -> Run:
    """Return a new run in an empty folder, or the run that ``last.pt`` holds."""
    budget, place = Budget.of(options), Place.of(options)
    network.train().to(memory_format=torch.channels_last)
    average = Average(network, options.ema)
    with disk_errors(folder):
        folder.mkdir(exist_ok=True, parents=True)
    checkpoint = Checkpoint.load(folder) if resume else None
    if checkpoint is None:
        if place.rank == 0:
            clear(folder)
        return Run(options, budget, place, folder, RunState(), average, None)
    with fitting(folder / LAST):
        network.load_state_dict(checkpoint.network)
        average.model.load_state_dict(checkpoint.average)
    run = Run(options, budget, place, folder, checkpoint.state, average, checkpoint)
    _say_changes(checkpoint.options, run.resolved)
    return run


def _say_changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Warn of options other than before: a run may go on with them, and is another than the undisturbed one."""
    for name in sorted(set(before) & set(now) - _HARMLESS):
        if before[name] not in (now[name], "auto"):  # checkpoints kept the word, not what it had stood for
            _log.warning("resumed with %s %s in place of %s", name, now[name], before[name])


def _warn_of_few_steps(run: Run) -> None:
    """Log a warning where a run made so few steps that its model has hardly learned."""
    steps = run.state.step
    if steps < FEW_STEPS:
        pace = "" if run.budget.steps is not None else f" in {duration(run.state.seconds)} on this machine"
        _log.warning(
            "%d step%s%s %s few, the model has hardly learned: give it %d or more (--steps, a longer --time-budget)",
            steps,
            "" if steps == 1 else "s",
            pace,
            "is" if steps == 1 else "are",
            FEW_STEPS,
        )


def _learn(run: Run, network: nn.Module, lesson: Lesson, loader: Loader, feedback: Feedback) -> None:
    """Make all steps that are left."""
    with silence(), Interrupt() as interrupt, torch.random.fork_rng(devices=[]):
        from landseg.training.loop.callbacks import RunCallbacks
        from landseg.training.loop.learner import Learner, NoNumber

        callbacks = RunCallbacks(run, interrupt, feedback)
        learner = Learner(network, lesson, options=run.options, first=run.state.step * run.options.accumulate)
        learner.train()
        try:
            with _at_its_best(network, run.place):
                _trainer(run, callbacks).fit(learner, train_dataloaders=loader)
        except NoNumber as error:
            raise TrainingError(f"{error}: {_way_out(run.folder)}") from error
        except SystemExit as error:  # Lightning's translation of Ctrl-C and of SIGTERM, with exit status 1 and 0
            raise KeyboardInterrupt from error
        if interrupt.asked:
            raise KeyboardInterrupt


@contextmanager
def _at_its_best(network: nn.Module, place: Place) -> Iterator[None]:
    """Learn faster on a CPU while the context is open; results stay as they are."""
    if place.accelerator != "cpu":
        yield
        return
    keep_freed_memory()  # a step needs the same memory again and again
    with quick_depthwise(network):
        yield


def _way_out(folder: Path) -> str:
    advice = "look at imagery and labels there, or lower the learning rate, and"
    if (folder / LAST).exists():
        return f"the step before is kept in {folder}; {advice} go on with --resume"
    return f"there is no checkpoint yet; {advice} start again with --overwrite"


def _trainer(run: Run, callbacks: Callback) -> Trainer:
    from lightning.fabric.plugins.environments.lightning import LightningEnvironment
    from lightning.pytorch import Trainer

    place = run.place
    if place.accelerator == "cuda" and place.world == 1 and torch.cuda.device_count() > 1:
        _log.info("one of %d GPUs is used; torchrun uses all of them", torch.cuda.device_count())
    return Trainer(
        accelerator=place.accelerator,
        devices=place.local,
        num_nodes=place.nodes,
        strategy="ddp" if place.world > 1 else "auto",
        precision=place.lightning_precision,  # type: ignore[arg-type]
        plugins=[LightningEnvironment()] if place.world == 1 else None,  # no guesses from a cluster's variables
        sync_batchnorm=place.world > 1 and place.accelerator == "cuda",
        accumulate_grad_batches=run.options.accumulate,
        callbacks=[callbacks],
        default_root_dir=run.folder,
        max_epochs=1,  # the whole run: what is left of it is one pass over the loader
        limit_val_batches=0,
        num_sanity_val_steps=0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )
