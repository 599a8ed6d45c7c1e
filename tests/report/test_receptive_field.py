"""What a network sees: the table of its layers against gradients, and the picture of it, pixel by pixel."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import fx, nn

from landseg.errors import OutputError
from landseg.geo.grid import Rect
from landseg.geo.rasters.mosaic import open_source
from landseg.inference.match import match_raster
from landseg.models.file import load_model
from landseg.models.graph.field import LayerField, ReceptiveField
from landseg.models.graph.receptive_field import evidence_at, receptive_field, side_holding
from landseg.models.networks.build import architecture, build_network
from landseg.report.field_report import _measure, _pixel, _window, effective_field
from landseg.report.receptive_field import (
    COLORS,
    EDGE,
    OUTSIDE,
    PANEL,
    FieldImagery,
    Heat,
    draw_field,
    picture_side,
)
from tests.parts.evidence import _Even, centroid, span, thin
from tests.parts.sample_models import save_small_model

FAMILIES = [
    ("deeplab-v3plus", "efficientnet-lite0"),
    ("deeplab-v3", "efficientnet-lite0"),
    ("deeplab-v2", "efficientnet-lite0"),
    ("deeplab-largefov", "vgg16"),
    ("fcn32s", "resnet18"),
    ("fcn8s", "vgg16"),
    ("fpn", "resnet18"),
    ("unet", "resnet18"),
]
NARROW = {"head_channels": 8, "decoder_channels": 8, "pyramid_channels": 8}


def small(arch: str, encoder: str) -> nn.Module:
    taken = architecture(arch, encoder).options
    narrow: dict[str, Any] = {name: value for name, value in NARROW.items() if name in taken}
    if arch == "unet":
        narrow["decoder_channels"] = (8,) * 5
    return build_network(arch, encoder=encoder, bands=1, channels=2, **narrow)


class _Watched(_Even):
    """Runs a graph and keeps every value under the name that the table of layers has for it."""

    def __init__(self, graph: fx.GraphModule) -> None:
        super().__init__(graph)
        self.values: dict[str, torch.Tensor] = {}

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        self.values[str(n.target) if n.op == "call_module" else n.name] = value
        return value


def check_layers(probe: fx.GraphModule, field: ReceptiveField) -> int:
    """At all phases of the stride, the evidence of each layer's units is as wide and where the table says."""
    assert field.radius is not None
    start = -(-(field.radius + 40) // field.stride) * field.stride
    x = torch.full((1, 1, 1, start + field.stride + field.radius + 40), 1e-3, dtype=torch.float64, requires_grad=True)
    watched = _Watched(probe)
    watched.run(x)
    for layer in field.layers:
        assert layer.size is not None and layer.offset is not None
        units, first = round(field.stride / layer.stride), round(start / layer.stride)
        low, high = 0.0, 0.0
        for unit in range(first, first + units):
            (gradient,) = torch.autograd.grad(watched.values[layer.name][0, :, 0, unit].sum(), x, retain_graph=True)
            weights, place = gradient.abs()[0, 0, 0], layer.stride * unit
            assert abs(centroid(weights) - place - layer.offset) < 0.1, layer.name
            left, right = span(weights)
            low, high = min(low, left - place), max(high, right - place)
        assert high - low + 1 == layer.size, f"{layer.name}: {layer.size} stated, {high - low + 1} measured"
    return len(field.layers)


@pytest.mark.parametrize(("arch", "encoder"), FAMILIES)
def test_every_layer_sees_what_the_table_says(arch: str, encoder: str) -> None:
    network = small(arch, encoder)
    field = receptive_field(network)
    assert check_layers(thin(network), field) >= 10
    assert field.layers[-1].size == field.size and field.layers[-1].stride == 1


@pytest.mark.parametrize(("layer", "change"), [("encoder.body.layer2.0.conv2", "dilation"), ("upsample", "shift")])
def test_twin_a_layer_that_sees_otherwise_is_found_out(layer: str, change: str) -> None:
    network = small("fcn32s", "resnet18")
    field = receptive_field(network)
    probe = thin(network)
    wrong = probe.get_submodule(layer)
    if change == "dilation":
        wrong.dilation, wrong.before, wrong.after = 2, 2, 2  # type: ignore[assignment]
    else:
        wrong.shift = 15.5  # type: ignore[assignment]
    with pytest.raises(AssertionError):
        check_layers(probe, field)


def _field(*sizes: int, unbounded_by: str | None = None) -> ReceptiveField:
    layers = tuple(LayerField(f"conv{size}", "Conv2d", size, 1.0, 0.0) for size in sizes)
    size = None if unbounded_by else sizes[-1]
    return ReceptiveField(size, 1, 0.0, None if size is None else size // 2, unbounded_by, layers)


SHOWN = (12, 60)  # what its rows look like, dimmed


@pytest.fixture
def scene(write_raster: Callable[..., Path]) -> Path:
    """A grey raster of 60 x 40 px, every third row dark, with one white pixel at column 20, row 10."""
    pixels = np.full((3, 40, 60), 100, np.uint8)
    pixels[:, ::3] = 20
    pixels[:, 10, 20] = 255
    return write_raster(pixels, photometric="RGB")


def _ground(scene: Path, field: ReceptiveField, column: int, row: int) -> FieldImagery:
    with open_source(scene) as source:
        return FieldImagery.of(source, (row, column), picture_side(field))


def _drawn(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        assert picture.format == "PNG" and picture.size == (EDGE + PANEL, EDGE)
        return np.asarray(picture.convert("RGB"))


def _outline(picture: np.ndarray, color: tuple[int, int, int]) -> Rect:
    """The rectangle that encloses every pixel of a colour in the drawing."""
    rows, columns = np.nonzero((picture[:, :EDGE] == color).all(-1))
    return Rect(int(rows.min()), int(columns.min()), int(np.ptp(rows)) + 1, int(np.ptp(columns)) + 1)


def test_squares_stand_around_the_pixel_on_the_rasters_own_pixels(tmp_path: Path, scene: Path) -> None:
    field = _field(3, 21)
    assert picture_side(field) == 25  # a pixel of the raster is 36 of the picture
    picture = _drawn(draw_field(field, tmp_path / "f.png", ground=_ground(scene, field, 20, 10)))
    assert _outline(picture, COLORS[0]) == Rect(450 - 54, 450 - 54, 108, 108)
    assert _outline(picture, COLORS[1]) == Rect(450 - 378, 450 - 378, 756, 756)
    assert (picture[432:468, 432:468] == 153).all()  # the white pixel, dimmed, in the very middle
    assert (picture[470:480, 470:480] == 60).all()
    legend = picture[:, EDGE:]
    assert (legend == COLORS[0]).all(-1).any() and (legend == COLORS[1]).all(-1).any()


def test_twin_a_pixel_beside_is_not_in_the_middle(tmp_path: Path, scene: Path) -> None:
    field = _field(3, 21)
    picture = _drawn(draw_field(field, tmp_path / "f.png", ground=_ground(scene, field, 21, 10)))
    assert (picture[432:468, 432:468] == 60).all() and (picture[440:460, 405:425] == 153).all()


def test_at_the_edge_the_squares_stay_and_the_raster_ends(tmp_path: Path, scene: Path) -> None:
    field = _field(3, 21)
    ground = _ground(scene, field, 0, 39)
    picture = _drawn(draw_field(field, tmp_path / "f.png", ground=ground))
    assert ground.beyond and _outline(picture, COLORS[1]) == Rect(72, 72, 756, 756)
    assert (picture[100:300, 100:300] == OUTSIDE).all() and (picture[520:800, 520:800] == OUTSIDE).all()
    assert np.isin(picture[100:300, 530:800], SHOWN).all()  # above and to the right of the pixel there is imagery
    assert (picture[450, 432 - 20] == OUTSIDE).all() and (picture[440, 440] == 12).all()


def test_a_field_larger_than_the_raster_is_drawn_whole(tmp_path: Path, scene: Path) -> None:
    field = _field(3, 21, 301)
    picture = _drawn(draw_field(field, tmp_path / "f.png", ground=_ground(scene, field, 30, 20)))
    side = picture_side(field)
    square = _outline(picture, COLORS[2])
    assert abs(square.height - 301 * EDGE / side) < 2 and square.top == square.left == EDGE - square.bottom
    inside = np.isin(picture[:, :EDGE], SHOWN).all(-1)
    assert 0.7 < inside.sum() / (60 * 40 * (EDGE / side) ** 2) <= 1


def test_without_a_raster_the_ground_is_empty(tmp_path: Path) -> None:
    picture = _drawn(draw_field(_field(3, 9), tmp_path / "f.png"))
    assert (picture[20, 20] == OUTSIDE).all() and _outline(picture, COLORS[1]).height == round(9 * EDGE / 15)


def test_an_unbounded_network_says_so_and_shows_its_largest_bounded_layer(tmp_path: Path) -> None:
    bounded, unbounded = _field(3, 21), _field(3, 21, unbounded_by="pool (a layer that reads the whole input)")
    pictures = [_drawn(draw_field(f, tmp_path / "f.png")) for f in (bounded, unbounded)]
    assert (pictures[0][:, :EDGE] == pictures[1][:, :EDGE]).all()
    different = (pictures[0][:, EDGE:] != pictures[1][:, EDGE:]).any(-1)
    assert different.any()  # more is written below the same squares
    (tmp_path / "f.png").unlink()
    nothing = ReceptiveField(None, 1, 0.0, None, "attention", ())
    assert _drawn(draw_field(nothing, tmp_path / "f.png")).shape == (EDGE, EDGE + PANEL, 3)


def _tinted(picture: np.ndarray) -> Rect:
    rows, columns = np.nonzero(picture[:, :EDGE, 0].astype(int) - picture[:, :EDGE, 1] > 60)
    return Rect(int(rows.min()), int(columns.min()), int(np.ptp(rows)) + 1, int(np.ptp(columns)) + 1)


@pytest.mark.parametrize("turned", [False, True], ids=["as it is", "twin: turned"])
def test_what_is_looked_at_is_tinted_where_it_lies(tmp_path: Path, scene: Path, turned: bool) -> None:
    field = ReceptiveField(21, 1, 0.0, 10, None, (LayerField("c", "Conv2d", 21, 1.0, 0.0),))
    weights = np.zeros((21, 21), np.float32)
    weights[10 - 5, 10 + 3] = 1  # five rows up, three columns to the right; drawn as 3 x 3 pixels
    heat = Heat(weights.T if turned else weights, Rect(10 - 10, 20 - 10, 21, 21), "water", 11, 11)
    picture = _drawn(draw_field(field, tmp_path / "f.png", ground=_ground(scene, field, 20, 10), heat=heat))
    right = Rect((12 - 5 - 1) * 36, (12 + 3 - 1) * 36, 108, 108)
    assert (_tinted(picture) == right) is not turned


@pytest.mark.parametrize(
    ("name", "says"),
    [("f.jpg", "ends in .png, got 'f.jpg': use f.png"), ("no/f.png", "has no folder"), ("there.png", "--overwrite")],
)
def test_pictures_that_cannot_be_are_refused(tmp_path: Path, name: str, says: str) -> None:
    (tmp_path / "there.png").touch()
    with pytest.raises(OutputError, match=says):
        effective_field(draw=tmp_path / name)
    assert (tmp_path / "there.png").stat().st_size == 0


def test_a_picture_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "f.png").mkdir()
    with pytest.raises(OutputError, match=r"cannot write .*f\.png"):
        draw_field(_field(3), tmp_path / "f.png")
    assert [path.name for path in tmp_path.iterdir()] == ["f.png"]


def test_evidence_is_the_gradient_of_the_top_class() -> None:
    network = nn.Conv2d(2, 3, 3, padding=1).requires_grad_(False)
    network.bias = nn.Parameter(torch.tensor([0.0, 50.0, 0.0]), requires_grad=False)
    weights, best = evidence_at(network, torch.zeros(1, 2, 7, 9), (3, 5))
    assert best == 1 and weights.shape == (7, 9)
    assert np.allclose(weights[2:5, 4:7], network.weight[1].abs().sum(0).numpy())
    weights[2:5, 4:7] = 0
    assert not weights.any()


def test_the_square_that_holds_a_share() -> None:
    weights = np.zeros((9, 9), np.float32)
    weights[4, 4], weights[2, 4], weights[4, 8] = 5, 4, 1
    assert [side_holding(weights, (4, 4), share) for share in (0.5, 0.9, 1.0)] == [1, 5, 9]
    assert side_holding(weights, (0, 0), 1.0) == 17  # what sticks out counts


def test_a_window_on_the_stride_has_the_whole_images_evidence(
    tmp_path: Path, write_raster: Callable[..., Path], rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_small_model(tmp_path / "m.safetensors", encoder="resnet18", dtypes=("uint8",))
    model = load_model(tmp_path / "m.safetensors")
    field = receptive_field(model.network)
    raster = write_raster(rng.integers(0, 255, (2, 620, 60)).astype("uint8"))
    with match_raster(str(raster), model.card) as matched:
        at = _pixel(matched.network, (29, 311))
        _, heat = _measure(model, field, matched.network, at)
        assert heat.rect.height < 620 and heat.rect.top % field.stride == 0
        monkeypatch.setattr("landseg.report.field_report._window", lambda field, raster, at: raster)
        _, whole = _measure(model, field, matched.network, at)
        off = _window(field, matched.network.grid.rect, at)
        monkeypatch.setattr(
            "landseg.report.field_report._window", lambda *_: Rect(off.top + 8, 0, off.height - 8, 60)
        )
        _, twin = _measure(model, field, matched.network, at)
    part = whole.weights[heat.rect.slices]
    scale = float(part.max())
    assert np.abs(part - heat.weights).max() < 1e-4 * scale and heat.class_name == whole.class_name
    assert np.abs(part[8:] - twin.weights).max() > 1e-2 * scale
