"""The work between the steps of a run. This module imports Lightning: import it when a run starts."""

from __future__ import annotations

import logging
import math
import time
from contextlib import suppress
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from landseg.errors import LandsegError
from landseg.training.loop.checkpoint import Checkpoint, fitting, save
from landseg.training.loop.curves import draw_curves
from landseg.training.loop.learner import Learner, agreed
from landseg.training.loop.progress import TrainingProgress
from landseg.training.loop.record import Record
from landseg.training.loop.run import Feedback, Run
from landseg.training.loop.schedule import rate
from landseg.training.loop.signals import Interrupt
from landseg.training.run_folder import BEST, LAST

_log = logging.getLogger(__name__)
_VALIDATIONS = 10  # over the budget, where the options name no other number
_PACE_AFTER = 6  # steps, of which the first is slower than the others
_REDRAW_S = 60  # between two drawings of the curves, which take a good part of a second


class RunCallbacks(Callback):
    """Sets the rate, averages the weights, counts time, validates, records, saves, and says when it is enough.

    Everything but the rate happens after whole steps only. One process of the run writes files.
    """

    def __init__(
        self,
        run: Run,
        interrupt: Interrupt,
        feedback: Feedback,
    ) -> None:
        self.run = run
        self._interrupt, self._validate, self._samples = interrupt, feedback.validate, feedback.samples
        self._first = run.place.rank == 0
        self._progress = TrainingProgress(run.budget.steps, done=run.done, quiet=feedback.quiet or not self._first)
        self._record: Record | None = None
        self._before_step: list[Tensor] = []  # the network's buffers, which forward passes change
        self._saved = run.state.step
        self._began = self._saved_at = self._drawn_at = 0.0
        self._first_step = (run.state.step, run.state.seconds)  # of this session: number and time when it ended
        self._pixels = 0  # of a batch, over all processes

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        run = self.run
        run.average.model.to(pl_module.device)
        if run.checkpoint is not None:
            with fitting(run.folder / LAST):
                trainer.optimizers[0].load_state_dict(dict(run.checkpoint.optimizer))
                if run.checkpoint.scaler:
                    trainer.precision_plugin.load_state_dict(dict(run.checkpoint.scaler))
        if self._first:
            self._record = Record(run.folder, run.state.step)
        self._saved_at = self._drawn_at = time.monotonic()
        self._began = self._saved_at - run.state.seconds

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        if batch_idx % self.run.options.accumulate:
            return
        self._pixels = self.run.place.world * batch.valid.numel()
        assert isinstance(pl_module, Learner)
        self._before_step = [buffer.clone() for buffer in pl_module.network.buffers()]
        pl_module.seen.clear()
        pl_module.step_number = self.run.state.step + 1
        factor = rate(self.run.done, self.run.options)
        for group in trainer.optimizers[0].param_groups:
            group["lr"] = group["peak"] * factor

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if (batch_idx + 1) % self.run.options.accumulate:
            return
        assert isinstance(pl_module, Learner)
        run, state, before = self.run, self.run.state, self.run.done
        run.average.update(pl_module.network)
        seconds, asked = agreed([time.monotonic() - self._began, float(self._interrupt.asked)], pl_module.device)
        self._interrupt.asked = bool(asked)
        state.step, state.seconds = state.step + 1, seconds
        pl_module.updating = False
        self._before_step = []
        self._show(trainer, pl_module)
        self._say_pace()
        if not self._interrupt.asked and run.done < 1 and self._is_due(before):
            self._look(trainer)
        if self._interrupt.asked or run.ended:
            trainer.should_stop = True
        elif time.monotonic() - self._saved_at > 60 * run.options.checkpoint_minutes:
            self._save(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not self._interrupt.asked and self.run.state.validated < self.run.state.step:
            self._look_last(trainer)
        self._save(trainer)
        self._close()
        if self._first:
            draw_curves(self.run.folder)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        with suppress(LandsegError):  # the first error is the one to report
            if self.run.state.step > self._saved and isinstance(pl_module, Learner) and not pl_module.updating:
                for now, before in zip(pl_module.network.buffers(), self._before_step, strict=False):
                    now.copy_(before)  # as if the step had not begun; its batches will be worked on again
                self._save(trainer)
        self._close()

    def _is_due(self, before: float) -> bool:
        every, state = self.run.options.validate_every, self.run.state
        if every is not None:
            return state.step % every == 0
        return math.floor(_VALIDATIONS * self.run.done) > math.floor(_VALIDATIONS * before)

    def _show(self, trainer: Trainer, learner: Learner) -> None:
        state = self.run.state
        row = {"step": state.step, "seconds": state.seconds, "loss": learner.step_loss}
        row["learning_rate"] = trainer.optimizers[0].param_groups[-1]["lr"]
        row["gradient_norm"] = learner.step_norm
        if self._record is not None:
            self._record.step(row)
        pixels = self._pixels * self.run.options.accumulate * state.step
        self._progress.step(
            state.step, seconds=state.seconds, done=self.run.done, loss=learner.step_loss, pixels=pixels
        )

    def _say_pace(self) -> None:
        """Print after the first steps of a session how many a budget in time will give."""
        run, (start, began) = self.run, self._first_step
        if run.state.step == start + 1:
            self._first_step = start, run.state.seconds
        if run.budget.steps is None and run.state.step == start + _PACE_AFTER:
            pace = (run.state.seconds - began) / (_PACE_AFTER - 1)
            left = max(0.0, run.budget.seconds - run.state.seconds)
            self._progress.expected(run.state.step + round(left / max(pace, 1e-6)), pace)

    def _look_last(self, trainer: Trainer) -> None:
        """Validate the finished weights; a failure is logged, and the weights stay."""
        try:
            self._look(trainer)
        except Exception as error:  # whatever it is: the weights are learned, and saved next
            if self.run.place.world > 1:  # the others wait for this process
                raise
            _log.warning("the last look at the network failed (%s: %s)", type(error).__name__, error)

    def _look(self, trainer: Trainer) -> None:
        """Validate the averaged weights, keep them where they are the best so far, and draw."""
        run, state, network = self.run, self.run.state, self.run.average.network
        if self._validate is None and self._samples is None:
            return
        state.validated = state.step
        figures: dict[str, float] = {}
        if self._first and self._validate is not None:
            with torch.no_grad():
                figures = {name: float(value) for name, value in self._validate(network.eval()).items()}
        if run.place.world > 1:
            figures = trainer.strategy.broadcast(figures)
        if self._validate is not None:
            self._judge(figures)
        if self._first:
            self._save(trainer)
            if time.monotonic() - self._drawn_at > _REDRAW_S:
                self._drawn_at = time.monotonic()
                draw_curves(run.folder)
            if self._samples is not None:
                self._samples.save(network.eval(), run.folder / "samples.png")

    def _judge(self, figures: dict[str, float]) -> None:
        run, state = self.run, self.run.state
        headline, figure = next(iter(figures.items()), ("", math.nan))
        self._progress.validated(headline, figure)
        if self._record is not None:
            self._record.validation(state.step, state.seconds, figures)
        if figure > state.best:
            state.best, state.waited = figure, 0
            if self._first:
                content = {"average": run.average.model.state_dict(), "step": state.step, "figures": figures}
                save(content, run.folder, BEST)
        else:
            state.waited += 1
        state.stopped = run.options.patience is not None and state.waited >= run.options.patience

    def _save(self, trainer: Trainer) -> None:
        run, learner = self.run, trainer.lightning_module
        assert isinstance(learner, Learner)
        self._saved, self._saved_at = run.state.step, time.monotonic()
        if not self._first:
            return
        Checkpoint(
            network=learner.network.state_dict(),
            average=run.average.model.state_dict(),
            optimizer=trainer.optimizers[0].state_dict(),
            scaler=trainer.precision_plugin.state_dict(),
            state=run.state,
            options=run.resolved,
        ).save(run.folder)

    def _close(self) -> None:
        self._progress.close()
        if self._record is not None:
            self._record.close()
            self._record = None
