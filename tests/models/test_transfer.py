"""A model's weights in a network for other classes or bands: what was learnt stays, and all else is said."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from landseg.classes import ClassMap
from landseg.errors import ModelError
from landseg.models import transfer
from landseg.models.card import Band, Card
from landseg.models.file import Model
from landseg.models.networks.build import build_network
from landseg.models.transfer import Transfer, transferred
from tests.parts.detectors import GROUND, HOUSE, detector_model
from tests.parts.sample_models import make_card

OLD = ("water", "road", "tree")
NEW = ("tree", "building", "water")
RGB = ("red", "green", "blue")
SMALL = ("fcn32s", "resnet18", {})
NETWORKS = [
    SMALL,
    ("fcn32s", "resnet18", {"upsampler": "shuffle"}),
    ("fcn32s", "resnet18", {"upsampler": "transposed"}),
    ("fpn", "resnet18", {"pyramid_channels": 32, "head_channels": 32}),
    ("deeplab-v2", "resnet18", {"hidden": 16}),
    ("deeplab-v3plus", "efficientnet-lite0", {"decoder_channels": 32}),
]
Take = Callable[..., Transfer]


def describe(
    arch: str, encoder: str, options: dict[str, Any], *, classes: Sequence[str], bands: Sequence[str]
) -> Card:
    table = ClassMap.from_json([{"value": i + 1, "name": name} for i, name in enumerate(classes)])
    made = tuple(Band(name, name, 100.0, 50.0) for name in bands)
    return make_card(arch=arch, encoder=encoder, options=options, classes=table, bands=made)


def build(card: Card, seed: int) -> nn.Module:
    """A network whose every weight is random, in eval mode."""
    torch.manual_seed(seed)
    network = build_network(
        card.arch, encoder=card.encoder, bands=len(card.bands), channels=card.channels, warn=False, **card.options
    )
    with torch.no_grad():
        for weight in network.parameters():
            weight.add_(0.02 * torch.randn_like(weight))
    return network.eval()


def model(card: Card) -> Model:
    return Model(build(card, 1), card, Path("old.safetensors"), "")


def image(bands: int, seed: int = 3) -> Tensor:
    return torch.randn(1, bands, 33, 49, generator=torch.Generator().manual_seed(seed))


def logits(network: nn.Module, x: Tensor) -> Tensor:
    with torch.inference_mode():
        return network(x)[0]


def close(a: Tensor, b: Tensor) -> None:
    scale = float(b.abs().max())
    assert scale > 1e-3
    assert float((a - b).abs().max()) <= 2e-5 * scale


@pytest.mark.parametrize(("arch", "encoder", "options"), NETWORKS, ids=lambda v: str(v))
def test_classes_of_both_keep_their_logits(arch: str, encoder: str, options: dict[str, Any]) -> None:
    assert_classes_kept(arch, encoder, options, transferred)


def assert_classes_kept(arch: str, encoder: str, options: dict[str, Any], take: Take) -> None:
    mixing = "upsampler" in options  # where what is left behind would be missed
    known = ("water", "tree") if mixing else OLD
    old = model(describe(arch, encoder, options, classes=known, bands=RGB))
    card = describe(arch, encoder, options, classes=NEW, bands=RGB)
    network = build(card, 2)
    taken = take(old, network, card=card)
    before, after = logits(old.network, image(3)), logits(network, image(3))
    close(after[0], before[known.index("tree")])
    close(after[2], before[known.index("water")])
    assert (taken.classes, taken.new_classes) == (("tree", "water"), ("building",))
    assert taken.left_classes == (() if mixing else ("road",))


def test_a_mixing_upsampler_that_misses_a_class_says_so() -> None:
    options = {"upsampler": "shuffle"}
    old = model(describe("fcn32s", "resnet18", options, classes=OLD, bands=RGB))
    card = describe("fcn32s", "resnet18", options, classes=NEW, bands=RGB)
    taken = transferred(old, build(card, 2), card=card)
    assert taken.notes == ("the upsampler mixes classes, and misses what it took from road",)


def by_position(old: Model, network: nn.Module, *, card: Card) -> Transfer:
    """The broken twin: rows by their position, names unread."""
    network.load_state_dict(old.network.state_dict())
    return transferred(old, build(card, 9), card=card)


def test_twin_rows_by_position_are_caught() -> None:
    with pytest.raises(AssertionError):
        assert_classes_kept(*SMALL, by_position)


def test_twin_weights_between_taken_and_new_classes_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """An upconvolution mixes classes: without the zeros the new class's logits reach the old ones."""
    kept = transfer._for_classes

    def mixing(given: Tensor, start: Tensor, axes: Any, rows: Any, old: int) -> Tensor:
        made = kept(given, start, axes, rows, old)
        return torch.where(made == 0, start, made)

    monkeypatch.setattr(transfer, "_for_classes", mixing)
    with pytest.raises(AssertionError):
        assert_classes_kept("fcn32s", "resnet18", {"upsampler": "shuffle"}, transferred)


def test_a_new_class_begins_as_it_was_built() -> None:
    card = describe(*SMALL, classes=NEW, bands=RGB)
    network = build(card, 2)
    before = network.get_parameter("score.weight")[1].clone()
    old = model(describe(*SMALL, classes=OLD, bands=RGB))
    transferred(old, network, card=card)
    assert torch.equal(network.get_parameter("score.weight")[1], before)


def test_the_same_model_is_taken_whole() -> None:
    card = describe(*SMALL, classes=OLD, bands=RGB)
    old, network = model(card), build(card, 2)
    taken = transferred(old, network, card=card)
    assert all(torch.equal(network.state_dict()[k], v) for k, v in old.network.state_dict().items())
    assert taken.sentences() == ["classes taken: water, road, tree", "bands taken: red, green, blue"]


@pytest.mark.parametrize(("arch", "encoder", "options"), [NETWORKS[0], NETWORKS[-1]], ids=lambda v: str(v))
def test_permuted_bands_permute_the_filters(arch: str, encoder: str, options: dict[str, Any]) -> None:
    assert_permuted(arch, encoder, options, transferred)


def assert_permuted(arch: str, encoder: str, options: dict[str, Any], take: Take) -> None:
    old = model(describe(arch, encoder, options, classes=OLD, bands=RGB))
    card = describe(arch, encoder, options, classes=OLD, bands=("blue", "red", "green"))
    network = build(card, 2)
    taken = take(old, network, card=card)
    x = image(3)
    close(logits(network, x[:, [2, 0, 1]]), logits(old.network, x))
    first, given = first_layer(network), first_layer(old.network)
    assert torch.equal(first, given[:, [2, 0, 1]])
    assert taken.bands == ("blue", "red", "green") and not taken.new_bands


def first_layer(network: nn.Module) -> Tensor:
    return next(p for p in network.parameters() if p.ndim == 4).detach()


def test_twin_unread_band_names_are_caught() -> None:
    with pytest.raises(AssertionError):
        assert_permuted(*SMALL, by_position)


@pytest.mark.parametrize(
    "bands",
    [(*RGB, "nir"), ("nir", "red"), ("red", "green"), ("red", "nir", "swir", "blue"), ("vv", "vh")],
    ids=" ".join,
)
def test_a_grey_picture_is_answered_as_before(bands: tuple[str, ...]) -> None:
    assert_grey_kept(bands, transferred)


def assert_grey_kept(bands: tuple[str, ...], take: Take) -> None:
    old = model(describe(*SMALL, classes=OLD, bands=RGB))
    card = describe(*SMALL, classes=OLD, bands=bands)
    network = build(card, 2)
    taken = take(old, network, card=card)
    grey = image(1)
    wanted = logits(old.network, grey.expand(-1, 3, -1, -1))
    close(logits(network, grey.expand(-1, len(bands), -1, -1)), wanted)
    assert set(taken.new_bands) == set(bands) - set(RGB) and set(taken.left_bands) == set(RGB) - set(bands)


def test_twin_filters_in_turn_answer_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    """Repeating the old bands' filters for more bands and scaling them all by 3 / 4 is another rule."""

    def in_turn(sources: Sequence[int | None], old: int) -> Tensor:
        shares = torch.zeros(old, len(sources))
        shares[torch.arange(len(sources)) % old, torch.arange(len(sources))] = old / len(sources)
        return shares

    monkeypatch.setattr(transfer, "_band_shares", in_turn)
    with pytest.raises(AssertionError):
        assert_grey_kept((*RGB, "nir"), transferred)


def test_a_new_band_at_its_mean_scales_the_first_response_alone() -> None:
    """Input 0 is a band's mean: there the first layer answers 3/4 of what it did, the new band having the rest."""
    old = model(describe(*SMALL, classes=OLD, bands=RGB))
    card = describe(*SMALL, classes=OLD, bands=(*RGB, "nir"))
    network = build(card, 2)
    transferred(old, network, card=card)
    x = image(3)
    four = torch.cat([x, torch.zeros_like(x[:, :1])], 1)
    before = nn.functional.conv2d(x, first_layer(old.network))
    after = nn.functional.conv2d(four, first_layer(network))
    close(after, 0.75 * before)
    with pytest.raises(AssertionError):  # the twin: with the new band elsewhere than at its mean
        close(nn.functional.conv2d(four + 1, first_layer(network)), 0.75 * before)
    assert torch.allclose(first_layer(network)[:, 3], first_layer(old.network).sum(1) / 4, atol=1e-6)


def test_bands_are_matched_by_common_name_first() -> None:
    def band(name: str, common: str | None) -> Band:
        return Band(name, common, 0.0, 1.0)

    old = [band("b1", "red"), band("b2", "blue"), band("b3", None), band("b4", "rededge"), band("b5", "rededge")]
    new = [band("b1", "blue"), band("x", "red"), band("b3", "nir"), band("b5", "rededge"), band("b6", "rededge")]
    assert transfer._matched_bands(old, new) == [1, 0, 2, 4, 3]
    assert transfer._matched_bands(old[:1], [band("b1", "nir")]) == [None]  # a name that means another band
    assert transfer._matched_bands(old[:1], [band("r", "red"), band("s", "red")]) == [0, None]


def test_dice_are_left_alone() -> None:
    card = describe(*SMALL, classes=NEW, bands=(*RGB, "nir"))
    old, network = model(describe(*SMALL, classes=OLD, bands=RGB)), build(card, 2)
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    transferred(old, network, card=card)
    assert torch.equal(torch.rand(1), expected)


def test_everything_is_said() -> None:
    old = model(describe("deeplab-v2", "resnet18", {"hidden": 16}, classes=OLD, bands=RGB))
    card = describe(
        "deeplab-v2", "resnet18", {"hidden": 16, "rates": (2, 4, 6, 8)}, classes=NEW, bands=("red", "nir")
    )
    card = replace(card, bands=(replace(card.bands[0], mean=90.0), card.bands[1]))
    said = transferred(old, build(card, 2), card=card).sentences()
    assert said == [
        "classes looked for: tree, building, water; the model has tree, water, road",
        "classes taken: tree, water; new: building; of the model's left behind: road",
        "if one of those is a class by another name, say so: --map-classes road=building",
        "bands taken: red; new: nir; of the model's left behind: green, blue",
        "rates is [6, 12, 18, 24] there and [2, 4, 6, 8] here: the weights fit, but were learnt otherwise",
        "band red is scaled with mean 90 and std 50, the model knows it with 100 and 50: take these unless the "
        "imagery is of another kind",
    ]
    none = transferred(old, build(card, 2), card=card).to_json()
    assert none["new_classes"] == ["building"] and none["left_bands"] == ["green", "blue"]


def test_classes_by_another_name_keep_their_logits() -> None:
    """A plural, a synonym and a name that was said; the twin, without them, keeps none."""
    old = model(describe(*SMALL, classes=("tree", "water", "road", "shed"), bands=RGB))
    card = describe(*SMALL, classes=("hut", "street", "Trees", "soot"), bands=RGB)
    network = build(card, 2)
    taken = transferred(old, network, card=card, said={"shed": "hut"})
    before, after = logits(old.network, image(3)), logits(network, image(3))
    for mine, its in ((0, 3), (1, 2), (2, 0)):
        close(after[mine], before[its])
    with pytest.raises(AssertionError):  # the twin: another class than the one that it was said to be
        close(after[0], before[1])
    assert taken.sentences()[1] == (
        "classes taken: hut (the model's shed, as you said), street (the model's road, another word for it), Trees "
        "(the model's tree, in another spelling or number); new: soot; of the model's left behind: water"
    )
    assert taken.to_json()["namesakes"][2]["theirs"] == "tree"
    with pytest.raises(ModelError, match="no class 'sea'; it has tree, water, road, shed"):
        transferred(old, build(card, 2), card=card, said={"sea": "hut"})


def nameless(*names: str) -> list[Band]:
    return [Band(name, None if name.startswith("band") else name, 100.0, 50.0) for name in names]


def test_bands_without_names_are_taken_by_order_where_there_are_as_many() -> None:
    old = model(describe(*SMALL, classes=OLD, bands=(*RGB, "nir")))
    numbers = ("band 1", "band 2", "band 3", "band 4")

    def take(names: Sequence[str]) -> tuple[Transfer, nn.Module]:
        card = replace(describe(*SMALL, classes=OLD, bands=names), bands=tuple(nameless(*names)))
        network = build(card, 2)
        return transferred(old, network, card=card), network

    taken, network = take(numbers)
    assert torch.equal(first_layer(network), first_layer(old.network)) and taken.bands == numbers
    told = "bands without names are taken by their order: band 1 as the model's red"
    assert any(note.startswith(told) for note in taken.notes)
    for names in (numbers[:3], (*numbers[:3], "red"), ("green", *numbers[1:])):
        taken, network = take(names)
        assert not any("taken by their order" in note for note in taken.notes)
        assert not torch.equal(first_layer(network), first_layer(old.network)[:, : len(names)])
    assert any("the model has 4 (red, green, blue, nir), the images 3" in n for n in take(numbers[:3])[0].notes)
    taken, _ = take((*RGB, "band 4"))
    assert taken.new_bands == () and taken.notes[-1].endswith("taken by their order: band 4 as the model's nir")


def test_other_networks_are_refused() -> None:
    old = model(describe("deeplab-v2", "resnet18", {"hidden": 16}, classes=OLD, bands=RGB))
    for change, match in (
        ({"arch": "fpn", "options": {}}, "train with --arch deeplab-v2 --encoder resnet18, or without --init"),
        ({"encoder": "resnet34"}, "a deeplab-v2 on resnet18, the network to train a deeplab-v2 on resnet34"),
        ({"options": {"hidden": 8}}, "hidden is 16 there and 8 here; give it the model's options"),
        ({"options": {"hidden": None}}, "hidden is 16 there and None here"),
    ):
        card = replace(old.card, **change)
        network = build(card, 2)
        before = {name: value.clone() for name, value in network.state_dict().items()}
        with pytest.raises(ModelError, match=match):
            transferred(old, network, card=card)
        assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize("arch", ["mask-rcnn", "panoptic-fpn"])
def test_networks_of_boxes_go_on_with_the_classes_of_their_model(arch: str) -> None:
    old = detector_model(arch, GROUND, HOUSE)
    network = build(old.card, 2)
    assert transferred(old, network, card=old.card, heads=old.card.heads).classes == ("ground", "house")
    assert all(torch.equal(value, old.network.state_dict()[name]) for name, value in network.state_dict().items())
    barn = replace(HOUSE, name="barn")
    for classes in ((HOUSE, GROUND), (GROUND, barn), (replace(GROUND, thing=True), replace(HOUSE, thing=False))):
        with pytest.raises(ModelError, match=f"a {arch} goes on with the very classes"):
            transferred(old, network, card=replace(old.card, classes=ClassMap(classes)), heads=old.card.heads)
    wider = replace(old.card, options={**old.card.options, "mask_channels": 16})
    with pytest.raises(ModelError, match="mask_channels is 8 there and 16 here"):
        transferred(old, build(wider, 2), card=wider, heads=wider.heads)
