"""A network chosen by name: trained for two steps, saved, used; and sentences for names that stand for nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import torch
from typer.testing import CliRunner, Result

from landseg.cli.main import app
from landseg.errors import LandsegError
from landseg.models.card import Band
from landseg.models.facts import network_facts
from landseg.models.file import load_model
from landseg.models.layers.upsampler import UPSAMPLERS
from landseg.models.networks.backbones import ENCODERS
from landseg.models.networks.build import ARCHITECTURES, architecture, build_network
from landseg.models.networks.catalogue import NETWORKS, detector_task
from landseg.training.network_choice import NetworkChoice, check_network, read_options
from landseg.training.recipe import MODEL, read_recipe
from tests.parts.sample_models import save_small_model

DEFAULT_OPTIONS = {name: value for name, value in MODEL.items() if name not in ("arch", "encoder", "encoder_weights")}
RGB = ("red", "green", "blue")
NARROW = {"head_channels": 8, "decoder_channels": 8, "pyramid_channels": 8}
RECIPE = """
ignore = [0]
[about]
name = "tones"
description = "Bright or dark"
licence = "CC0-1.0"
limitations = "Everything real."
[model]
arch = "deeplab-v3plus"
encoder = "efficientnet-lite0"
encoder_weights = "none"
decoder_channels = 16
image_pooling = true
[fit]
steps = 2
[sampling]
crop = 32
batch = 2
[[classes]]
value = 4
name = "dark"
color = "#101010"
[[classes]]
value = 6
name = "bright"
color = "#f0f0f0"
[[bands]]
name = "red"
mean = 100.0
std = 50.0
[[bands]]
name = "green"
mean = 100.0
std = 50.0
[[bands]]
name = "blue"
mean = 100.0
std = 50.0
[[sources]]
name = "by raster"
licence = "CC0-1.0"
credit = "nobody"
images = "scenes/*.tif"
labels = "labels/{stem}_labels.tif"
"""


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def data(tmp_path: Path, write_raster: Callable[..., Path]) -> Path:
    """One labelled scene and a recipe beside it."""
    for folder in ("scenes", "labels"):
        (tmp_path / folder).mkdir()
    image = np.full((3, 48, 64), 30, np.uint8)
    image[:, :, 32:] = 220
    write_raster(image, "scenes/a.tif", photometric="RGB")
    write_raster(np.where(image[0] > 100, 6, 4).astype(np.uint8), "labels/a_labels.tif")
    (tmp_path / "recipe.toml").write_text(RECIPE)
    return tmp_path


def train(data: Path, *arguments: str | Path) -> Result:
    return run("train", data / "recipe.toml", "-o", data / "m.safetensors", "--data", data, *arguments)


def test_a_network_named_by_hand_is_trained_and_predicts(data: Path, sample_tiles: Path) -> None:
    chosen = ("--arch", "fcn32s", "--encoder", "resnet18", "--encoder-weights", "none")
    result = train(data, *chosen, "--option", "output_stride=16", "--json")
    assert result.exit_code == 0, result.output
    assert "are left out: decoder_channels, image_pooling" in result.stderr
    card = load_model(data / "m.safetensors").card
    assert (card.arch, card.encoder, dict(card.options)) == ("fcn32s", "resnet18", {"output_stride": 16})
    assert card.receptive_field.stride == 16 and card.training is not None and card.training.started_from is None
    tile = sample_tiles / "buildings" / "tiles" / "386691_220244.tif"
    made = run("predict", tile, "-o", data / "map.tif", "--model", data / "m.safetensors")
    assert made.exit_code == 0, made.output
    with rasterio.open(tile) as source, rasterio.open(data / "map.tif") as labels:
        assert (labels.transform, labels.shape, labels.crs) == (source.transform, source.shape, source.crs)
        assert set(np.unique(labels.read(1))) <= {4, 6}


def test_options_that_nobody_chose_are_left_out_in_silence(data: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Images and labels begin with the options of the shipped model; a recipe's own are another matter."""
    caplog.set_level("INFO", logger="landseg")
    recipe = replace(read_recipe(data / "recipe.toml"), arch="deeplab-v3plus", options=dict(DEFAULT_OPTIONS))
    for rates in ([6, 12, 18], (6, 12, 18)):
        own = replace(recipe, options={**DEFAULT_OPTIONS, "rates": rates})
        assert NetworkChoice(arch="unet").in_place_of(own).options == {}
    assert caplog.text == ""
    assert NetworkChoice(arch="unet").in_place_of(replace(recipe, options={"rates": [6, 12]})).options == {}
    assert (
        "network unet on efficientnet-lite0: options of deeplab-v3plus on" in caplog.text and "rates" in caplog.text
    )


def test_without_a_choice_the_recipe_holds_and_a_run_can_be_repeated(data: Path) -> None:
    """The seed is of the initial weights too: two runs of as many steps end with the same weights."""
    states = []
    for _ in range(2):
        result = train(data, "--overwrite", "--json")
        assert result.exit_code == 0, result.output
        assert json.loads(result.stdout)["scenes"] == 1 and "left out" not in result.stderr
        model = load_model(data / "m.safetensors")
        assert dict(model.card.options) == {"decoder_channels": 16, "image_pooling": True}
        states.append(model.network.state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    _with("steps = 2", "steps = 2\nseed = 1")(data)  # twin
    train(data, "--overwrite")
    other = load_model(data / "m.safetensors").network.state_dict()
    assert any(not torch.equal(states[0][name], other[name]) for name in other)


def _with(old: str, new: str) -> Callable[[Path], None]:
    def change(data: Path) -> None:
        text = (data / "recipe.toml").read_text()
        assert old in text
        (data / "recipe.toml").write_text(text.replace(old, new))

    return change


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--arch", "fcn64s"), "no architecture 'fcn64s'; use one of deeplab-v3plus, "),
        (("--encoder", "resnet19"), "no encoder 'resnet19'; use one of efficientnet-lite0, "),
        (("--encoder", "timm:../x"), "there is no encoder 'timm:../x'"),
        (("--arch", "fcn8s"), "fcn8s is a network on vgg16, not on efficientnet-lite0"),
        (("--option", "output_strides=8"), "has no option output_strides; it takes output_stride, rates"),
        (("--option", "image_pooling=True"), 'image_pooling is true or false such as false, got "True"'),
        (("--option", "output_stride=16.0"), "output_stride is a whole number such as 16, got 16.0"),
        (("--option", "rates=6"), "rates is a list of whole numbers such as [6, 12, 18], got 6"),
        (("--arch", "deeplab-v3", "--option", "rates=wide"), 'rates is a list of whole numbers such as [6, 12, 18]'),
        (("--arch", "fpn", "--option", "norm=layer"), "norm must be 'batch' or 'group'"),
        (("--option", "rates=[6"), "the value is no TOML"),
        (("--option", "rates"), "--option takes KEY=VALUE such as output_stride=16, got 'rates'"),
        (("--option", "separable=true", "--option", "separable=false"), "separable is given twice"),
        (("--encoder-weights", "nowhere.pt"), "there is no file nowhere.pt of encoder weights"),
    ],
)  # fmt: skip
def test_bad_choices_end_before_any_data_is_read(data: Path, arguments: tuple[str, ...], sentence: str) -> None:
    (data / "scenes" / "a.tif").write_bytes(b"")  # who reads it finds another fault
    before = sorted(data.iterdir())
    result = train(data, *arguments)
    assert result.exit_code == 1 and result.stdout == ""
    assert sentence in result.stderr and result.stderr.splitlines()[-1].startswith("landseg: ")
    assert sorted(data.iterdir()) == before


def test_twin_the_same_run_without_a_bad_choice_reads_the_data(data: Path) -> None:
    (data / "scenes" / "a.tif").write_bytes(b"")
    result = train(data)
    assert result.exit_code == 1 and "a.tif" in result.stderr


def test_encoder_weights_come_from_a_file(data: Path) -> None:
    torch.manual_seed(3)
    donor = build_network("fcn32s", encoder="resnet18", bands=3, channels=2).get_submodule("encoder.body")
    torch.save(donor.state_dict(), data / "weights.pt")
    result = train(data, "--arch", "fcn32s", "--encoder", "resnet18", "--encoder-weights", data / "weights.pt")
    assert result.exit_code == 0, result.output
    model = load_model(data / "m.safetensors")
    assert model.card.training is not None and model.card.training.started_from == "weights.pt"
    learned = model.network.get_submodule("encoder.body").state_dict()["conv1.weight"]
    near = (learned - donor.state_dict()["conv1.weight"]).abs().max()
    torch.manual_seed(0)
    fresh = build_network("fcn32s", encoder="resnet18", bands=3, channels=2).get_submodule("encoder.body")
    assert near < 0.01 < (learned - fresh.state_dict()["conv1.weight"]).abs().max()  # twin: a random start


def test_what_is_left_out_stays_the_recipes(data: Path) -> None:
    recipe = replace(read_recipe(data / "recipe.toml"), encoder_weights="imagenet")
    changed = NetworkChoice(options={"rates": (2, 4)}).in_place_of(recipe)
    assert changed.options == {"decoder_channels": 16, "image_pooling": True, "rates": (2, 4)}
    assert NetworkChoice().in_place_of(recipe) == recipe
    other = NetworkChoice(encoder="resnet18").in_place_of(recipe)
    assert (other.encoder_weights, other.options) == ("imagenet", recipe.options)
    assert NetworkChoice(encoder_weights="none").in_place_of(recipe).encoder_weights is None
    (data / "w.pt").touch()
    filed = replace(recipe, encoder_weights=str(data / "w.pt"))
    with pytest.raises(LandsegError, match="are those of efficientnet-lite0, not of resnet18: say"):
        NetworkChoice(encoder="resnet18").in_place_of(filed)
    wide = replace(recipe, arch="fcn32s", encoder="vgg16", options={"padding": 100})
    assert NetworkChoice(encoder="resnet18").in_place_of(wide).options == {}  # on vgg16 it is another network


def test_options_are_written_as_in_toml() -> None:
    texts = ["a=16", "b = true", "c=[6, 12]", "norm=group", 'd="with space"', "e=2.5"]
    assert read_options(texts) == {
        "a": 16, "b": True, "c": (6, 12), "norm": "group", "d": "with space", "e": 2.5,
    }  # fmt: skip


def test_minutes_stand_in_for_steps(data: Path) -> None:
    _with("steps = 2", "steps = 100000")(data)
    assert train(data, "--time-budget", "0.005").exit_code == 0
    card = load_model(data / "m.safetensors").card
    assert card.training is not None and "steps" not in card.training.options["fit"]


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_every_architecture_is_built_by_name_saved_loaded_and_predicts(
    arch: str, tmp_path: Path, rgb_raster: Path
) -> None:
    encoder = (ARCHITECTURES[arch].encoders or ("efficientnet-lite0",))[0]
    taken = architecture(arch, encoder).options
    narrow: dict[str, Any] = {name: value for name, value in NARROW.items() if name in taken}
    if arch == "unet":
        narrow["decoder_channels"] = (16,) * 5
    path = tmp_path / "m.safetensors"
    bands = tuple(Band(name, name, 100.0, 50.0) for name in RGB)
    save_small_model(path, name=arch, arch=arch, encoder=encoder, options=narrow, bands=bands, dtypes=("uint8",))
    assert load_model(path).card.arch == arch
    result = run("predict", rgb_raster, "-o", tmp_path / "map.tif", "--model", path, "--precision", "fp32")
    assert result.exit_code == 0, result.output
    with rasterio.open(rgb_raster) as source, rasterio.open(tmp_path / "map.tif") as labels:
        assert (labels.transform, labels.shape) == (source.transform, source.shape)
        assert set(np.unique(labels.read(1))) <= {1, 2}


def test_networks_can_be_listed_with_their_options() -> None:
    record = json.loads(run("models", "--networks", "--json").stdout)
    assert record == json.loads(json.dumps(network_facts()))
    assert [entry["name"] for entry in record["architectures"]] == list(NETWORKS)
    assert record["encoders"] == [*ENCODERS, "timm:NAME"]
    assert all(entry["paper"] for entry in record["architectures"])
    entries = [one for entry in NETWORKS.values() for one in (entry, entry.on_vgg16) if one is not None]
    taken = {name for one in entries for name in one.options}
    assert set(record["options"]) == taken, "every option has its meaning, and none is left over"
    assert [name for name in UPSAMPLERS if name not in record["options"]["upsampler"]] == []
    words = run("models", "--networks").stdout
    for part in ("deeplab-v2: ", "option rates=[6, 12, 18]", "on vgg16 padding=1", "encoder vgg16", "mobilenet-v2"):
        assert part in words


def test_what_is_listed_can_be_given(data: Path) -> None:
    """Every option as it is printed reads back as the default, which the check takes."""
    recipe: Any = read_recipe(data / "recipe.toml")
    arch, seen = "", 0
    for line in run("models", "--networks").stdout.splitlines():
        if not line.startswith(" "):
            arch = line.partition(":")[0]
        elif line.startswith("  option ") and "=" in line:
            options = read_options([line.removeprefix("  option ")])
            entry = NETWORKS[arch]
            assert options.items() <= dict(entry.options).items()
            encoder = (entry.encoders or ("resnet18",))[0]
            task = detector_task(arch) or recipe.task
            check_network(replace(recipe, arch=arch, task=task, encoder=encoder, options=options))
            seen += 1
    assert seen > 20
