"""The card's STAC view, checked by the extension's own validators; no schema is fetched."""

import re
from datetime import UTC, datetime
from typing import Any

import pystac
import pytest
from pydantic import ValidationError
from pystac.extensions.mlm import MLMExtension
from stac_model.schema import MLModelProperties

from landseg.models.card import Card, Heads
from landseg.models.mlm import mlm_fields
from tests.parts.sample_models import make_card

OTHER = make_card(task="distance", heads=Heads((("distance", 1),)))


def check_accepted(fields: dict[str, Any]) -> None:
    """stac-model validates the types; the specification's patterns are checked by hand."""
    read = MLModelProperties.model_validate(fields).model_dump(mode="json", by_alias=True)
    assert re.fullmatch(r"[a-zA-Z][a-zA-Z0-9_.-]+[a-zA-Z0-9]", read["mlm:name"])
    (taken,), (given) = read["mlm:input"], fields["bands"]
    assert taken["bands"] == [band["name"] for band in given]
    assert len(taken["value_scaling"]) == len(given) == taken["input"]["shape"][1]
    (result,) = read["mlm:output"]
    classes = result.get("classification:classes", [])
    assert not classes or result["result"]["shape"][1] == len(classes)
    assert all(re.fullmatch(r"[0-9A-Za-z_-]+", entry["name"]) for entry in classes)
    assert all(re.fullmatch(r"[0-9A-F]{6}", entry["color_hint"]) for entry in classes)


@pytest.mark.parametrize("card", [make_card(), make_card(training=None, options={}, name="3 ponds!"), OTHER])
def test_stac_model_accepts_the_fields(card: Card) -> None:
    check_accepted(mlm_fields(card))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("mlm:name", ""),
        ("mlm:tasks", ["guessing"]),
        ("mlm:input", [{"name": "pixels", "bands": ["red"]}]),
        ("mlm:output", [{"name": "logits", "tasks": []}]),
        ("mlm:total_parameters", -1),
        ("bands", []),
    ],
)
def test_the_check_catches_wrong_fields(field: str, value: object) -> None:
    with pytest.raises((ValidationError, AssertionError)):
        check_accepted(mlm_fields(make_card()) | {field: value})


def test_pystac_reads_the_fields_as_they_were_meant() -> None:
    card = make_card()
    properties = mlm_fields(card)
    item = pystac.Item(card.name, None, None, datetime(2024, 1, 1, tzinfo=UTC), properties)
    model = MLMExtension.ext(item, add_if_missing=True)
    assert model.mlm_name == "pond" and model.architecture == "fcn32s" and model.framework == "PyTorch"
    assert [str(task) for task in model.tasks] == ["semantic-segmentation"]
    assert model.total_parameters == 1234 and model.pretrained and model.pretrained_source == "imagenet"
    (pixels,), (logits,) = model.input, model.output
    assert pixels.input.shape == [-1, 2, -1, -1] and pixels.resize_type is None
    # As the dictionary: pystac's accessor takes the list of the specification for one object.
    scaling = [(step["type"], step["mean"], step["stddev"]) for step in pixels.to_dict()["value_scaling"]]
    assert scaling == [("z-score", 90.0, 40.0), ("z-score", 0.25, 0.125)]
    assert [(entry.value, entry.name) for entry in logits.classes] == [(1, "water"), (2, "bare_land")]
    assert properties["bands"] == [{"name": "red", "eo:common_name": "red"}, {"name": "b8"}]


def test_training_from_random_weights_is_said_explicitly() -> None:
    fields = mlm_fields(make_card(training=make_card().training.__class__()))
    assert fields["mlm:pretrained"] is False and fields["mlm:pretrained_source"] is None


def test_another_task_is_one_of_the_extensions_and_its_output_has_no_classes() -> None:
    fields = mlm_fields(OTHER)
    (output,) = fields["mlm:output"]
    assert fields["mlm:tasks"] == output["tasks"] == ["regression"] and "classification:classes" not in output
    assert output["result"]["shape"][1] == 1 and output["description"].endswith("distance (1)")
    assert mlm_fields(make_card())["mlm:output"][0]["classification:classes"]
