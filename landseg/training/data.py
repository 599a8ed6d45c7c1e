"""The data of a run: labelled scenes to learn from, scenes kept out to measure on, and what was counted of them."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from landseg.errors import TrainingError
from landseg.labels.left_out import LeftOut
from landseg.models.card import DataSource
from landseg.scenes.label_counts import LabelCounts, count_labels, remarks
from landseg.scenes.scene import Scene
from landseg.scenes.split import split
from landseg.scenes.views import base_scene, in_memory
from landseg.text.amounts import counted
from landseg.training.coarse.options import CoarseOptions
from landseg.training.coarse.sources import resolve_statistics
from landseg.training.coarse.statistics import JointStatistics
from landseg.training.declared_tags import alpha_warnings, with_declared_tags
from landseg.training.holdout import HoldoutScene
from landseg.training.labelled_pixels import PixelData
from landseg.training.recipe import Recipe
from landseg.training.sources import Labelled, data_sources, open_scenes

Report = Callable[[str], None]
"""Gets one line of text at a time."""


@dataclass(frozen=True)
class SceneSplit:
    """The scenes to learn from, the scenes that are kept out, and a sentence of how they were chosen."""

    train: list[Scene]
    holdout: list[Scene]
    how: str


@dataclass(frozen=True)
class TrainingData:
    """The labelled scenes of a run.

    Attributes:
        recipe: with the scale and offset of its bands as the imagery declares them.
        opened: every scene, its files, and the meaning of target values.
        split: the scenes to learn from, and those kept out.
        keep_out: the globs that name the scenes kept out; empty where the recipe's split does.
        counts: the labels of each scene to learn from.
        left_out: pixels of the scenes to learn from that teach nothing, by reason.
        statistics: of coarse labels; None where there are none.
        sources: the data sets, each with the hash of its images, for the card.
        warnings: sentences about the images.
    """

    recipe: Recipe
    opened: Labelled
    split: SceneSplit
    keep_out: tuple[str, ...]
    counts: tuple[LabelCounts, ...]
    left_out: LeftOut
    statistics: JointStatistics | None
    sources: tuple[DataSource, ...]
    warnings: tuple[str, ...]

    @classmethod
    def open(cls, recipe: Recipe, folder: Path, *, keep_out: Sequence[str], report: Report) -> TrainingData:
        """Open, split and count the scenes of a recipe; read the files of its images whole, for their hash.

        Args:
            recipe: of the run.
            folder: the folder that the names of its sources start from.
            keep_out: globs over scene names; where there are none the recipe's split holds.
            report: gets a line for each thing to know.

        Raises:
            LandsegError: scenes that cannot be read, or leave nothing to learn from.
        """
        recipe = with_declared_tags(recipe, folder, report)
        warnings = tuple(alpha_warnings(recipe, folder))
        for line in warnings:
            report(f"warning: {line}")
        sources = data_sources(recipe, folder)  # hours before the card needs them: they read every file
        opened = open_scenes(recipe, folder)
        opened = replace(opened, scenes=in_memory(opened.scenes, recipe.sampling.memory_mib))
        scenes = _by_name(opened, keep_out, report) if recipe.split is None else _by_split(opened, recipe, report)
        _check_maps(recipe, scenes.train)
        counts = tuple(count_labels(scenes.train, seed=recipe.fit.seed))
        for line in remarks(scenes.train, counts, recipe.classes.names):
            report(f"note: {line}")
        left_out = LeftOut()
        for scene in scenes.train:
            left_out.merge(scene.left_out)
        if left_out:
            report(f"note: {left_out.line()}")
        statistics = resolve_statistics(
            scenes.train,
            opened.coarse,
            opened.statistics,
            specs=recipe.sources,
            classes=recipe.classes.names,
            report=report,
        )
        return cls(recipe, opened, scenes, tuple(keep_out), counts, left_out, statistics, sources, warnings)

    @property
    def labelled_pixels(self) -> int:
        """Return the number of pixels with a label in the scenes to learn from."""
        return sum(one.known for one in self.counts)

    @property
    def coarse(self) -> tuple[JointStatistics, float] | None:
        """Return the statistics of coarse labels and the share of their loss; None where there are none."""
        options = self.recipe.coarse or CoarseOptions()
        return None if self.statistics is None else (self.statistics, options.share)

    @property
    def pixels(self) -> PixelData:
        """Return the scenes to learn from as a pixel classifier draws from them."""
        sampling = self.recipe.sampling
        return PixelData(self.split.train, self.counts, self.opened.sets, self.recipe.scaling, sampling.resolution_m)

    @cached_property
    def holdout(self) -> list[HoldoutScene]:
        """Return the scenes that were kept out, each with its image's file and bands."""
        stored = bool(self.recipe.sampling.stored_values)
        return [HoldoutScene(scene, *self._file_of(scene), stored_values=stored) for scene in self.split.holdout]

    def _file_of(self, scene: Scene) -> tuple[Path, tuple[int, ...]]:
        """Return the image of a scene, or of the scene that it is part of, and its bands."""
        opened = self.opened
        number = next(number for number, one in enumerate(opened.scenes) if one is base_scene(scene))
        return opened.items[number].image, opened.bands[number][: scene.channels]  # labels may look at more


def _check_maps(recipe: Recipe, scenes: Sequence[Scene]) -> None:
    """Raise TrainingError unless a scene to learn from has the label maps that the task learns from."""
    needed = set(recipe.make_task().label_maps)
    if needed and not any(needed <= set(scene.label_maps) for scene in scenes):
        raise TrainingError(
            f"the task {recipe.task!r} learns from objects, and no scene to learn from has any: name polygons as "
            "LABELS with --things, or rasters of ids by --ids (in a recipe, things = true or ids of a source)"
        )


def _by_split(opened: Labelled, recipe: Recipe, report: Report) -> SceneSplit:
    assert recipe.split is not None
    try:
        made = split(opened.scenes, recipe.split, classes=recipe.classes.names, items=opened.items)
    except TrainingError:
        count_labels(opened.scenes)  # labels that mean nothing are the better reason
        raise
    for note in made.notes:
        report(f"note: {note}")
    share = f"{100 * made.share:.0f} % of the labelled pixels, split by {made.by}"
    if made.polygons is not None:
        share += f": {made.polygons[1]} of {counted(sum(made.polygons), 'polygon')}"
    report(f"{counted(len(made.learned), 'scene')} to learn from, {len(made.kept)} kept out ({share})")
    return SceneSplit(made.learned, made.kept, f"{counted(len(made.kept), 'scene')} kept out of training: {share}")


def _by_name(opened: Labelled, keep_out: Sequence[str], report: Report) -> SceneSplit:
    scenes = opened.scenes
    for pattern in keep_out:
        if not any(fnmatch.fnmatch(scene.name, pattern) for scene in scenes):
            raise TrainingError(f"no scene is called like {pattern!r}; the first is {scenes[0].name!r}")
    holdout = [scene for scene in scenes if any(fnmatch.fnmatch(scene.name, pattern) for pattern in keep_out)]
    names = {scene.name for scene in holdout}
    if len(holdout) == len(scenes):
        raise TrainingError(
            f"no scene is left to learn from, {counted(len(scenes), 'scene is', 'scenes are')} "
            "kept out: keep fewer out"
        )
    report(f"{counted(len(scenes) - len(holdout), 'scene')} to learn from, {len(holdout)} kept out")
    how = f"{counted(len(holdout), 'scene')} kept out of training: {', '.join(keep_out)}"
    return SceneSplit([scene for scene in scenes if scene.name not in names], holdout, how)
