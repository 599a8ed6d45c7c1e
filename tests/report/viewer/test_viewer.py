"""`landseg view`: tiles that equal the file's pixels, for this machine alone, and a clean end."""

import http.client
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from PIL import Image
from rasterio.enums import Resampling
from typer.testing import CliRunner

from landseg.cli.main import app
from landseg.errors import GridError, OutputError, RasterError
from landseg.report.viewer.map_tiles import TILE, ViewedRaster, open_viewed
from landseg.report.viewer.server import Viewer
from tests.parts.places import HALF_METRE

COLORS = {0: (0, 0, 0, 0), 1: (200, 30, 30, 255), 2: (30, 30, 200, 255), 3: (240, 220, 60, 255)}


@contextmanager
def serving(*paths: Path) -> Iterator[Viewer]:
    viewer = Viewer(paths)
    thread = threading.Thread(target=viewer.serve_forever, daemon=True)
    thread.start()
    try:
        yield viewer
    finally:
        viewer.shutdown()
        viewer.server_close()
        thread.join(10)


def ask(viewer: Viewer, path: str, host: str | None = None, method: str = "GET") -> tuple[int, bytes, dict[str, str]]:
    connection = http.client.HTTPConnection("127.0.0.1", viewer.port, timeout=20)
    connection.putrequest(method, path, skip_host=True)
    if host != "":
        connection.putheader("Host", host or f"127.0.0.1:{viewer.port}")
    connection.endheaders()
    answer = connection.getresponse()
    found = answer.status, answer.read(), dict(answer.getheaders())
    connection.close()
    return found


def tile(raster: ViewedRaster, z: int, x: int, y: int) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(raster.tile(z, x, y))))


@pytest.fixture
def classes(write_raster: Callable[..., Path], rng: np.random.Generator) -> Path:
    """Class values 0..3 without order, 600 x 700, 0 is nodata; with overviews by majority."""
    values = rng.integers(0, 4, (600, 700), dtype=np.uint8)
    path = write_raster(values, "classes.tif", nodata=0, tiled=True, blockxsize=128, blockysize=128)
    with rasterio.open(path, "r+") as raster:
        raster.write_colormap(1, COLORS)
        raster.build_overviews([2, 4], Resampling.mode)
    names = "".join(f"<Category>{name}</Category>" for name in ("nodata", "roof", "water", "road"))
    aux = f'<PAMDataset><PAMRasterBand band="1"><CategoryNames>{names}</CategoryNames></PAMRasterBand></PAMDataset>'
    Path(f"{path}.aux.xml").write_text(aux)
    return path


def assert_tiles(raster: ViewedRaster, path: Path, z: int) -> None:
    """Every tile of a zoom level holds what rasterio reads there, in the colours of the table."""
    size = TILE << -z
    with rasterio.open(path) as file:
        for y in range(-(-file.height // size)):
            for x in range(-(-file.width // size)):
                height, width = min(size, file.height - y * size), min(size, file.width - x * size)
                shape = (height >> -z, width >> -z)
                window = rasterio.windows.Window(x * size, y * size, width, height)
                values = file.read(1, window=window, out_shape=shape, resampling=Resampling.mode)
                expected = np.zeros((TILE, TILE, 4), np.uint8)
                expected[: shape[0], : shape[1]] = np.array(list(COLORS.values()), np.uint8)[values]
                expected[expected[..., 3] == 0] = 0
                assert (tile(raster, z, x, y) == expected).all(), (x, y)


@pytest.mark.parametrize("z", [0, -1, -2])
def test_tiles_of_classes_hold_the_files_values(classes: Path, z: int) -> None:
    (raster,) = open_viewed([classes])
    assert raster.offset == (0, 0)
    assert_tiles(raster, classes, z)
    assert raster.key() == (("roof", COLORS[1][:3]), ("water", COLORS[2][:3]), ("road", COLORS[3][:3]))
    assert not tile(raster, 0, 9, 9).any() and not tile(raster, 0, -1, 0).any()
    raster.close()


def test_a_tile_beside_its_place_is_seen(classes: Path) -> None:
    (raster,) = open_viewed([classes])
    honest = raster.tile
    raster.tile = lambda z, x, y: honest(z, x + 1, y)  # type: ignore[method-assign]
    with pytest.raises(AssertionError):
        assert_tiles(raster, classes, 0)
    raster.close()


def test_tiles_of_imagery_have_one_stretch(write_raster: Callable[..., Path], rng: np.random.Generator) -> None:
    pixels = rng.integers(0, 255, (3, 300, 520), dtype=np.uint8)
    pixels[:, :, :256] //= 4  # a dark half: a stretch of its own would make it as bright
    valid = np.ones((300, 520), bool)
    valid[:20] = False
    (raster,) = open_viewed([write_raster(pixels, valid=valid, photometric="RGB")])
    dark, bright = tile(raster, 0, 0, 0), tile(raster, 0, 1, 0)
    assert (dark[20:, :, :3] == pixels[:, 20:256, :256].transpose(1, 2, 0)).all()
    assert (bright[20:, :, :3] == pixels[:, 20:256, 256:512].transpose(1, 2, 0)).all()
    assert not dark[:20, :, 3].any() and (dark[20:, :, 3] == 255).all()
    raster.close()


def test_other_pixels_are_put_on_the_first_ones(write_raster: Callable[..., Path], classes: Path) -> None:
    """A raster with pixels twice as large, shifted, and one in degrees: each pixel shows what lies there."""
    values = np.arange(40 * 50, dtype=np.uint16).reshape(1, 40, 50) * 30
    coarse = write_raster(values, "coarse.tif", transform=HALF_METRE @ Affine.translation(10.5, 20) @ Affine.scale(2))
    first, second = open_viewed([classes, coarse])
    assert second.offset is None and (second.rect.top, second.rect.left) == (20, 10)
    own = ViewedRaster(coarse)
    expected, found = tile(own, 0, 0, 0), tile(second, 0, 0, 0)
    rows, columns = np.arange(20, 100), np.arange(11, 110)
    picked = expected[np.ix_((rows - 20) // 2, ((columns + 0.5 - 10.5) // 2).astype(int))]
    assert (found[np.ix_(rows, columns)] == picked).all()
    assert not found[:20].any() and not found[:, :10].any()
    for raster in (first, second, own):
        raster.close()


def test_another_crs_is_shown_where_it_lies(write_raster: Callable[..., Path]) -> None:
    from rasterio.warp import Resampling as How
    from rasterio.warp import calculate_default_transform, reproject

    values = np.zeros((1, 200, 200), np.uint8)
    values[0, 60:120, 40:90] = 200
    first = write_raster(values, "first.tif")
    with rasterio.open(first) as file:
        transform, width, height = calculate_default_transform(file.crs, "EPSG:4326", 200, 200, *file.bounds)
        degrees = np.zeros((1, height, width), np.uint8)
        options = {"src_transform": file.transform, "src_crs": file.crs, "resampling": How.nearest}
        reproject(values, degrees, dst_transform=transform, dst_crs="EPSG:4326", **options)
    other = write_raster(degrees, "degrees.tif", crs="EPSG:4326", transform=transform)
    one, two = open_viewed([first, other])
    shown = tile(two, 0, 0, 0)[:200, :200, 0] > 100
    assert (shown == (values[0] > 100)).mean() > 0.97
    assert shown[65:115, 45:85].all()
    one.close()
    two.close()


def test_rasters_that_do_not_belong_together(write_raster: Callable[..., Path], tmp_path: Path) -> None:
    pixels = np.ones((1, 60, 80), np.uint8)
    first, plain = write_raster(pixels, "a.tif"), write_raster(pixels, "plain.tif", crs=None)
    one, two = open_viewed([first, plain])
    assert two.offset == (0, 0)
    one.close()
    two.close()
    small = write_raster(pixels[:, :50], "small.tif", crs=None)
    away = write_raster(pixels, "away.tif", transform=HALF_METRE @ Affine.translation(9000, 0))
    with pytest.raises(GridError, match="both need the same size"):
        open_viewed([plain, small])
    for other, sentence in ((small, "without a coordinate system both need the same size"), (away, "lies elsewhere")):
        with pytest.raises(GridError, match=sentence):
            open_viewed([first, other])
    with pytest.raises(RasterError, match="no such file"):
        Viewer([tmp_path / "none.tif"])


def test_the_page_and_its_tiles_are_served(classes: Path) -> None:
    with serving(classes) as viewer:
        status, body, headers = ask(viewer, "/")
        assert status == 200 and b"classes.tif" in body and b"road" in body
        assert headers["Cache-Control"] == "no-store" and "default-src 'none'" in headers["Content-Security-Policy"]
        status, body, headers = ask(viewer, "/tile/0/-1/0/1.png?abc")
        assert (status, headers["Content-Type"]) == (200, "image/png") and "max-age" in headers["Cache-Control"]
        assert body == viewer.rasters[0].tile(-1, 0, 1)
        status, body, _ = ask(viewer, "/", method="HEAD")
        assert (status, body) == (200, b"")
        assert ask(viewer, "/", host=f"localhost:{viewer.port}")[0] == 200
        assert viewer.socket.getsockname()[0] == "127.0.0.1"


@pytest.mark.parametrize("first", ["classes", "image"])
def test_classes_lie_on_top_whatever_the_order(
    first: str, classes: Path, write_raster: Callable[..., Path], rng: np.random.Generator
) -> None:
    image = write_raster(rng.integers(0, 255, (3, 600, 700), dtype=np.uint8), "image.tif", photometric="RGB")
    paths = (classes, image) if first == "classes" else (image, classes)
    with serving(*paths) as viewer:
        body = ask(viewer, "/")[1].decode()
        data = json.loads(body.split('id="map-data"')[1].split(">", 1)[1].split("</script>")[0])
        assert [layer["crisp"] for layer in data["layers"]] == [False, True], "drawn from below to above"
        assert [viewer.rasters[int(layer["id"])].name for layer in data["layers"]] == ["image.tif", "classes.tif"]
        for layer in data["layers"]:
            assert layer["tiles"].startswith(f"tile/{layer['id']}/"), "a layer's tiles are its own"
        opacity = dict(re.findall(r'value="(\d+)" data-layer="(\d)" data-kind="opacity"', body))
        assert sorted(opacity) == ["100", "70"] and viewer.rasters[int(opacity["70"])].name == "classes.tif"
        assert viewer.rasters[0].name == paths[0].name, "the first still gives the grid"


@pytest.mark.parametrize("host", ["evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1:1", ""])
def test_another_hosts_name_is_refused(classes: Path, host: str) -> None:
    with serving(classes) as viewer:
        for path in ("/", "/tile/0/0/0/0.png"):
            status, body, _ = ask(viewer, path, host=host.format(port=viewer.port))
            assert status == 403 and b"classes" not in body


@pytest.mark.parametrize(
    "path",
    [
        "/../../etc/passwd",
        "/tile/..%2f..%2fetc/0/0/0.png",
        "/classes.tif",
        "/tile/1/0/0/0.png",
        "/tile/-1/0/0/0.png",
        "/tile/0/1/0/0.png",
        "/tile/0/-99/0/0.png",
        "/tile/0/0/99999999999/0.png",
        "/tile/%D9%A0/0/0/0.png",
        "/./tile/0/0/0/0.png",
    ],
)
def test_there_is_nothing_else(classes: Path, path: str) -> None:
    with serving(classes) as viewer:
        status, body, _ = ask(viewer, path)
        assert status == 404 and body in (b"not here\n", b"no such tile\n")


def test_a_file_that_breaks_meanwhile_is_a_sentence(classes: Path) -> None:
    with serving(classes) as viewer:
        viewer.rasters[0].source.close()
        status, body, headers = ask(viewer, "/tile/0/0/0/0.png")
        assert status == 500 and b"is closed" in body and headers["Cache-Control"] == "no-store"


def test_a_port_that_is_taken(classes: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(OutputError, match=f"cannot listen on port {port} .*--port"):
            Viewer([classes], port=port)
        result = CliRunner().invoke(app, ["view", str(classes), "--no-browser", "--port", str(port)])
    assert result.exit_code == 1 and result.stdout == "" and result.stderr.count("\n") == 1


def test_bad_input_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "text.tif").write_text("hello")
    for name in ("none.tif", "text.tif"):
        result = CliRunner().invoke(app, ["view", str(tmp_path / name), "--no-browser", "--json"])
        assert result.exit_code == 1 and result.stdout == "" and name in result.stderr
    assert CliRunner().invoke(app, ["view", "--no-browser"]).exit_code == 2


@pytest.mark.parametrize("as_json", [True, False])
def test_it_serves_until_interrupted(classes: Path, as_json: bool) -> None:
    code = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    code += "from landseg.cli.main import main; main()"
    arguments = ["view", str(classes), "--no-browser", *(["--json"] if as_json else [])]
    root = str(Path(__file__).parent.parent)
    environment = {**os.environ, "PYTHONPATH": root}
    process = subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        url = json.loads(line)["url"] if as_json else line.split()[0]
        port = int(url.removeprefix("http://127.0.0.1:").removesuffix("/"))
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        connection.request("GET", "/")
        assert connection.getresponse().status == 200
        connection.close()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    finally:
        process.kill()
        process.wait()
    assert (process.returncode, out, err) == (0, "", "")
