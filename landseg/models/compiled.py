"""Compiled models: the recipe of a model's network with its weights, without torch once the recipe is known.

The recipes of shipped models lie beside their files. That of another model is written by torch at its first use, and
kept in the cache.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from landseg.errors import ModelError
from landseg.models import shipped
from landseg.models.graph.field import ReceptiveField
from landseg.models.graph.folding import fold_arrays
from landseg.models.graph.recipe import VERSION, NotCompilable, Recipe
from landseg.models.named import NamedModel
from landseg.models.recipe_file import LONGEST, Description, Refusal, from_json, to_json
from landseg.models.tensors import read_tensors
from landseg.runtime.cache import cache_folder, cached, store

if TYPE_CHECKING:
    from landseg.models.file import Model

__all__ = ["CompiledModel", "NotCompilable", "cache_folder", "describe_model", "model_key", "read_compiled"]

SUFFIX = ".recipe.json"
"""The end of the names of recipes beside shipped models."""

_FILE = "recipe.json"  # in the folder of a model in the cache

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CompiledModel:
    """The network of a model as data.

    Attributes:
        recipe: its layers.
        weights: float32 arrays of the recipe by name, batch norms folded.
        field: the receptive field of the network.
        hash: SHA-256 of the model's file, in hex; of recipe and weights for a model in memory, whose network may
            have changed since it was loaded.
    """

    recipe: Recipe
    weights: Mapping[str, NDArray[np.float32]]
    field: ReceptiveField
    hash: str

    @property
    def key(self) -> str:
        """The key of this model in the cache, see `model_key`."""
        return model_key(self.hash)


def model_key(model_hash: str) -> str:
    """Return the name of a model's folder in the cache: another one for each version of landseg and of recipes."""
    from landseg import __version__

    return f"{model_hash[:32]}-{__version__}-{VERSION}"


def read_compiled(named: NamedModel) -> CompiledModel:
    """Return the compiled model of a named model; torch is imported only where its recipe is not yet known.

    Raises:
        NotCompilable: recipes cannot say its network; the sentence names the layer.
        ModelError: as `load_model`.
    """
    path = named.path
    if path is None:
        return _in_memory(named.load())
    try:
        data = path.read_bytes()
    except OSError as problem:
        raise ModelError(f"cannot read the model file {path}: {problem.strerror or problem}") from problem
    digest = hashlib.sha256(data).hexdigest()
    for place in (*_beside(path), cached(model_key(digest), _FILE)):
        found = _read(place, digest)
        if isinstance(found, Refusal):
            raise NotCompilable(found.refused)
        if found is not None:
            try:
                weights = fold_arrays(found.recipe, found.folding, read_tensors(data))
            except ValueError:  # a recipe that does not fit its model is damaged, and made anew
                continue
            return CompiledModel(found.recipe, weights, found.field, digest)
    return _first_use(named)


def describe_model(model: Model) -> Description | Refusal:
    """Return the description of a loaded model, or the reason why its network has no recipe."""
    from landseg.models.graph.receptive_field import receptive_field
    from landseg.models.graph.write_recipe import describe_network

    try:
        recipe, folding, _ = describe_network(model.network, bands=len(model.card.bands))
        return Description(model.hash, recipe, folding, receptive_field(model.network))
    except (NotCompilable, ModelError) as refused:  # ModelError: it cannot be traced
        return Refusal(model.hash, str(refused))


def _first_use(named: NamedModel) -> CompiledModel:
    """Write the recipe of a model, keep it in the cache, and return the compiled model."""
    model = named.load()
    _log.info("compiling model %s for ONNX Runtime, once", model.card.name)
    found = describe_model(model)
    if (folder := cache_folder(model_key(model.hash))) is not None:
        store(folder / _FILE, to_json(found))
    return _with_weights(found, model)


def _in_memory(model: Model) -> CompiledModel:
    made = _with_weights(describe_model(model), model)
    digest = hashlib.sha256(repr(made.recipe).encode())
    for name, array in sorted(made.weights.items()):
        digest.update(f"{name} {array.shape}".encode())
        digest.update(array.tobytes())
    return replace(made, hash=digest.hexdigest())


def _with_weights(found: Description | Refusal, model: Model) -> CompiledModel:
    if isinstance(found, Refusal):
        raise NotCompilable(found.refused)
    tensors = {name: tensor.detach().float().cpu().numpy() for name, tensor in model.network.state_dict().items()}
    weights = fold_arrays(found.recipe, found.folding, tensors)
    return CompiledModel(found.recipe, weights, found.field, found.model)


def _beside(path: Path) -> list[Path]:
    """Return the place of the recipe of a shipped model; none for other files, since anything may lie beside them."""
    return [path.with_suffix(SUFFIX)] if path.parent == shipped.folder() else []


def _read(place: Path, digest: str) -> Description | Refusal | None:
    """Return what the recipe file of a model with a hash holds; None where there is none, or it is no good."""
    try:
        with place.open("rb") as file:
            text = file.read(LONGEST + 1)
        found = from_json(text) if len(text) <= LONGEST else None
    except (OSError, ModelError):
        return None
    return found if found is not None and found.model == digest else None
