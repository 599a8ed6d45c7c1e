"""Reports over several scenes, and those of the shipped model, in a real browser without a network."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import rasterio
from PIL import Image
from rasterio.windows import Window

from landseg.evaluate import evaluate
from landseg.predict import predict
from landseg.report.html.report import report_html
from tests.parts.browser import Page, assert_quiet, framed, opened, state
from tests.parts.report import make_scenes

LAYERS = ("image", "confidence", "truth", "prediction", "error")


@pytest.fixture
def two(chromium: Page, tmp_path: Path) -> Iterator[Page]:
    """A report over two scenes."""
    found, maps = make_scenes()
    (tmp_path / "two.html").write_text(report_html(found, maps), encoding="utf-8")
    yield opened(chromium, tmp_path / "two.html")
    assert_quiet(chromium)


def drawn(page: Page) -> int:
    """How many pictures the map holds."""
    count: int = page.run("document.querySelectorAll('#map .leaflet-image-layer').length")
    return count


def test_the_chooser_switches_scenes_by_keyboard(two: Page) -> None:
    assert two.run("document.querySelector('label[for=scene]').textContent") == "Scene"
    first = state(two)
    assert first["scene"] == "town.tif" and framed(two) == ["3"]
    two.click('[data-layer="error"][data-kind="shown"]')
    before = drawn(two)
    two.run("document.querySelector('#scene').focus()")
    two.press("ArrowDown")
    two.wait_for("landseg.state().scene !== 'town.tif'")
    second = state(two)
    assert second["scene"] == "<b>village & co.tif" and framed(two) == ["1", "2"]
    assert second["shown"] == first["shown"] | {"error": {**second["shown"]["error"], "on": True}}
    assert second["center"] == pytest.approx([-100, 30], abs=0.5)  # the middle of 200 x 60 pixels
    assert drawn(two) == before + before // 2  # one more crop a layer, and nothing of the other scene
    two.run("document.querySelector('#map').dispatchEvent(new MouseEvent('mousemove', {clientX: 500, clientY: 500}))")
    assert "village" in two.run("document.querySelector('#map').getAttribute('aria-label')")
    two.click("#compare")
    assert state(two)["shown"]["truth"]["clip"]


def test_a_worst_window_switches_the_scene(two: Page) -> None:
    sizes = two.run("Array.from(document.querySelectorAll('img[data-crop]')).map((i) => i.naturalWidth)")
    assert sizes == [32] * 12  # four layers of three windows, of either scene
    two.click(".worst li:nth-child(1) button")
    after = state(two)
    assert after["scene"] != "town.tif" and after["center"] == pytest.approx([-166, 26], abs=0.5)
    assert two.run("document.querySelector('#scene').value") == "1"
    assert two.run("document.activeElement.id") == "map"
    two.click(".worst li:nth-child(3) button")
    after = state(two)
    assert after["scene"] == "town.tif" and after["center"] == pytest.approx([-32, 48], abs=0.5)
    assert two.run("document.querySelector('#scene').value") == "0" and framed(two) == ["3"]


def test_the_chooser_fits_a_phone(two: Page) -> None:
    two.size(320, 700, phone=True)
    two.run("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(0))))")
    two.run("window.edge = document.querySelector('#scene').getBoundingClientRect()")
    right, height = two.run("[edge.right, edge.height]")
    assert right <= 320 and height >= 38 and two.run("document.documentElement.scrollWidth") <= 320


@pytest.fixture(scope="module")
def kept_out(tmp_path_factory: pytest.TempPathFactory, sample_tiles: Path) -> Path:
    """A folder with the shipped model's map of the scene that it has not seen, in one piece and in two."""
    folder = tmp_path_factory.mktemp("kept_out")
    for file in (sample_tiles / "landcover" / "val").iterdir():
        shutil.copyfile(file, folder / file.name)
    predict(folder / "tile8_part4.jpg", folder / "map.tif", probs=folder / "probs.tif", device="cpu")
    parts = {"maps": "map.tif", "probs": "probs.tif", "images": "tile8_part4.jpg", "truth": "tile8_part4_labels.png"}
    for name, file in parts.items():
        (folder / name).mkdir()
        with rasterio.open(folder / file) as whole:
            for part, (left, width) in {"west": (0, 1000), "east": (1000, 1149)}.items():
                window = Window(left, 0, width, whole.height)
                size = {"width": width, "height": whole.height, "count": whole.count, "dtype": "uint8"}
                target = folder / name / f"{part}{'_labels' if name == 'truth' else ''}.tif"
                with rasterio.open(target, "w", driver="GTiff", nodata=whole.nodata, **size) as piece:
                    piece.write(whole.read(window=window))
                    piece.update_tags(**whole.tags())
    return folder


def seen(page: Page, path: Path) -> np.ndarray:
    """The map as it is painted, (h, w, 3)."""
    page.run("document.querySelector('#map').scrollIntoView({block: 'center', behavior: 'instant'})")
    page.run("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(0))))")
    page.picture(path)
    left, top, right, bottom = page.run(
        "(() => { const r = document.querySelector('#map').getBoundingClientRect();"
        "return [r.left, r.top, r.right, r.bottom].map(Math.round); })()"
    )
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))[max(0, top) : bottom, left:right].astype(int)


def check_everything(page: Page, folder: Path) -> None:
    """Clicks every layer, the swipe and a worst window, and looks whether the map changes each time."""
    page.wait_for("Array.from(document.images).every((image) => image.complete)")
    for layer in LAYERS:
        before, was = seen(page, folder / "before.png"), state(page)["shown"][layer]["on"]
        page.click(f'[data-layer="{layer}"][data-kind="shown"]')
        assert state(page)["shown"][layer]["on"] is not was
        assert np.abs(seen(page, folder / "after.png") - before).max() > 20, layer
        page.click(f'[data-layer="{layer}"][data-kind="shown"]')
    page.run("document.querySelector('#swipe').value = 50")
    page.click("#compare")
    before = seen(page, folder / "before.png")
    page.run("document.querySelector('#swipe').focus()")
    for _ in range(40):  # half a percent each
        page.press("ArrowRight")
    after = seen(page, folder / "after.png")
    middle = after.shape[1] // 2
    changed = (np.abs(after - before).max(2) > 20).any(0)
    assert changed[middle : middle + after.shape[1] // 6].any()  # what was prediction is truth now
    assert not changed[: middle - 40].any() and not changed[-after.shape[1] // 5 :].any()
    page.click("#compare")
    zoom = state(page)["zoom"]
    page.click(".worst li:nth-child(2) button")
    assert state(page)["zoom"] > zoom


@pytest.mark.slow
def test_the_report_of_the_shipped_model(chromium: Page, kept_out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(kept_out)
    report = kept_out / "one.html"
    found = evaluate("map.tif", "tile8_part4_labels.png", probs="probs.tif", report=report, image="tile8_part4.jpg")
    assert 0.3 < found.mean_iou < 0.7 and len(found.worst) == 12
    assert 1_000_000 < report.stat().st_size < 8_000_000
    page = opened(chromium, report)
    assert page.run("document.querySelector('#mean_iou').textContent") == f"{found.mean_iou:.3f}"
    assert len(framed(page)) == 12
    check_everything(page, kept_out)
    assert_quiet(page)


@pytest.mark.slow
def test_the_report_of_two_scenes_of_the_shipped_model(
    chromium: Page, kept_out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(kept_out)
    report = kept_out / "two.html"
    whole = evaluate("map.tif", "tile8_part4_labels.png", samples=0, tolerance=None, boundary=None)
    found = evaluate("maps", "truth", probs="probs", samples=50, report=report, image="images")
    assert np.array_equal(found.confusion, whole.confusion) and {one.scene for one in found.worst} == {0, 1}
    page = opened(chromium, report)
    assert state(page)["scene"] == "east.tif"
    check_everything(page, kept_out)
    page.run("document.querySelector('#scene').focus()")
    page.press("ArrowDown")
    page.wait_for("landseg.state().scene === 'west.tif'")
    page.click("#home")
    check_everything(page, kept_out)
    first = next(n for n, one in enumerate(found.worst, start=1) if one.scene == 0)
    page.click(f".worst li:nth-child({first}) button")
    assert state(page)["scene"] == "east.tif" and str(first) in framed(page)
    assert_quiet(page)


def test_twin_a_map_that_does_not_change_is_seen(two: Page, tmp_path: Path) -> None:
    two.run("document.querySelector('.leaflet-map-pane').style.visibility = 'hidden'")
    with pytest.raises(AssertionError, match="image"):
        check_everything(two, tmp_path)
