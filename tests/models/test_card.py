"""The card: what goes out comes back, and nothing else is taken for a card."""

import json
import math
from dataclasses import replace
from typing import Any

import pytest

from landseg.errors import ModelError
from landseg.models.card import FORMAT_VERSION, Band, Card, Field, Heads, Metrics
from tests.parts.sample_models import make_card


def through_text(card: Card) -> Card:
    return Card.from_json(json.loads(json.dumps(card.to_json(), allow_nan=False)))


def leaves(value: object, path: tuple[object, ...] = ()) -> list[tuple[object, ...]]:
    """Every path to a field inside a card's JSON, options and figures (free of form) left out."""
    found: list[tuple[object, ...]] = []
    steps = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in steps:
        if isinstance(value, dict):
            found.append((*path, key))
        if key not in ("options", "overall", "per_class", "classes"):
            found += leaves(inner, (*path, key))
    return found


def check_round_trip(card: Card) -> None:
    assert through_text(card) == card


def test_card_survives_json() -> None:
    check_round_trip(make_card())
    check_round_trip(make_card(training=None, metrics=None, resolution_m=None, trained_at_m=(), options={}))
    check_round_trip(make_card(receptive_field=Field(None, 16, 0.0, None, "aspp.pool: mean over everything")))


def test_round_trip_notices_a_change(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = Band.to_json
    monkeypatch.setattr(Band, "to_json", lambda band: honest(band) | {"mean": band.std, "std": band.mean})
    with pytest.raises(AssertionError):
        check_round_trip(make_card())


def test_figures_that_mean_nothing_are_nan_and_travel_as_null() -> None:
    card = make_card(metrics=Metrics("tile 8", {"miou": math.nan}, {"ice": {"iou": math.nan}}))
    assert card.to_json()["metrics"]["per_class"] == {"ice": {"iou": None}}
    back = through_text(card).metrics
    assert back is not None and math.isnan(back.overall["miou"]) and math.isnan(back.per_class["ice"]["iou"])


@pytest.mark.parametrize("path", leaves(make_card().to_json()), ids=lambda path: ".".join(map(str, path)))
def test_a_field_missing_or_mistyped_is_named(path: tuple[object, ...]) -> None:
    for spoil in (lambda owner, key: owner.pop(key), lambda owner, key: owner.update({key: object})):
        data = make_card().to_json()
        owner: dict[object, object] = data
        for step in path[:-1]:
            owner = owner[step]  # type: ignore[assignment]
        spoil(owner, path[-1])
        with pytest.raises(ModelError, match=rf": {path[-1]}( is |:)|needs .*{path[-1]}"):
            Card.from_json(data)


def test_unknown_fields_are_named() -> None:
    with pytest.raises(ModelError, match="the model's card has no colour; it knows arch, bands"):
        Card.from_json(make_card().to_json() | {"colour": 1})
    with pytest.raises(ModelError, match="is a table of entries, got"):
        Card.from_json([1, 2])


def test_a_later_format_asks_for_an_upgrade_even_when_it_has_other_fields() -> None:
    later = {"format_version": FORMAT_VERSION + 1, "brand": "new"}
    with pytest.raises(
        ModelError, match=rf"newer landseg \(format {FORMAT_VERSION + 1}; this one reads {FORMAT_VERSION}\): upgrade"
    ):
        Card.from_json(later)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"encoder": "timm:hf-hub:someone/something"}, "plain name"),
        ({"encoder": "timm:local-dir:x"}, "plain name"),
        ({"encoder": "../resnet18"}, "plain name"),
        ({"options": {"encoder_weights": "x.pth"}}, "may not hold encoder_weights"),
        ({"options": {"hook": print}}, "JSON values"),
        ({"bands": ()}, "one or more"),
        ({"bands": (Band("a", None, 0, 1), Band("a", None, 0, 1))}, "names of their own"),
        ({"dtypes": ("complex64",)}, "dtypes should be"),
        ({"dtypes": ()}, "got none"),
        ({"fill": math.nan}, "fill should be"),
        ({"resolution_m": 0.0}, "above 0"),
        ({"trained_at_m": (-1.0,)}, "above 0"),
        ({"licence": ""}, "needs a licence"),
    ],
)
def test_a_card_that_cannot_be_is_refused(changes: dict[str, object], sentence: str) -> None:
    with pytest.raises(ModelError, match=sentence):
        make_card(**changes)


@pytest.mark.parametrize(("mean", "std"), [(0.0, 0.0), (0.0, -1.0), (math.nan, 1.0), (0.0, math.inf)])
def test_a_band_that_cannot_scale_is_refused(mean: float, std: float) -> None:
    with pytest.raises(ModelError, match="std above 0"):
        Band("red", None, mean, std)


def test_scaling_is_read_off_the_bands() -> None:
    assert make_card().means == (90.0, 0.25) and make_card().stds == (40.0, 0.125)


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan"), float("inf"), True])
def test_a_card_takes_no_temperature_that_means_nothing(temperature: float) -> None:
    with pytest.raises(ModelError, match="temperature should be a finite number above 0"):
        make_card(temperature=temperature)


def test_a_card_without_a_temperature_has_1_and_one_with_it_comes_back() -> None:
    old = make_card().to_json()
    assert "temperature" not in old and Card.from_json(old).temperature == 1
    fitted = make_card(temperature=1.37)
    assert Card.from_json(json.loads(json.dumps(fitted.to_json()))) == fitted
    with pytest.raises(ModelError, match='temperature is a number, got "warm"'):
        Card.from_json({**old, "temperature": "warm"})


def test_a_card_says_why_it_has_no_figures() -> None:
    card = make_card(metrics=None, not_measured="1 scene kept out, which could not be read")
    check_round_trip(card)
    assert card.to_json()["not_measured"] == card.not_measured
    assert "not_measured" not in make_card().to_json()  # cards of today are those of before
    with pytest.raises(ModelError, match="not_measured"):
        Card.from_json(make_card().to_json() | {"not_measured": 3})


def test_a_card_of_another_task_names_its_channels_and_is_of_a_later_format() -> None:
    semantic = make_card()
    assert semantic.channels == len(semantic.classes) and {"task", "heads"}.isdisjoint(semantic.to_json())
    heads = Heads((("classes", 2), ("distance", 1)))
    card = make_card(task="edges", heads=heads, task_options={"reach": 8})
    written = card.to_json()
    assert (written["format_version"], semantic.to_json()["format_version"]) == (FORMAT_VERSION, 1)
    assert card.channel_names == ("water", "bare land", "distance")
    assert replace(card, heads=Heads((("offset", 2),))).channel_names == ("offset 1", "offset 2")
    assert semantic.channel_names == semantic.classes.names
    assert card.channels == 3 and Card.from_json(written) == card
    assert Card.from_json({name: value for name, value in written.items() if name != "task_options"}).heads == heads
    wrong: list[dict[str, Any]] = [{"task": "edges"}, {"heads": heads}, {"task": "no name!", "heads": heads}]
    for fields in wrong:
        with pytest.raises(ModelError, match="task"):
            make_card(**fields)
    for bad in ([{"name": "a", "channels": 0}], [{"name": "a", "channels": 1}] * 2, [{"name": "a"}]):
        with pytest.raises(ModelError, match="head"):
            Card.from_json(written | {"heads": bad})
