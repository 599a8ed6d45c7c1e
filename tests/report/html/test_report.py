"""The report: one file that needs nothing else, whatever its classes are called, and never too large."""

import base64
import io
import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from landseg.classes import IGNORE_INDEX, ClassMap, LandClass
from landseg.errors import ClassError, GridError, OutputError
from landseg.geo.grid import Grid, Rect
from landseg.geo.rasters.mosaic import open_source
from landseg.geo.rasters.raster import RasterFile
from landseg.metrics.seam import Seam
from landseg.report.files import check_text_files
from landseg.report.html.map_layers import (
    MapLayers,
    Picture,
    by_majority,
    by_mean,
    majority,
    read_layers,
    reduced_raster,
)
from landseg.report.html.page import json_script, page, script, style
from landseg.report.html.pictures import BUDGET, RIGHT, WRONG, encoded, encoded_layers, shrunk
from landseg.report.html.report import report_html
from landseg.report.html.tables import _ink
from landseg.report.imagery import Imagery, reduced
from tests.parts.report import COLORS, WORST, make_evaluation, make_layers, make_picture

VOID = {"meta", "link", "input", "br", "img"}
NASTY = ("</script><script>alert(1)</script>", "\"'><img src=x onerror=alert(2)>", "<!--&amp;\u2028]]>")


class Outline(HTMLParser):
    """The tags of a page, with text by element id, and whether every tag is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[tuple[str, str | None]] = []
        self.text: dict[str, str] = {}
        self.faults: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID and tag not in ("path", "rect"):
            self.open.append((tag, dict(attrs).get("id")))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag in VOID or tag in ("path", "rect"):
            return
        last = self.open.pop()[0] if self.open else None
        if last != tag:
            self.faults.append(f"</{tag}> closes <{last}>")

    def handle_data(self, data: str) -> None:
        for _, identity in self.open:
            if identity:
                self.text[identity] = self.text.get(identity, "") + data

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]

    def ids(self) -> list[str]:
        return [found for _, attributes in self.tags if (found := attributes.get("id"))]


def loads(outline: Outline, text: str) -> list[str]:
    """Everything that a browser would fetch for the page."""
    found = [a[k] or "" for _, a in outline.tags for k in ("src", "srcset", "data", "poster", "action") if a.get(k)]
    found += [a["href"] or "" for a in outline.of("link")]
    found += re.findall(r"url\(([^)]*)\)|@import\s+(\S+)", "".join(re.findall(r"(?s)<style>(.*?)</style>", text)))
    flat = [part for entry in found for part in (entry if isinstance(entry, tuple) else (entry,)) if part]
    return [part for part in flat if not part.startswith(("data:", "#"))]


def map_of(outline: Outline) -> dict[str, Any]:
    return json.loads(outline.text["map-data"])


def picture_of(url: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))).convert("RGBA"))


@pytest.fixture(scope="module")
def text() -> str:
    return report_html(make_evaluation(), [make_layers()])


@pytest.fixture(scope="module")
def outline(text: str) -> Outline:
    return Outline(text)


def test_the_page_is_well_formed_and_has_every_part(outline: Outline) -> None:
    assert outline.faults == [] and outline.open == []
    assert len(outline.ids()) == len(set(outline.ids()))
    wanted = {
        "mean_iou",
        "pixel_accuracy",
        "classes",
        "confusion",
        "reliability-chart",
        "border",
        "map",
        "swipe",
        "worst",
    }
    assert wanted <= set(outline.ids())
    links = {a["href"].removeprefix("#") for a in outline.of("a") if a.get("href")}
    assert links <= set(outline.ids())


def test_a_missing_end_is_seen() -> None:
    assert Outline("<p><b>x</p>").faults


def test_a_ratio_without_an_interval_proves_nothing() -> None:
    for low, high, verdict in (
        (float("nan"), float("nan"), "without an interval nothing tells a seam from chance"),
        (0.9, 1.4, "no sign of a seam"),
        (1.05, 1.4, "a sign of a seam"),
    ):
        found = Outline(report_html(make_evaluation(seam=Seam(0.25, 0.2, 1.25, low, high, 8)))).text["border"]
        assert verdict in found and ("no sign" in found) is (verdict == "no sign of a seam")


def test_the_numbers_are_there(text: str, outline: Outline) -> None:
    assert outline.text["mean_iou"] == "0.575" and outline.text["pixel_accuracy"] == "77.8 %"
    summary = outline.text["summary"]
    assert "95 %: 0.500 to 0.610" in summary and "mean of 2 classes" in summary
    assert "66.7 %" in summary and "“roof”" in summary and "lie on one grid" in summary
    assert "0.700–0.800" in outline.text["classes"] and "1.2–1.6" in outline.text["classes"]
    assert (
        "expected calibration error" in outline.text["reliability"].lower() and "0.100" in outline.text["reliability"]
    )
    assert "8 px and more" in outline.text["border"] and "25.00 %" in outline.text["border"]
    assert "1.25 times as many (95 %: 1.05 to 1.40), a sign of a seam" in outline.text["border"]
    assert 'data-value=""' in text  # the class that is nowhere has no IoU: a dash, sorted last
    assert "nan" not in re.sub(r"(?s)<script.*?</script>|<style.*?</style>", "", text).lower()


def test_the_matrix_has_three_units_and_pixels_without_a_prediction(outline: Outline) -> None:
    cells = [cell for cell in outline.of("td") if "data-pixels" in cell]
    assert len(cells) == 3 * 4
    first = cells[0]
    assert (first["data-pixels"], first["data-percent"], first["data-hectares"]) == ("500", "83.3 %", "1.25")
    assert [c["data-pixels"] for c in cells[3::4]] == ["7", "0", "0"]
    plain = Outline(report_html(make_evaluation(pixel_ha=None)))
    assert not any("data-hectares" in cell for cell in plain.of("td"))


def test_it_loads_nothing(text: str, outline: Outline) -> None:
    assert loads(outline, text) == []
    policies = [a["content"] for a in outline.of("meta") if a.get("http-equiv") == "Content-Security-Policy"]
    assert len(policies) == 1 and policies[0].startswith("default-src 'none'")
    assert "http" not in policies[0] and "sourceMappingURL" not in text
    assert all(not (a.get("href") or "").startswith("http") for a in outline.of("a"))


@pytest.mark.parametrize(
    "more", ['<img src="https://a.b/c.png">', "<style>a{b:url(x.png)}</style>", "<script src=x></script>"]
)
def test_something_that_loads_is_seen(text: str, more: str) -> None:
    changed = text + more
    assert loads(Outline(changed), changed) != []


def test_everything_can_be_reached_and_has_a_name(outline: Outline, text: str) -> None:
    for attributes in outline.of("input"):
        inside_label = re.search(
            rf"<label[^>]*>[^<]*<input[^>]*{re.escape(attributes.get('id') or 'data-kind')}", text
        )
        assert attributes.get("aria-label") or inside_label or attributes.get("name") == "confusion-unit", attributes
    assert next(a for a in outline.of("div") if a.get("id") == "map")["tabindex"] == "0"
    heads = re.search(r'(?s)<table class="sortable".*?</thead>', text)
    assert heads and heads[0].count("<th ") == heads[0].count("<button")
    assert all(a.get("alt") for a in outline.of("img"))


def assert_harmless(names: tuple[str, str, str], text: str) -> None:
    """Names are text wherever they stand: no tag, attribute or script comes from them."""
    outline = Outline(text)
    assert outline.faults == [] and outline.open == []
    sober = Outline(report_html(make_evaluation(), [make_layers()]))
    assert [tag for tag, _ in outline.tags] == [tag for tag, _ in sober.tags]
    assert not any("onerror" in attributes for _, attributes in outline.tags)
    for name in names:
        assert name in outline.text["classes"]


def test_names_stay_text() -> None:
    texts = {"prediction": NASTY[1], "target": NASTY[0], "notes": NASTY[:1], "commonest_class": NASTY[0]}
    assert_harmless(NASTY, report_html(make_evaluation(NASTY, **texts), [make_layers()]))


def test_a_name_that_is_not_text_is_seen() -> None:
    text = report_html(make_evaluation(NASTY), [make_layers()])
    with pytest.raises(AssertionError):
        assert_harmless(NASTY, text.replace("&lt;/script&gt;", "</script>"))


def test_data_for_scripts_survives() -> None:
    found = json_script("x", list(NASTY))
    assert found.count("<") == 2 and "\u2028" not in found
    assert json.loads(re.sub(r"<[^>]*>", "", found)) == list(NASTY)


def test_vendored_files_are_whole() -> None:
    assert "Leaflet 1.9.4" in script("vendor/leaflet/leaflet.js") and "sourceMappingURL" not in script("web/map.js")
    assert "images/" not in style("vendor/leaflet/leaflet.css")
    licence = Path(__file__).parents[3] / "landseg/report/vendor/leaflet/LICENSE"
    assert "BSD 2-Clause" in licence.read_text()
    assert "<title>a &lt;b&gt;</title>" in page("a <b>", "", scripts=())


def test_layers_are_painted_in_their_colours(outline: Outline) -> None:
    data, layers = map_of(outline), make_layers()
    assert [layer["id"] for layer in data["layers"]] == ["image", "confidence", "truth", "prediction", "error"]
    (scene,) = data["scenes"]
    assert scene["extent"] == [0, 0, 96, 128] and scene["windows"] == [{"number": 1, "rect": [16, 32, 32, 32]}]
    assert (round(scene["metres"], 2), scene["crs"]) == (0.5, "EPSG:32633")
    for picture, shown in zip((layers.overview, *layers.crops), scene["pictures"], strict=True):
        assert shown["rect"] == [picture.rect.top, picture.rect.left, picture.rect.height, picture.rect.width]
        painted = picture_of(shown["layers"]["truth"])
        for index, color in enumerate(COLORS):
            assert (painted[picture.truth == index] == (*color, 255)).all()
        assert (painted[picture.truth == IGNORE_INDEX][:, 3] == 0).all()
        error = picture_of(shown["layers"]["error"])
        assert (error[picture.error == 1] == (*WRONG, 255)).all() and (
            error[picture.error == 0] == (*RIGHT, 255)
        ).all()
        confidence = picture_of(shown["layers"]["confidence"])
        assert confidence[0, 0, 3] == 0 and (confidence[0, 1:, 3] == 255).all()


def test_errors_follow_the_truth_alone() -> None:
    truth = np.array([[0, 1, 255, 255]], np.uint8)
    predicted = np.array([[0, 255, 1, 255]], np.uint8)
    assert Picture(Rect(0, 0, 1, 4), truth=truth, prediction=predicted).error.tolist() == [[0, 1, 255, 255]]
    with pytest.raises(ValueError, match="one shape"):
        Picture(Rect(0, 0, 1, 4), truth=truth, prediction=predicted[:, :2])


def test_a_report_needs_no_map() -> None:
    assert 'id="map"' not in report_html(make_evaluation())
    assert 'id="map"' in report_html(make_evaluation(), [make_layers()])  # twin


def test_a_report_that_cannot_be_written_is_refused_before_any_work(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    check_text_files(None, path)
    path.touch()
    with pytest.raises(OutputError, match=r"report\.html exists: choose another output"):
        check_text_files(None, path)
    check_text_files(None, path, overwrite=True)
    wrong = {"a.pdf": r"a report ends in .html or .htm, got 'a\.pdf': use a\.html", "b/a.html": "no folder"}
    for name, sentence in wrong.items():
        with pytest.raises(OutputError, match=sentence):
            check_text_files(None, tmp_path / name)
    with pytest.raises(OutputError, match="is named for two outputs"):
        check_text_files(tmp_path / "both.html", tmp_path / "both.html")


def test_text_is_read_on_every_ground() -> None:
    def luminance(color: tuple[int, ...]) -> float:
        linear = [p / 255 / 12.92 if p <= 10 else ((p / 255 + 0.055) / 1.055) ** 2.4 for p in color]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    for grey in range(256):
        ground, ink = luminance((grey,) * 3), 0.0 if _ink((grey,) * 3) == "#000" else 1.0
        assert (max(ground, ink) + 0.05) / (min(ground, ink) + 0.05) >= 4.5


def noise(height: int, width: int) -> MapLayers:
    """What compresses worst."""
    rng = np.random.default_rng(0)
    shape = (height, width)
    truth, predicted = (rng.integers(0, 8, shape, dtype=np.uint8) for _ in range(2))
    rect = Rect(0, 0, height, width)
    image = rng.integers(0, 255, (*shape, 3), dtype=np.uint8)
    crop = Picture(rect, image, truth, predicted, rng.random(shape, dtype=np.float32))
    return MapLayers(Grid(None, make_layers().grid.transform, width, height), crop, (crop,) * 12)


@pytest.mark.parametrize(
    ("budget", "crops", "smaller"), [(100_000, 0, True), (400_000, 1, False), (10_000_000, 12, False)]
)
def test_pictures_keep_within_their_budget(budget: int, crops: int, smaller: bool) -> None:
    colors = [(i, i, i) for i in range(8)]
    layers = noise(200, 300)
    pictures = encoded_layers(layers, colors, budget)
    sizes = [sum(len(base64.b64decode(url.partition(",")[2])) for url in p["layers"].values()) for p in pictures]
    assert sum(sizes) <= budget and len(pictures) == 1 + crops
    full = sum(map(len, encoded(layers.overview, colors).values()))
    assert (sizes[0] < full) is smaller and sizes[0] > min(full, budget) / 2
    assert BUDGET * 4 / 3 < 14_000_000


@pytest.mark.slow
def test_a_report_of_ten_thousand_squared_is_below_15_mb(
    write_raster: Callable[..., Path], tmp_path: Path, rng: np.random.Generator
) -> None:
    side = 10_000
    small = rng.integers(0, 255, (3, side // 4, side // 4), dtype=np.uint8)
    image = write_raster(small.repeat(4, 1).repeat(4, 2), "image.tif", tiled=True, compress="ZSTD")
    classes = rng.integers(1, 7, (side // 5, side // 5), dtype=np.uint8).repeat(5, 0).repeat(5, 1)
    predicted = write_raster(classes, "map.tif", tiled=True, compress="ZSTD")
    table = ClassMap(tuple(LandClass(v, f"c{v}", (v * 40, 0, 99)) for v in range(1, 7)))
    worst = [Rect(700 * i, 500 * i, 512, 512) for i in range(12)]
    with open_source(image) as source, open_source(write_raster(small[0].repeat(4, 0).repeat(4, 1), "c.tif")) as sure:
        file = RasterFile(predicted)
        truth = np.roll(table.to_indices(classes), 7, 0)
        layers = read_layers(
            source.grid,
            prediction=reduced_raster(file, table),
            truth=by_majority(lambda rect: truth[rect.slices]),
            image=source,
            confidence=by_mean(lambda rect: sure.read(rect)[0][0] / np.float32(255)),
            worst=worst,
        )
        file.close()
    assert max(layers.overview.truth.shape) == 2048 and len(layers.crops) == 12
    assert 2_000_000 < len(report_html(make_evaluation(), [layers])) < 15_000_000


def test_majorities(rng: np.random.Generator) -> None:
    indices = rng.integers(0, 4, (12, 20), dtype=np.uint8)
    indices[:3, :5] = IGNORE_INDEX
    found = majority(indices, (4, 4))
    for row in range(4):
        for column in range(4):
            block = indices[3 * row : 3 * row + 3, 5 * column : 5 * column + 5]
            counts = np.bincount(block[block != IGNORE_INDEX], minlength=4)
            assert found[row, column] == (counts.argmax() if counts.any() else IGNORE_INDEX)
    reader = by_majority(lambda rect: indices[rect.slices])
    assert (reader(Rect(0, 0, 12, 20), (4, 4)) == found).all()
    assert (reader(Rect(2, 3, 5, 6), (5, 6)) == indices[2:7, 3:9]).all()


def test_strips_do_not_show(monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator) -> None:
    indices = rng.integers(0, 3, (90, 40), dtype=np.uint8)
    read = by_majority(lambda rect: indices[rect.slices])
    whole = read(Rect(0, 0, 90, 40), (30, 20))
    monkeypatch.setattr("landseg.report.html.map_layers._STRIP", 500)
    assert (read(Rect(0, 0, 90, 40), (30, 20)) == whole).all()


def test_layers_are_read_from_files(write_raster: Callable[..., Path], rng: np.random.Generator) -> None:
    table = ClassMap((LandClass(3, "a", (1, 2, 3)), LandClass(7, "b", (4, 5, 6))))
    values = rng.choice(np.array([0, 3, 7], np.uint8), (20, 30)).repeat(10, 0).repeat(10, 1)
    pixels = rng.integers(60, 200, (3, 200, 300), dtype=np.uint8)
    file = RasterFile(write_raster(values, "map.tif", nodata=0))
    with open_source(write_raster(pixels, "image.tif", valid=values > 0)) as image:
        prediction = reduced_raster(file, table)
        layers = read_layers(image.grid, prediction=prediction, truth=prediction, image=image, worst=[WORST], edge=30)
        every, _ = table.to_indices_and_unmapped(values, values > 0)
        small = every[5::10, 5::10]
        assert (layers.overview.prediction == small).all() and (layers.overview.truth == small).all()
        assert (layers.overview.image[..., 3] == np.where(small == IGNORE_INDEX, 0, 255)).all()
        crop = layers.crops[0]
        assert (crop.prediction == every[WORST.slices]).all()
        seen = crop.image[..., 3] > 0
        assert (crop.image[seen][:, :3] == pixels.transpose(1, 2, 0)[WORST.slices][seen]).all()
        with pytest.raises(GridError, match="has 300 x 200 pixels, the map has 10 x 10"):
            read_layers(
                Grid(None, image.grid.transform, 10, 10), prediction=prediction, truth=prediction, image=image
            )
    with pytest.raises(ClassError, match="values without a class"):
        reduced_raster(file, ClassMap((LandClass(3, "a", (1, 2, 3)),)))(Rect(0, 0, 50, 50), (5, 5))
    file.close()


def test_mosaics_and_other_pixels_are_imagery_too(write_raster: Callable[..., Path]) -> None:
    ramp = np.arange(64 * 64, dtype=np.uint16).reshape(1, 64, 64)
    paths = [write_raster(ramp, "a.tif"), write_raster(ramp + 5000, "b.tif")]
    with open_source(paths) as mosaic:
        found, valid = reduced(mosaic, mosaic.grid.rect, (16, 16), [0])
        assert valid.all() and (found[0] == ramp[0, 2::4, 2::4]).all()
        colors = Imagery(mosaic).colors(mosaic.grid.rect, (16, 16))
    assert colors.shape == (16, 16, 4) and colors[0, 0, 0] < 20 and colors[-1, -1, 0] > 235
    assert (colors[..., 0] == colors[..., 2]).all()


def test_one_stretch_for_every_part(write_raster: Callable[..., Path]) -> None:
    ramp = np.linspace(0, 4000, 128 * 128).reshape(1, 128, 128).astype("uint16")
    with open_source(write_raster(ramp)) as source:
        imagery = Imagery(source)
        whole = imagery.colors(source.grid.rect, (128, 128))
        part = imagery.colors(Rect(64, 0, 64, 128), (64, 128))
    assert (whole[64:] == part).all()


def test_shrinking_keeps_classes_whole() -> None:
    picture = make_picture(Rect(0, 0, 40, 60))
    smaller = shrunk(picture, 0.5)
    assert smaller.truth.shape == (20, 30) and set(np.unique(smaller.truth)) <= set(np.unique(picture.truth))
    assert smaller.rect == picture.rect and smaller.image.shape == (20, 30, 3)
