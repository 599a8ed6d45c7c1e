"""The use case behind ``landseg train``: labelled scenes in, one model file with an honest card out."""

from __future__ import annotations

import fnmatch
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from landseg import __version__
from landseg.classes import IGNORE_INDEX
from landseg.errors import OutputError, TrainingError
from landseg.geo.labels import PolygonLabels, read_label_raster
from landseg.geo.source import open_source
from landseg.metrics.confusion import Confusion
from landseg.models.build import build_network
from landseg.models.bundle import save_model
from landseg.models.card import Band, Card, DataSource, Field, Metrics, Training
from landseg.tiling.receptive import receptive_field
from landseg.training.evaluate import predict_scene
from landseg.training.fit import Scaling, fit
from landseg.training.losses import LabelSets
from landseg.training.recipe import Recipe, SourceSpec, read_recipe
from landseg.training.scenes import Scene


@dataclass(frozen=True)
class Trained:
    """What a training run made: the model file and its figures on the scenes that were kept out."""

    output: Path
    scenes: int
    kept_out: int
    metrics: Metrics | None

    def to_json(self) -> dict[str, Any]:
        """Return the result as plain JSON values."""
        return {
            "output": str(self.output),
            "scenes": self.scenes,
            "kept_out": self.kept_out,
            "metrics": None if self.metrics is None else self.metrics.to_json(),
        }


def train(
    recipe_path: str | Path,
    output: str | Path,
    *,
    data: str | Path,
    keep_out: Sequence[str] = (),
    minutes: float | None = None,
    metrics_from: str | Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    report: Callable[[str], None] = print,
) -> Trained:
    """Train the recipe's network on the scenes below ``data`` and write one model file.

    Args:
        recipe_path: a TOML file; see ``landseg.training.recipe``.
        output: the model file to write (``.safetensors``); the run folder is ``<output stem>.run`` beside it.
        data: the folder that the recipe's globs start from.
        keep_out: globs over scene names; these scenes are not trained on but measured at the end.
        minutes: a time budget in place of the recipe's.
        metrics_from: a model trained by the same recipe whose kept-out figures go into the card, for weights
            trained on everything.
        resume: go on from the run folder's last checkpoint.
        overwrite: replace an existing output.
        report: gets one line of text at a time.

    Raises:
        TrainingError: nothing to learn from, or a run folder that exists.
        OutputError: the output exists.
    """
    recipe, output = read_recipe(Path(recipe_path)), Path(output)
    folder = output.with_suffix(".run")
    if output.exists() and not overwrite:
        raise OutputError(f"{output} exists; pass --overwrite to replace it or choose another name")
    if (folder / "last.pt").exists() and not (resume or overwrite):
        raise TrainingError(f"{folder} holds an earlier run; pass --resume to go on or --overwrite to start again")
    options = recipe.fit if minutes is None else type(recipe.fit)(**{**asdict(recipe.fit), "minutes": minutes})
    figures = _figures_of(metrics_from)
    scenes, sets = load_scenes(recipe, Path(data))
    kept = [s for s in scenes if any(fnmatch.fnmatch(s.name, pattern) for pattern in keep_out)]
    if keep_out and not kept:
        raise TrainingError(f"no scene is called like {', '.join(keep_out)}; the first is {scenes[0].name}")
    learned = [s for s in scenes if not any(s is k for k in kept)]
    report(f"{len(learned)} scenes to learn from, {len(kept)} kept out")
    network = build_network(
        recipe.arch,
        encoder=recipe.encoder,
        bands=len(recipe.bands),
        classes=len(recipe.classes),
        encoder_weights=recipe.encoder_weights,
        **recipe.options,
    )
    scaling = Scaling(tuple(b.mean for b in recipe.bands), tuple(b.std for b in recipe.bands))
    network = fit(
        network, learned, sets, scaling, options=options, folder=folder, resume=resume, report=report
    )
    if kept:
        confusion = Confusion(len(recipe.classes))
        for scene in kept:
            confusion.update(_single(scene.target, len(recipe.classes)), predict_scene(network, scene, scaling))
            report(f"{scene.name}: mean IoU so far {confusion.mean_iou():.3f}")
        figures = _metrics(recipe, confusion, f"{len(kept)} scenes kept out of training: {', '.join(keep_out)}")
    card = _card(recipe, network, asdict(options), Path(data), keep_out, figures)
    save_model(output, network, card, overwrite=overwrite)
    return Trained(output, len(learned), len(kept), figures)


def load_scenes(recipe: Recipe, data: Path) -> tuple[list[Scene], LabelSets]:
    """Return every scene of the recipe, in memory, and what their target values mean.

    Raises:
        TrainingError: a glob that matches nothing, or an unpaired image.
    """
    classes = len(recipe.classes)
    others: list[list[int]] = []
    scenes: list[Scene] = []
    for spec in recipe.sources:
        images = sorted(data.glob(spec.images))
        if not images:
            raise TrainingError(f"source {spec.name!r}: no file matches {spec.images} below {data}")
        polygons = PolygonLabels(data / spec.polygons) if spec.polygons else None
        index = -1
        if spec.polygon_class is not None:
            if spec.polygon_class not in recipe.classes.names:
                raise TrainingError(f"source {spec.name!r}: {spec.polygon_class!r} is not one of the classes")
            index = recipe.classes.names.index(spec.polygon_class)
            others.append([k for k in range(classes) if k != index])
        for image in images:
            scenes.append(_load(recipe, spec, image, data, polygons, index, classes + len(others) - 1))
    return scenes, LabelSets.of(classes, others)


def _load(
    recipe: Recipe,
    spec: SourceSpec,
    image: Path,
    data: Path,
    polygons: PolygonLabels | None,
    index: int,
    other: int,
) -> Scene:
    bands = spec.bands or tuple(range(1, len(recipe.bands) + 1))
    with open_source(image, bands=bands) as source:
        pixels, valid = source.read(source.grid.rect)
        grid = source.grid
    if polygons is not None:
        target = np.where(polygons.burn(grid), np.uint8(index), np.uint8(other))
    else:
        assert spec.labels is not None, "a source has labels or polygons"
        path = data / spec.labels.format(stem=image.stem)
        if not path.exists():
            raise TrainingError(f"{image} has no label raster; expected {path}")
        target = read_label_raster(path, recipe.classes, grid)
    target[~valid] = IGNORE_INDEX
    return Scene(image.stem, pixels, valid, target, spec.weight, spec.zoom)


def _single(target: np.ndarray[Any, Any], classes: int) -> np.ndarray[Any, Any]:
    """Only labels that name one class are measured against."""
    return np.where(target < classes, target, IGNORE_INDEX)


def _metrics(recipe: Recipe, confusion: Confusion, measured_on: str) -> Metrics:
    overall = {
        "mean_iou": confusion.mean_iou(),
        "pixel_accuracy": confusion.pixel_accuracy(),
        "commonest_class_accuracy": confusion.commonest_class_accuracy(),
    }
    per_class = {n: {"iou": float(v)} for n, v in zip(recipe.classes.names, confusion.iou(), strict=True)}
    return Metrics(measured_on, overall, per_class)


def _figures_of(path: str | Path | None) -> Metrics | None:
    if path is None:
        return None
    from landseg.models.bundle import read_card

    return read_card(path).metrics


def _card(
    recipe: Recipe,
    network: Any,
    options: dict[str, Any],
    data: Path,
    keep_out: Sequence[str],
    figures: Metrics | None,
) -> Card:
    sources = tuple(
        DataSource(s.name, s.licence, s.credit, _fingerprint(sorted(data.glob(s.images)))) for s in recipe.sources
    )
    return Card(
        name=recipe.name,
        description=recipe.description,
        arch=recipe.arch,
        encoder=recipe.encoder,
        options=dict(recipe.options),
        bands=tuple(Band(b.name, b.common_name, b.mean, b.std) for b in recipe.bands),
        classes=recipe.classes,
        receptive_field=Field.of(receptive_field(network)),
        parameters=sum(p.numel() for p in network.parameters()),
        licence=recipe.licence,
        trained_at_m=recipe.trained_at_m,
        training=Training(sources, {**options, "keep_out": list(keep_out)}, recipe.encoder_weights),
        metrics=figures,
        limitations=recipe.limitations,
        created_by=f"landseg {__version__}",
    )


def _fingerprint(paths: Sequence[Path]) -> str:
    """SHA-256 over the files' own digests, in order of name."""
    total = hashlib.sha256()
    for path in paths:
        total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()
