"""What a run shows: a line on standard error, curves, and samples of its predictions."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from landseg.classes import IGNORE_INDEX, ClassMap
from landseg.training.loop.curves import draw_curves, read_rows
from landseg.training.loop.progress import TrainingProgress
from landseg.training.loop.sample_pictures import SamplePictures, shown_channels
from tests.parts.training import SCALING, Batch, Judge, train

CLASSES = ClassMap.from_json(
    {
        "classes": [
            {"value": 1, "name": "dark", "color": "#102030"},
            {"value": 2, "name": "bright", "color": "#f0e0d0"},
        ]
    }
)


def size_of(path: Path) -> tuple[int, int]:
    with Image.open(path) as picture:
        return picture.size


def test_what_is_said_meanwhile_goes_to_standard_error(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("landseg.training.loop.fit.FEW_STEPS", 0)
    monkeypatch.setattr("landseg.runtime.progress._PAUSE_S", 0)
    train(tmp_path, validate=Judge(0.25, 0.5), validate_every=6, quiet=False)
    out, err = capfd.readouterr()
    lines = err.splitlines()
    assert out == "" and len(lines) == 12  # nothing of Lightning's
    assert lines[0].startswith("step 1/12  loss 0.") and "mIoU" not in lines[0] and lines[0].endswith(" left")
    assert "mIoU 0.250" in lines[7] and lines[-1].endswith("0 s left")
    train(tmp_path, validate=Judge(0.25, 0.5), validate_every=6)
    assert capfd.readouterr() == ("", "")


def test_on_a_terminal_one_line_is_redrawn() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    stream = Terminal()
    progress = TrainingProgress(None, stream=stream)
    progress.step(1, seconds=30.0, done=0.25, loss=2.0, pixels=6e7)
    progress.step(2, seconds=60.0, done=0.5, loss=1.0, pixels=12e7)  # too soon to be drawn
    progress.validated("mean_iou", 0.5)
    progress.step(4, seconds=120.0, done=1.0, loss=1.0, pixels=24e7)
    progress.close()
    shown = stream.getvalue().split("\r")[1:]
    assert shown[0].startswith("step 1  loss 2.000  2.00 Mpx/s  1 min 30 s left") and len(shown) == 2
    assert "loss 1.902  mIoU 0.500" in shown[1] and shown[1].endswith("\n")


def test_long_logs_are_averaged_down_and_cut_rows_left_out(tmp_path: Path) -> None:
    lines = ["step,seconds,loss,learning_rate,gradient_norm", *(f"{n},{n / 2},{n % 2},0.1,1" for n in range(1, 2501))]
    (tmp_path / "log.csv").write_text("\n".join(lines) + "\n2501,12")
    columns, found = read_rows(tmp_path / "log.csv", points=1000)
    assert columns[2] == "loss" and found.shape == (834, 5) and found[0, 0] == 2  # the mean of steps 1, 2, 3
    picture = draw_curves(tmp_path)
    assert picture is not None and size_of(picture)[0] > 600
    assert draw_curves(tmp_path / "nothing") is None


def test_samples_show_image_truth_and_prediction(tmp_path: Path) -> None:
    class Right(nn.Module):
        def __init__(self, right: bool) -> None:
            super().__init__()
            self.weight, self.right = nn.Parameter(torch.zeros(1)), right

        def forward(self, x: Tensor) -> Tensor:
            bright = (x[:, :1] > 0.5) == self.right
            return torch.cat([(~bright).float(), bright.float()], dim=1)

    target = torch.zeros(2, 16, 16, dtype=torch.uint8)
    target[:, :, 8:] = 1
    target[0, 0] = IGNORE_INDEX
    pixels = (20 + 60 * (target == 1).float())[:, None].repeat(1, 3, 1, 1)
    batch = Batch(pixels, torch.ones(2, 16, 16, dtype=torch.bool), {"class": target}, ("a", "b"))
    batch.valid[1, 0] = False
    drawn = SamplePictures(batch, CLASSES, SCALING).draw(Right(True).eval())
    for (image, _, truth, _, predicted), valid in zip(drawn, batch.valid, strict=True):
        assert predicted[1:, :8].reshape(-1, 3).tolist() == [[0x10, 0x20, 0x30]] * 120
        assert (predicted[1:] == truth[1:]).all() and image[5, 0].max() < image[5, -1].min()
        assert (predicted[0] == 233).any() == (not valid[0, 0])
    assert (drawn[0][2][0] == truth.dtype.type(233)).any() and drawn[0][2][0, 0].tolist() == [233, 233, 230]
    twin = SamplePictures(batch, CLASSES, SCALING).draw(Right(False).eval())
    assert (twin[0][4][1:] != twin[0][2][1:]).any()
    train(tmp_path, samples=SamplePictures(batch, CLASSES, SCALING), steps=2)
    width, height = size_of(tmp_path / "samples.png")
    rows = 22 + 2 * (16 + 6)
    assert width > 3 * 16 + 2 * 6 and height > rows
    legend = np.asarray(Image.open(tmp_path / "samples.png"))[rows:].reshape(-1, 3).tolist()
    for color in ([0x10, 0x20, 0x30], [0xF0, 0xE0, 0xD0], [233, 233, 230]):
        assert legend.count(color) > 200, "a square of the class's colour, and one of what is unknown"


@pytest.mark.parametrize(("eight_bit", "expected"), [(True, [0, 128, 255]), (False, [0, 128, 255])])
def test_samples_have_one_stretch(eight_bit: bool, expected: list[int]) -> None:
    """Crops of one picture can be compared: a dark one stays darker than a bright one."""
    dark, bright = (torch.linspace(low, high, 64).view(1, 1, 8, 8) for low, high in ((0, 128), (127, 255)))
    pixels, target = torch.cat([dark, bright]).repeat(1, 3, 1, 1), torch.zeros(2, 8, 8, dtype=torch.uint8)
    batch = Batch(pixels, torch.ones(2, 8, 8, dtype=torch.bool), {"class": target}, ("a", "b"))
    pictures = SamplePictures(batch, CLASSES, SCALING, eight_bit=eight_bit)
    network = nn.Conv2d(3, 2, 1)
    first, second = (row[0] for row in pictures.draw(network))
    found = [first[0, 0, 0], first[-1, -1, 0], second[-1, -1, 0]]
    assert np.allclose(found, expected, atol=4)
    alone = SamplePictures(Batch(pixels[:1], batch.valid[:1], {"class": target[:1]}, ("a",)), CLASSES, SCALING)
    assert alone.draw(network)[0][0][-1, -1, 0] == 255, "by itself it would be as bright"


def test_samples_show_true_colour_by_the_bands_names() -> None:
    assert shown_channels(["blue", "green", "red", "nir"]) == (2, 1, 0)
    assert shown_channels(["B02", "B03", "B04"]) == (0, 1, 2)


def test_every_class_of_a_validation_is_drawn() -> None:
    from matplotlib.figure import Figure

    from landseg.training.loop.curves import _draw_validations

    names = ["step", "seconds", "mean_iou", "pixel_accuracy", *(f"iou_{number}" for number in range(30))]
    panel = Figure().subplots()
    rows = np.arange(2 * len(names), dtype=np.float64).reshape(2, -1)
    _draw_validations(panel, names, rows)
    texts = [text.get_text() for text in panel.get_legend().get_texts()]
    assert texts[:2] == ["mean iou", "pixel accuracy"] and texts[2:] == [f"iou {number}" for number in range(30)]
    assert [line.get_linewidth() for line in panel.lines] == [2] + 31 * [1]
    assert len(panel.lines) == 32 and panel.lines[-1].get_ydata().tolist() == rows[:, -1].tolist()
    looks = {(line.get_color(), line.get_linestyle()) for line in panel.lines}
    assert len(looks) == 32
