"""The checks of images and labels that end a training run before it learns, for `landseg data` to make first."""

from __future__ import annotations

from landseg.classes import ClassMap
from landseg.errors import LandsegError
from landseg.scenes.data_source import SourceSpec
from landseg.scenes.label_sets import LabelSetBuilder
from landseg.scenes.opener import Opener
from landseg.scenes.opening import checked, labels_of_source
from landseg.text.strict import read_dataclass
from landseg.training.recipe_from_files import DataFiles, fill_recipe


def refusal(data: DataFiles, *, stored_values: bool = False) -> str | None:
    """Return the sentence by which `landseg train` refuses images and labels, None where it takes them.

    The functions are those of a run (`fill_recipe`, `labels_of_source`, `checked`). What is not asked: whether every
    pixel can be read, which values the labels hold, and what a split would leave.

    Args:
        data: as they are named.
        stored_values: the numbers that images store are taken, whatever scale and offset they declare.
    """
    try:
        _check(data, stored_values=stored_values)
    except LandsegError as error:
        return str(error)
    return None


def _check(data: DataFiles, *, stored_values: bool) -> None:
    """Raise LandsegError if training does not take images and labels."""
    tables = fill_recipe({}, data, name="model", stored_values=stored_values)
    (source,) = tables["sources"]
    spec = read_dataclass(SourceSpec, source, "the labels")
    classes = ClassMap.from_json({"classes": tables["classes"], "ignore": tables.get("ignore", [])})
    items = data.items()
    bands = spec.bands or tuple(range(1, len(tables["bands"]) + 1))
    labels = labels_of_source(spec, items, classes, LabelSetBuilder(classes))
    openers = [Opener(item.image, bands, (one,), len(classes)) for item, one in zip(items, labels, strict=True)]
    checked(openers, quiet=True)
