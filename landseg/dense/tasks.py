"""The table of tasks: the one place where a task is plugged in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from landseg.classes import ClassMap
from landseg.dense.detections import DetectionTask
from landseg.dense.instances import Instances
from landseg.dense.panoptic import PanopticTask
from landseg.dense.points import PointTask
from landseg.dense.semantic import Semantic
from landseg.dense.task import Task
from landseg.errors import ModelError
from landseg.models.card import Card

TASKS: dict[str, type[Task]] = {
    "semantic": Semantic,
    "instances": Instances,
    "detections": DetectionTask,
    "panoptic": PanopticTask,
    "points": PointTask,
}


def task_class(name: str) -> type[Task]:
    """Return the class of a task, whose facts hold for all class tables and options.

    Raises:
        ModelError: a name that is not in the table.
    """
    if name not in TASKS:
        raise ModelError(f"this landseg has no task {name!r}, it has {', '.join(TASKS)}: upgrade landseg")
    return TASKS[name]


def make_task(name: str, classes: ClassMap, options: Mapping[str, Any]) -> Task:
    """Return a task for a class table, with options of its own.

    Raises:
        ModelError: a name that is not in the table, or options that the task refuses.
    """
    return task_class(name)(classes, options)


def task_of(card: Card) -> Task:
    """Return the task of a model.

    Raises:
        ModelError: a task that this landseg does not have, or channels that are not those of the task.
    """
    task = make_task(card.task, card.classes, card.task_options)
    if card.heads and card.heads != task.heads:
        raise ModelError(
            f"model {card.name} has the channels {card.heads}, the task {card.task!r} needs {task.heads}: train the "
            "model anew"
        )
    return task
