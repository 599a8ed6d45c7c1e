"""The entries that a user names on the command line, laid over those of a recipe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from landseg.errors import TrainingError
from landseg.models.networks.catalogue import ARCHITECTURES, detector_task, is_fitted
from landseg.text.strict import shown
from landseg.training.network_choice import NetworkChoice, read_value
from landseg.training.recipe import MODEL, OF_BOXES, POINT_MODEL, RANDOM, Recipe, read_table, recipe_of
from landseg.training.recipe_from_files import DataFiles, fill_recipe

_BUDGETS = ("minutes", "steps", "epochs")
_OF_STEPS: dict[str, dict[str, str]] = {
    "model": {
        "encoder": "--encoder", "encoder_weights": "--encoder-weights",
        "init": "--init", "map_classes": "--map-classes",
    },
    "fit": {
        "minutes": "--time-budget", "epochs": "--epochs", "steps": "--steps", "learning_rate": "--learning-rate",
    },
    "sampling": {"crop": "--crop", "batch": "--batch", "scale": "--scale"},
    "coarse": {"table": "--coarse-table", "share": "--coarse-share"},
}  # fmt: skip
"""The options that only a network that learns in steps takes, by section and key."""
_SECTIONS_OF_STEPS = ("fit", "augment", "loss", "coarse")
_OF_EVERY_FIT = ("seed",)
_OF_INIT = ("init", "map_classes")


@dataclass(frozen=True)
class Overrides:
    """Entries by section; None stands for an option that is not given.

    Attributes:
        model: arch, encoder, encoder_weights, init and map_classes.
        options: of the architecture.
        fit, sampling, split, coarse: of these sections.
        more: texts SECTION.KEY=VALUE for any section.
    """

    model: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    fit: Mapping[str, Any] = field(default_factory=dict)
    sampling: Mapping[str, Any] = field(default_factory=dict)
    split: Mapping[str, Any] = field(default_factory=dict)
    coarse: Mapping[str, Any] = field(default_factory=dict)
    more: tuple[str, ...] = ()

    def recipe(self, data: DataFiles, config: Path | None, *, name: str) -> Recipe:
        """Return the recipe of images and labels, or of the recipe file that stands in their place.

        Args:
            data: as named; a single TOML file is a recipe.
            config: sections for images and labels.
            name: of the model.

        Raises:
            TrainingError: entries that do not exist or do not go together.
            ModelError: a network that does not exist.
        """
        first = Path(data.images[0])
        if first.suffix.lower() == ".toml":
            if config is not None:
                raise TrainingError(f"{first} is a recipe already: leave out --config")
            if beside := [*data.images[1:], *(data.labels or ()), *data.said()]:
                raise TrainingError(
                    f"{first} is a recipe, which says what the data are: leave out {', '.join(beside)}"
                )
            table, folder, where = read_table(first), first.parent, f"recipe {first}"
            table = _with_coarse(table, data.coarse)
        else:
            given = {} if config is None else read_table(config)
            given.setdefault("model", MODEL if data.task is None else POINT_MODEL)
            sampling = _section(self.over(given), "sampling")
            skip, stored = (sampling.get(key) is True for key in ("skip_corrupt", "stored_values"))
            table = fill_recipe(
                given,
                data,
                name=name,
                skip=skip,
                stored_values=stored,
                resolution_m=sampling.get("resolution_m"),
            )
            folder, where = Path(), str(config or "the recipe")
        self._refuse_steps(table, data)
        full = self.over(table)
        if self.coarse.get("table") is not None:  # it lies where the user is, whatever folder holds the data
            full["coarse"]["table"] = str(Path(self.coarse["table"]).absolute())
        recipe = recipe_of(full, folder, where=where)
        arch = self.model.get("arch")
        if data.task is not None and arch is not None and detector_task(arch) != data.task:
            raise TrainingError(f"{arch} is no network for the task {data.task!r}: leave out --arch, or --task")
        said = {key: value for key, value in self.model.items() if value is not None and key not in _OF_INIT}
        recipe = NetworkChoice(**said, options=self.options).in_place_of(recipe)
        if data.border_m is not None and recipe.task in OF_BOXES:
            raise TrainingError(f"{recipe.arch} learns boxes and masks, and no boundaries: leave out --border")
        return _split_for(recipe)

    def _refuse_steps(self, table: Mapping[str, Any], data: DataFiles) -> None:
        """Refuse options of training in steps for a network that does not learn in steps."""
        arch = self.model.get("arch") or _section(table, "model", MODEL).get("arch")
        if not (isinstance(arch, str) and is_fitted(arch)):
            return
        strays = [
            option
            for section, options in _OF_STEPS.items()
            for key, option in options.items()
            if getattr(self, section).get(key) is not None
        ]
        strays += ["--coarse"] if data.coarse else []
        for text in self.more:
            section, _, key = text.partition("=")[0].strip().partition(".")
            if key in _OF_STEPS.get(section, {}) or (section in _SECTIONS_OF_STEPS and key not in _OF_EVERY_FIT):
                strays.append(f"--set {section}.{key}")
        if strays:
            raise TrainingError(
                f"{arch} is fitted at once, on the labelled pixels as they are, and does not learn in steps: leave "
                f"out {', '.join(strays)}; it takes --seed and --option ({', '.join(ARCHITECTURES[arch].options)})"
            )

    def over(self, table: Mapping[str, Any]) -> dict[str, Any]:
        """Return the tables with these settings in place of theirs.

        Raises:
            TrainingError: a text of another form.
        """
        full = {**table}
        fit = _said(self.fit)
        if any(name in fit for name in _BUDGETS):  # one budget in place of another
            full["fit"] = {key: value for key, value in _section(full, "fit").items() if key not in _BUDGETS}
        split = _said(self.split)
        if split.get("by") == RANDOM:
            full.pop("split", None)
            split = {}
        others = {"sampling": _said(self.sampling), "coarse": _said(self.coarse)}
        for name, said in {"fit": fit, "split": split, **others}.items():
            if said:
                full[name] = {**_section(full, name), **said}
        if begin := {key: self.model[key] for key in _OF_INIT if self.model.get(key) is not None}:
            full["model"] = {**_section(full, "model", MODEL), **begin}
        for text in self.more:
            place, equals, value = text.partition("=")
            section, dot, key = place.strip().partition(".")
            if not (equals and value.strip() and section.isidentifier() and dot and key.isidentifier()):
                raise TrainingError(f"--set takes SECTION.KEY=VALUE such as fit.optimizer=sgd, got {text!r}")
            there = _section(full, section, MODEL if section == "model" else {})
            full[section] = {**there, key: read_value(text, value.strip())}
        return full


def _split_for(recipe: Recipe) -> Recipe:
    """Return the recipe with blocks no larger than its network's field, where that does not learn from crops."""
    if not is_fitted(recipe.arch) or recipe.split is None:
        return recipe
    seen = max(recipe.options.get("windows", ARCHITECTURES[recipe.arch].options["windows"]))
    return replace(recipe, split=replace(recipe.split, crop=min(recipe.split.crop, seen)))


def _section(tables: Mapping[str, Any], name: str, otherwise: Mapping[str, Any] | None = None) -> Mapping[str, Any]:
    section = tables.get(name, otherwise or {})
    if not isinstance(section, Mapping):
        raise TrainingError(f"{name} is no section of single entries: it holds {shown(section)}")
    return section


def _said(entries: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in entries.items() if value is not None}


def _with_coarse(table: dict[str, Any], coarse: tuple[str, ...] | None) -> dict[str, Any]:
    """Return a recipe's tables with coarse labels, named from the current folder, for its sources that name none."""
    if coarse is None:
        return table
    here = [str(Path(name).absolute()) for name in coarse]
    return {**table, "sources": [{"coarse": here, **source} for source in table.get("sources", [])]}
