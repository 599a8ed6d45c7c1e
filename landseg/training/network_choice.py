"""The choice of the network to train: a recipe's, or another in its place."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from landseg.errors import ModelError, TrainingError
from landseg.models.networks.catalogue import (
    ARCHITECTURES,
    NO_ENCODER,
    architecture,
    check_encoder,
    detector_task,
    is_fitted,
)  # fmt: skip
from landseg.text.strict import shown
from landseg.text.untrusted import read_toml
from landseg.training.recipe import INSTANCES, MODEL, OF_BOXES, OF_OBJECTS, RANDOM, Recipe

_log = logging.getLogger(__name__)
_WIDTHS = ("border", "near")  # of boundaries, which images and options say for every model of objects


@dataclass(frozen=True)
class NetworkChoice:
    """A network to train in place of a recipe's; an attribute that is None stays the recipe's.

    Attributes:
        arch: one of the architectures; another one than the recipe's leaves the recipe's options out.
        encoder: one of the encoders, or "timm:NAME".
        encoder_weights: "none" (random), "imagenet" or a state-dict file.
        options: of the architecture, by name.
    """

    arch: str | None = None
    encoder: str | None = None
    encoder_weights: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    def in_place_of(self, recipe: Recipe) -> Recipe:
        """Return the recipe with this network, checked as far as names and types go.

        Raises:
            ModelError: an unknown name or option, or a combination that does not exist.
            TrainingError: weights of the recipe's encoder for another one.
        """
        arch = self.arch or recipe.arch
        if is_fitted(arch):  # another network's encoder, its weights and what it went on from are none of this one's
            if arch != recipe.arch:
                recipe = replace(recipe, encoder_weights=None, init=None, map_classes={})
            encoder = self.encoder or NO_ENCODER
        else:
            encoder = self.encoder or recipe.encoder
        changed = replace(
            recipe,
            **_task_of(recipe, arch),
            arch=arch,
            encoder=encoder,
            encoder_weights=self._weights(recipe, encoder),
            options={**_kept(recipe, arch, encoder), **self.options},
        )
        check_network(changed)
        return changed

    def _weights(self, recipe: Recipe, encoder: str) -> str | None:
        weights = self.encoder_weights
        if weights is not None:
            return None if weights == RANDOM else weights
        if encoder != recipe.encoder and recipe.encoder_weights not in (None, "imagenet"):
            raise TrainingError(
                f"the recipe's encoder weights {recipe.encoder_weights} are those of {recipe.encoder}, not of "
                f"{encoder}: say with --encoder-weights none, imagenet or FILE what it starts from"
            )
        return recipe.encoder_weights


def _kept(recipe: Recipe, arch: str, encoder: str) -> Mapping[str, Any]:
    """Return the recipe's options where they are of the same network; log those left out that were chosen."""
    check_names(arch, encoder)
    if is_fitted(arch) and arch != recipe.arch:
        return {}
    if not recipe.options or (arch == recipe.arch and _same_options(arch, encoder, recipe.encoder)):
        return recipe.options
    if recipe.arch == MODEL["arch"] and all(_same(MODEL.get(name), value) for name, value in recipe.options.items()):
        return {}
    _log.info(
        "network %s on %s: options of %s on %s are left out: %s",
        arch,
        encoder,
        recipe.arch,
        recipe.encoder,
        ", ".join(recipe.options),
    )
    return {}


def _task_of(recipe: Recipe, arch: str) -> dict[str, Any]:
    """Return the task and its options, where the network learns objects in another way than the recipe's."""
    task = detector_task(arch) or INSTANCES
    if recipe.task == task or recipe.task not in OF_OBJECTS:
        return {}
    left_out = _WIDTHS if task in OF_BOXES else ()
    return {
        "task": task,
        "task_options": {name: value for name, value in recipe.task_options.items() if name not in left_out},
    }


def _same(one: Any, other: Any) -> bool:
    return bool(one == (list(other) if isinstance(other, tuple) else other))


def _same_options(arch: str, encoder: str, other: str) -> bool:
    """Return whether an architecture is one network on both encoders (fcn32s on vgg16 is another one)."""
    try:
        return architecture(arch, encoder).options is architecture(arch, other).options
    except ModelError:  # the recipe's own encoder does not go with it
        return False


def check_names(arch: str, encoder: str) -> None:
    """Refuse names that stand for nothing, and what does not go together.

    Raises:
        ModelError: with the names that there are.
    """
    if not architecture(arch, encoder).fitted:
        check_encoder(encoder)


def check_network(recipe: Recipe) -> None:
    """Refuse a recipe's network before any data is read: its names, its options and their types, its weights' file.

    Raises:
        ModelError: with what there is to choose from.
    """
    check_names(recipe.arch, recipe.encoder)
    defaults = architecture(recipe.arch, recipe.encoder).options
    for name, value in recipe.options.items():
        if name not in defaults:
            known = ", ".join(defaults) or "none"
            raise ModelError(f"{recipe.arch} on {recipe.encoder} has no option {name}; it takes {known}")
        _check_type(name, value, defaults[name])
    weights = recipe.encoder_weights
    if is_fitted(recipe.arch) and any(source.coarse for source in recipe.sources):
        raise ModelError(f"{recipe.arch} does not learn from coarse labels: leave them out, or take another network")
    if is_fitted(recipe.arch) and (weights is not None or recipe.init is not None):
        what = f"the encoder weights {weights}" if recipe.init is None else f"the model {recipe.init}"
        raise ModelError(f"{recipe.arch} is fitted at once and does not go on from {what}: leave that out")
    if weights not in (None, "imagenet") and not Path(weights).is_file():
        raise ModelError(f"there is no file {weights} of encoder weights; use none, imagenet or a file that exists")


def _check_type(name: str, value: Any, default: Any) -> None:
    if default is None:  # the network chooses by itself; an option of that name in another one shows its type
        same = (entry.options.get(name) for entry in ARCHITECTURES.values())
        default = next((known for known in same if known is not None), 1)
    wanted, known = {
        bool: ("true or false", isinstance(value, bool)),
        int: ("a whole number", isinstance(value, int) and not isinstance(value, bool)),
        str: ("a text", isinstance(value, str)),
        tuple: ("a list of whole numbers", _whole_numbers(value)),
    }[type(default)]
    if not known:
        raise ModelError(f"option {name} is {wanted} such as {shown(default)}, got {shown(value)}")


def _whole_numbers(value: Any) -> bool:
    return isinstance(value, Sequence) and all(type(item) is int for item in value)


def read_options(texts: Sequence[str]) -> dict[str, Any]:
    """Return options from ``KEY=VALUE`` texts, their values as in TOML; a plain word is a text without quotes.

    >>> read_options(["rates=[6, 12]", "image_pooling=true", "norm=group"])
    {'rates': (6, 12), 'image_pooling': True, 'norm': 'group'}

    Raises:
        TrainingError: a text of another form, or a key that comes twice.
    """
    options: dict[str, Any] = {}
    for text in texts:
        key, equals, value = (part.strip() for part in text.partition("="))
        if not (equals and key.isidentifier() and value):
            raise TrainingError(f"--option takes KEY=VALUE such as output_stride=16, got {text!r}")
        if key in options:
            raise TrainingError(f"--option {key} is given twice; give it once")
        options[key] = read_value(text, value)
    return options


def read_value(text: str, value: str) -> Any:
    if value[:1].isalpha() and value not in ("true", "false", "inf", "nan") and not set(value) & set("[]{}\"'"):
        return value  # a word, or a path
    try:
        (parsed,) = read_toml(f"value = {value}").values()
    except ValueError as error:
        raise TrainingError(f"{text!r}: the value is no TOML ({error}); write 16, true, [6, 12] or a word") from error
    return tuple(parsed) if isinstance(parsed, list) else parsed
