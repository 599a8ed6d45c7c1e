"""The report and the viewer in a real browser: everything is clicked, and nothing is complained of.

Needs a Chromium on the path, or named by $LANDSEG_CHROMIUM. In CI its absence is a failure.
"""

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from landseg.report.html.report import report_html
from landseg.report.viewer.server import Viewer
from tests.parts.browser import Page, assert_quiet, framed, opened, state
from tests.parts.report import make_evaluation, make_layers

LAYERS = ("image", "confidence", "truth", "prediction", "error")


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(report_html(make_evaluation(), [make_layers()]), encoding="utf-8")
    return path


@pytest.fixture
def page(chromium: Page, report: Path) -> Iterator[Page]:
    """The report, opened without a network on a desktop; afterwards nothing was complained of or asked for."""
    opened(chromium, report)
    yield chromium
    assert_quiet(chromium)


def test_every_layer_is_switched_and_faded(page: Page) -> None:
    for layer in LAYERS:
        before = state(page)["shown"][layer]["on"]
        page.click(f'[data-layer="{layer}"][data-kind="shown"]')
        assert state(page)["shown"][layer]["on"] is not before
        page.run(
            f'(() => {{ const e = document.querySelector(\'[data-layer="{layer}"][data-kind="opacity"]\');'
            "e.value = 40; e.dispatchEvent(new Event('input', {bubbles: true})); })()"
        )
        assert float(state(page)["shown"][layer]["opacity"]) == 0.4
        drawn = page.run(f"document.querySelectorAll('.leaflet-landseg-{layer}-pane img').length")
        assert (drawn > 0) is not before


def test_the_map_shows_pixels_where_they_are(page: Page, tmp_path: Path) -> None:
    """A pixel of the truth is painted in its class's colour, with an edge: classes are not blended."""
    for layer in ("image", "prediction", "truth"):
        page.click(f'[data-layer="{layer}"][data-kind="shown"]')
    page.click("#frames")
    page.run("void landseg.map.setView([-60.5, 96.5], 5, {animate: false})")  # 32 screen pixels a pixel
    page.run("document.querySelector('#map').scrollIntoView({block: 'center', behavior: 'instant'})")
    page.wait_for("Array.from(document.querySelectorAll('#map img')).every((i) => i.complete)")
    page.run(
        "(() => { const e = document.querySelector('[data-layer=truth][data-kind=opacity]');"
        "e.value = 100; e.dispatchEvent(new Event('input', {bubbles: true})); })()"
    )
    edge = json.loads(page.run("JSON.stringify(document.querySelector('#map').getBoundingClientRect())"))
    page.picture(tmp_path / "map.png")
    seen = np.asarray(Image.open(tmp_path / "map.png").convert("RGB")).astype(int)
    middle = (round(edge["top"] + edge["height"] / 2), round(edge["left"] + edge["width"] / 2))
    truth = make_layers().overview.truth
    colors = {index: figures.color for index, figures in enumerate(make_evaluation().classes)}
    for row in range(-5, 6):
        for column in range(-7, 8):
            at = seen[middle[0] + 32 * row, middle[1] + 32 * column]
            assert np.abs(at - colors[truth[60 + row, 96 + column]]).max() <= 2, (row, column)
    around = seen[middle[0] - 150 : middle[0] + 150, middle[1] - 200 : middle[1] + 200].reshape(-1, 3)
    blended = [np.abs(np.subtract(around, color)).max(1) > 2 for color in colors.values()]
    assert np.all(blended, axis=0).mean() < 0.005


def test_the_swipe(page: Page) -> None:
    assert page.run("document.querySelector('#swipe').closest('label').hidden")
    page.click("#compare")
    shown = state(page)["shown"]
    assert (
        shown["truth"]["on"] and shown["prediction"]["on"] and shown["truth"]["clip"] != shown["prediction"]["clip"]
    )
    page.run("document.querySelector('#swipe').focus()")
    for _ in range(4):
        page.press("ArrowRight")
    moved = state(page)["shown"]
    assert moved["truth"]["clip"] not in ("", shown["truth"]["clip"])
    left, right = page.run("[parseFloat(document.querySelector('#divider').style.left), landseg.map.getSize().x]")
    assert left == pytest.approx(0.52 * right, abs=1)
    page.run(
        "(() => { const e = document.querySelector('#right'); e.value = 'error';"
        "e.dispatchEvent(new Event('input', {bubbles: true})); })()"
    )
    assert state(page)["shown"]["error"]["clip"] and not state(page)["shown"]["prediction"]["on"]
    page.click("#compare")
    assert {layer["clip"] for layer in state(page)["shown"].values()} == {""}


def test_the_divider_is_dragged(page: Page) -> None:
    page.click("#compare")
    page.click("#divider")
    place = json.loads(page.run("JSON.stringify(document.querySelector('#divider').getBoundingClientRect())"))
    x, y = place["x"] + place["width"] / 2, place["y"] + place["height"] / 2
    for kind, at in (("mousePressed", x), ("mouseMoved", x + 150), ("mouseReleased", x + 150)):
        page.call("Input.dispatchMouseEvent", type=kind, x=at, y=y, button="left", buttons=1, clickCount=1)
    left = page.run("parseFloat(document.querySelector('#divider').style.left)")
    assert left == pytest.approx(page.run("landseg.map.getSize().x / 2") + 150, abs=4)


def test_a_worst_window_moves_the_map(page: Page) -> None:
    assert page.run("Array.from(document.querySelectorAll('img[data-crop]')).every((i) => i.naturalWidth === 32)")
    before = state(page)
    page.click("button[data-rect]")
    after = state(page)
    assert after["zoom"] > before["zoom"]
    assert after["center"] == pytest.approx([-32, 48], abs=0.5)  # the middle of rows 16 to 47, columns 32 to 63
    assert page.run("document.activeElement.id") == "map"
    page.click("#home")
    assert state(page)["zoom"] == before["zoom"]


def test_the_map_obeys_the_keyboard(page: Page) -> None:
    page.click("button[data-rect]")
    before = state(page)
    page.press("ArrowRight")
    page.wait_for(f"landseg.map.getCenter().lng > {before['center'][1]}")
    page.press("+")
    page.wait_for(f"landseg.map.getZoom() > {before['zoom']}")


def names(page: Page) -> list[str]:
    found: list[str] = page.run(
        "Array.from(document.querySelectorAll('#classes tbody th')).map((e) => e.textContent)"
    )
    return found


def test_the_table_is_sorted_by_keyboard(page: Page) -> None:
    page.run("document.querySelectorAll('#classes thead button')[1].focus()")  # IoU
    page.press("Enter")
    assert names(page) == ["roof", "water", "road"]
    page.press(" ")
    assert names(page) == ["water", "roof", "road"]  # a number that means nothing stays last
    assert page.run("document.querySelectorAll('#classes th')[1].getAttribute('aria-sort')") == "ascending"
    page.run("document.querySelectorAll('#classes thead button')[0].focus()")
    page.press("Enter")
    assert names(page) == ["road", "roof", "water"]
    page.press("Tab")
    assert page.run("document.activeElement === document.querySelectorAll('#classes thead button')[1]")


def test_the_matrix_changes_its_unit(page: Page) -> None:
    first = "document.querySelector('#confusion td[data-pixels]').textContent"
    assert page.run(first) == "500"
    page.click('input[value="percent"]')
    assert page.run(first) == "83.3 %"
    page.click('input[value="hectares"]')
    assert page.run(first) == "1.25"


@pytest.mark.parametrize("width", [320, 390, 768, 1400])
def test_nothing_is_wider_than_the_window(page: Page, width: int, tmp_path: Path) -> None:
    page.size(width, 800, phone=width < 500, dark=width == 768)
    page.run("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(0))))")
    assert page.run("document.documentElement.scrollWidth") <= width
    page.picture(tmp_path / "page.png", whole=True)
    seen = np.asarray(Image.open(tmp_path / "page.png").convert("L"))
    assert seen.shape[1] == width and seen.std() > 5


SEEN = """(() => {
  const inside = document.querySelector("#classes").closest(".scroll"), box = inside.parentElement;
  const edge = (side) => getComputedStyle(box, side).opacity === "1";
  const wide = inside.scrollWidth > inside.clientWidth + 1;
  return [wide, edge("::before"), edge("::after"), !box.nextElementSibling.hidden];
})()"""
TWO_FRAMES = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(0))))"


def test_a_wide_table_says_that_it_scrolls(page: Page) -> None:
    page.size(390, 800, phone=True)
    page.run(TWO_FRAMES)
    assert page.run(SEEN) == [True, False, True, True], "more to the right, and a line that says so"
    scroll = 'document.querySelector("#classes").closest(".scroll").scrollLeft'
    for at, expected in (("60", [True, True, True, True]), ("1e6", [True, True, False, True])):
        page.run(f"void ({scroll} = {at})")
        page.run(TWO_FRAMES)
        assert page.run(SEEN) == expected
    page.size(2400, 900)
    page.run(TWO_FRAMES)
    page.run(f"void (document.querySelector('main').style.maxWidth = 'none', {scroll} = 0)")
    page.run(TWO_FRAMES)
    assert page.run(SEEN) == [False, False, False, False], "a table that fits says nothing"


def test_it_prints(page: Page, tmp_path: Path) -> None:
    page.pdf(tmp_path / "report.pdf")
    assert (tmp_path / "report.pdf").read_bytes().startswith(b"%PDF")


def test_one_scene_has_no_chooser(page: Page) -> None:
    assert not page.run("!!document.querySelector('#scene')") and framed(page) == ["1"]


def test_the_map_is_drawn_for_paper_and_back(page: Page) -> None:
    """On paper the map has another width: the view and both sides of the swipe follow it."""
    page.click("#compare")
    before = state(page)
    page.run("window.dispatchEvent(new Event('beforeprint'))")
    assert page.run("JSON.stringify(landseg.map.getSize())") == '{"x":680,"y":470}'
    assert page.run("parseFloat(document.querySelector('#divider').style.left)") == 340
    paper = state(page)
    assert paper["zoom"] < before["zoom"] and paper["center"] == pytest.approx([-48, 64], abs=0.5)
    page.run("window.dispatchEvent(new Event('afterprint'))")
    assert state(page) == before and page.run("landseg.map.getSize().x") > 680


def test_a_complaint_is_seen(chromium: Page) -> None:
    """The twin of every `assert_quiet`: an error of a script, and something from a network, are noticed."""
    chromium.open("about:blank")
    chromium.complaints.clear()
    chromium.requests.clear()
    chromium.run("setTimeout(() => { throw new Error('planted'); }); fetch('http://127.0.0.1:9/x').catch(() => 0)")
    chromium.run("new Promise((done) => setTimeout(done, 50))")
    with pytest.raises(AssertionError):
        assert_quiet(chromium)
    assert any("planted" in complaint for complaint in chromium.complaints) and chromium.requests
    chromium.complaints.clear()
    chromium.requests.clear()


def test_the_viewer_shows_tiles(chromium: Page, write_raster: Callable[..., Path], rng: np.random.Generator) -> None:
    image = write_raster(rng.integers(0, 255, (3, 600, 800), dtype=np.uint8), "image.tif", photometric="RGB")
    classes = write_raster(rng.integers(0, 2, (600, 800), dtype=np.uint8), "<b>&.tif")
    viewer = Viewer([image, classes])
    thread = threading.Thread(target=viewer.serve_forever, daemon=True)
    thread.start()
    try:
        chromium.call(
            "Network.emulateNetworkConditions", offline=False, latency=0, downloadThroughput=-1, uploadThroughput=-1
        )
        chromium.size(900, 700)
        chromium.complaints.clear()
        chromium.open(viewer.url)
        chromium.wait_for("!!window.landseg")
        tiles = "Array.from(document.querySelectorAll('#map img.leaflet-tile'))"
        chromium.wait_for(f"{tiles}.length > 3 && {tiles}.every((i) => i.complete && i.naturalWidth === 256)")
        chromium.click("#compare")
        assert state(chromium)["shown"]["0"]["clip"] != state(chromium)["shown"]["1"]["clip"]
        assert "<b>&.tif" in chromium.run("document.querySelector('aside').textContent")
        assert chromium.complaints == []
    finally:
        chromium.open("about:blank")
        viewer.shutdown()
        viewer.server_close()
        thread.join(10)
