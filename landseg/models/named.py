"""A model by name: its card is read at once, its weights (with torch) only when they are needed."""

from __future__ import annotations

from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING

from landseg.errors import ModelError
from landseg.models import shipped
from landseg.models.card import Card
from landseg.models.read_card import card_in, file_hash

if TYPE_CHECKING:
    from landseg.models.file import Model

__all__ = ["NamedModel", "named_model"]


class NamedModel:
    """A model whose card is at hand before its weights are loaded.

    Args:
        model: the model, or the path of its file.
    """

    def __init__(self, model: Model | Path) -> None:
        self._path = model if isinstance(model, Path) else None
        self._model = None if isinstance(model, Path) else model
        self.card: Card = card_in(model) if isinstance(model, Path) else model.card

    @property
    def hash(self) -> str:
        """The SHA-256 of the model's file, in hex."""
        if self._model is not None:
            return self._model.hash
        assert self._path is not None, "a model is given, or its path"
        return file_hash(self._path)

    @property
    def path(self) -> Path | None:
        """The path of the model's file; None for a model that was given loaded."""
        return self._path

    def load(self) -> Model:
        """Return the model with its weights, loaded at the first call.

        Raises:
            ModelError: the file is damaged, or its weights are not those of the card's network.
        """
        if self._model is None:
            from landseg.models.file import load_model

            self._model = load_model(self._path)
        return self._model


def named_model(model: str | PathLike[str] | Model | None = None) -> NamedModel:
    """Return the model of a file, of a shipped name, of a `Model`, or (None) the default model.

    Raises:
        ModelError: the file is missing, truncated, foreign, of a later format, or a pickle; or another object was
            given.
    """
    if model is None or isinstance(model, (str, PathLike)):
        return NamedModel(shipped.resolve(None if model is None else fspath(model)))
    if not isinstance(getattr(model, "card", None), Card):
        raise ModelError(
            f"a {type(model).__name__} is no model: expected a model file, the name of a shipped model, or the "
            "result of landseg.load_model; landseg.save_model writes a network and its card to a file"
        )
    return NamedModel(model)
