"""The option ``upsampler``: how it begins, what it learns, how it travels with the model, and what it warns of."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from torch import nn
from typer.testing import CliRunner

from landseg.models.card import Band
from landseg.models.file import load_model
from landseg.models.layers.upconv import UPCONVOLUTIONS, uneven
from landseg.models.layers.upsample import AlignedUpsample
from landseg.models.layers.upsampler import UPSAMPLERS, Cascade, upsampler
from landseg.models.networks.build import ARCHITECTURES, architecture, build_network
from landseg.predict import predict
from tests.parts.networks import LEARNT, SMALLEST, small
from tests.parts.sample_models import save_small_model
from tests.parts.small_runs import RECIPE
from tests.parts.streamed import difference

KINDS = [(kind, halfway) for kind in UPCONVOLUTIONS for halfway in (False, True) if kind != "unpool" or not halfway]


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


@pytest.mark.parametrize(("kind", "halfway"), KINDS)
def test_a_step_begins_as_aligned_resizing(kind: str, halfway: bool) -> None:
    x, like = noise(1, 3, 9, 8), torch.empty(1, 1, 18, 15)
    up = upsampler(kind, 3, factor=2, halfway=halfway).double()
    expected = AlignedUpsample(2, 0.5 if halfway else 0.0)(x, like)
    inside = (..., slice(4, -4), slice(4, -4))  # at the edges a convolution sees zeros
    assert difference(up(x, like).detach()[inside], expected[inside]) <= 1e-12
    other = AlignedUpsample(2, 0.0 if halfway else 0.5)(x, like)
    assert difference(up(x, like).detach()[inside], other[inside]) > 0.01  # twin: half a pixel beside


@pytest.mark.parametrize(("kind", "halfway"), KINDS)
@pytest.mark.parametrize("factor", [4, 8])
def test_steps_keep_planes_in_place(kind: str, halfway: bool, factor: int) -> None:
    """Linear interpolation in steps is centred at every phase: a slope comes out as the same slope."""
    units = 12
    at = factor * torch.arange(units, dtype=torch.float64) + ((factor - 1) / 2 if halfway else 0.0)
    x, like = at.expand(1, 2, units, units), torch.empty(1, 1, factor * units - 1, factor * units)
    inside = slice(4 * factor, -4 * factor)
    found = upsampler(kind, 2, factor=factor, halfway=halfway).double()(x, like).detach()
    assert found.shape == (1, 2, *like.shape[2:])
    pixels = torch.arange(factor * units, dtype=torch.float64)[inside]
    assert float((found[..., inside, inside] - pixels).abs().max()) <= 1e-9
    if halfway:  # twin: the steps of the other geometry
        moved = upsampler(kind, 2, factor=factor, halfway=False).double()(x, like).detach()
        assert float((moved[..., inside, inside] - pixels).abs().min()) > 1


def test_aligned_is_what_it_was() -> None:
    up = upsampler("aligned", 3, factor=16, halfway=True)
    assert isinstance(up, AlignedUpsample) and (up.factor, up.shift) == (16, 7.5)
    assert isinstance(upsampler("shuffle", 3, factor=1, halfway=False), AlignedUpsample)


@pytest.mark.parametrize(("arch", "encoder"), SMALLEST)
def test_without_the_option_nothing_is_drawn_or_stored(arch: str, encoder: str) -> None:
    assert architecture(arch, encoder).options["upsampler"] == "aligned"
    networks = []
    for options in ({}, {"upsampler": "aligned"}):
        torch.manual_seed(5)
        networks.append(small(arch, encoder, **options))
    one, two = (network.state_dict() for network in networks)
    assert one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)
    assert not any("up" in name.split(".")[0] for name in one)


def test_every_architecture_has_the_option() -> None:
    networks = [arch for arch in ARCHITECTURES.values() if not arch.fitted]
    entries = [entry for arch in networks for entry in (arch, arch.on_vgg16) if entry is not None]
    assert all(entry.options.get("upsampler") == "aligned" for entry in entries)
    assert UPSAMPLERS == ("aligned", "nearest", "bilinear", "fractional", "transposed", "shuffle", "unpool")


# All upsamplers in one architecture, two of them in all.
SOME = [case for case in LEARNT if case[0] == "deeplab-v3plus" or case[2]["upsampler"] in ("transposed", "shuffle")]


@pytest.mark.parametrize(("arch", "encoder", "options"), SOME, ids=str)
def test_gradient_reaches_every_weight_of_the_upsampler(arch: str, encoder: str, options: dict[str, str]) -> None:
    torch.manual_seed(0)
    network = small(arch, encoder, **options).train()
    for module in network.modules():
        if isinstance(module, nn.Conv2d) and not module.weight.any():
            nn.init.normal_(module.weight, std=0.1)  # FCN's scores begin at zero, and so does all behind them
    network(torch.randn(2, 3, 64, 64)).square().mean().backward()
    learnt = [parameter for name, parameter in network.named_parameters() if name.startswith(("up", "to_low"))]
    assert learnt and all(p.grad is not None and bool(p.grad.abs().sum() > 0) for p in learnt)


def test_it_learns_what_resizing_cannot() -> None:
    """A sharp stripe at an odd pixel, from coarse units that know where it is."""
    torch.manual_seed(1)
    x = torch.zeros(1, 2, 8, 8)
    x[..., 4] = 1.0
    wanted = torch.zeros(1, 2, 32, 32)
    wanted[..., 17] = 1.0
    losses = {}
    for kind in ("aligned", "shuffle"):
        up = upsampler(kind, 2, factor=4, halfway=True)
        if isinstance(up, Cascade):
            optimiser = torch.optim.Adam(up.parameters(), 0.03)
            for _ in range(120):
                optimiser.zero_grad()
                (up(x, wanted) - wanted).square().mean().backward()
                optimiser.step()
        losses[kind] = float((up(x, wanted).detach() - wanted).square().mean())
    assert losses["shuffle"] < 0.1 * losses["aligned"]


RGB = tuple(Band(name, name, 100.0, 50.0) for name in ("red", "green", "blue"))


@pytest.mark.parametrize("kind", ["nearest", "fractional", "transposed", "shuffle", "unpool"])
def test_it_travels_with_the_model_and_predicts_in_rows_as_in_windows(
    kind: str, tmp_path: Path, write_raster: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "model.safetensors"
    save_small_model(path, bands=RGB, dtypes=("uint8",), encoder="resnet18", options={"upsampler": kind})
    caplog.clear()
    model = load_model(path)
    assert not caplog.records  # said when it was built to learn, never again
    assert model.card.options == {"upsampler": kind} and model.card.receptive_field.exact
    assert isinstance(model.network.upsample, Cascade) and len(model.network.upsample.steps) == 5
    pixels = np.random.default_rng(2).integers(0, 255, (3, 90, 900), np.uint8)
    source, made = write_raster(pixels, "scene.tif"), []
    for engine, options in (("stream", {}), ("windows", {"window": 800})):
        predict(source, tmp_path / f"{engine}.tif", model=path, engine=engine, device="cpu", precision="fp32",
                quiet=True, **options)  # fmt: skip
        with rasterio.open(tmp_path / f"{engine}.tif") as raster:
            made.append(raster.read(1))
    assert (made[0] != made[1]).mean() < 1e-4


def test_an_uneven_network_is_warned_of_once(caplog: pytest.LogCaptureFixture) -> None:
    common = {"encoder": "resnet18", "bands": 3, "channels": 2, "decoder_channels": 4}
    with caplog.at_level(logging.WARNING):
        for kind in ("aligned", "nearest", "bilinear", "shuffle"):
            build_network("deeplab-v3plus", upsampler=kind, **common)  # type: ignore[arg-type]
        for kind in ("transposed", "shuffle"):
            build_network("fcn32s", encoder="vgg16", bands=3, channels=2, head_channels=4, upsampler=kind)
        assert not caplog.records
        network = build_network("deeplab-v3plus", upsampler="transposed", **common)  # type: ignore[arg-type]
    (record,) = caplog.records  # for four steps
    assert record.name.startswith("landseg.") and record.levelno == logging.WARNING
    assert "a kernel of 3 with stride 2 covers pixels 1 or 2 times" in record.getMessage()
    assert '"bilinear" and "nearest" cannot' in record.getMessage()
    assert uneven(network) and not uneven(upsampler("transposed", 2, factor=8, halfway=True))


def test_the_command_says_so_once(tmp_path: Path, write_raster: Callable[..., Path]) -> None:
    from landseg.cli.main import app

    image = np.full((64, 96), 30, np.uint8)
    image[:, 48:] = 220
    (tmp_path / "scenes").mkdir()
    (tmp_path / "labels").mkdir()
    write_raster(image, "scenes/a.tif")
    write_raster(np.where(image > 100, 6, 4).astype(np.uint8), "labels/a_labels.tif")
    text = RECIPE[: RECIPE.rindex("[[sources]]")].replace('encoder = "resnet18"', 'encoder = "resnet18"\n{}')
    said = {}
    for kind in ("transposed", "bilinear"):
        (tmp_path / "recipe.toml").write_text(text.replace("{}", f'upsampler = "{kind}"'))
        output = tmp_path / f"{kind}.safetensors"
        arguments = ["train", str(tmp_path / "recipe.toml"), "-o", str(output), "--data", str(tmp_path)]
        result = CliRunner().invoke(app, [*arguments, "--time-budget", "0.001", "--json"])
        assert result.exit_code == 0, result.stderr
        said[kind] = [line for line in result.stderr.splitlines() if "covers pixels" in line]
        info = CliRunner().invoke(app, ["info", str(output), "--receptive-field"])
        assert info.exit_code == 0 and "covers pixels" not in info.stderr
        assert f"(upsampler {kind})" in info.stdout and "exact, equal to the whole image" in info.stdout
    assert said["bilinear"] == [] and len(said["transposed"]) == 1
    assert said["transposed"][0].startswith("warning: fcn32s on resnet18 with upsampler 'transposed'")
