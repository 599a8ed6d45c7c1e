"""The options of a task that are chosen once a network has learned, on scenes that it learned from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from torch import nn

from landseg.dense.task import Example
from landseg.models.card import Card
from landseg.runtime.device import choose_device
from landseg.training.data import TrainingData
from landseg.training.loop.validation import label_arrays, output_of, windows


def with_chosen_options(card: Card, network: nn.Module, data: TrainingData, report: Callable[[str], None]) -> Card:
    """Return the card with options that the task chooses for a network, but for those that the recipe fixes.

    They are chosen on windows of scenes that were learned from: what was kept out stays unseen.

    Args:
        card: of the network.
        network: in whatever mode; is put into eval mode and comes back on the CPU.
        data: of the run.
        report: gets a line of what was chosen.
    """
    recipe, task = data.recipe, data.recipe.make_task()
    resolution_m = recipe.sampling.resolution_m

    def examples() -> Iterator[Example]:
        network.eval().to(choose_device("auto"))
        for scene, crop in windows(data.split.train, resolution_m):
            if not set(task.label_maps) <= crop.labels.keys():
                continue
            inputs = recipe.scaling.apply(crop.pixels[None].float(), crop.valid[None])
            own = resolution_m if resolution_m and scene.resolution_m else scene.resolution_m
            area = None if own is None else own**2
            yield Example(output_of(network, inputs), crop.valid.numpy(), label_arrays(crop), area)

    chosen, line = task.choose_options(recipe.task_options, examples)
    network.cpu()
    if line:
        report(line)
    return replace(card, task_options={**card.task_options, **chosen})
