"""Rasters on servers that refuse, fail, or send something else: one sentence with advice that fits."""

import os
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from landseg.errors import RasterError
from landseg.geo.grid import Rect
from landseg.geo.rasters import failures
from landseg.geo.rasters.mosaic import open_source

Write = Callable[..., Path]


class Server(ThreadingHTTPServer):
    """On 127.0.0.1, at a free port: /KIND/a.tif, where the kind is a status or one of those in `Handler`."""

    daemon_threads = True
    data = b""
    failing = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that hang up are no news."""

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    """ok: ranges; norange: the whole file; html: a page; cut, late: break off, and refuse, once the server fails."""

    protocol_version = "HTTP/1.1"
    server: Any

    def do_HEAD(self) -> None:
        self.do_GET(head=True)

    def do_GET(self, head: bool = False) -> None:
        kind, wanted = self.path.split("/")[1], self.headers.get("Range")
        data = b"<!DOCTYPE html><html>Please sign in</html>" * 40 if kind == "html" else self.server.data
        status, sent = 200, data
        if kind.isdigit():
            status, sent = int(kind), b"no"
        elif wanted and kind != "norange":
            first, last = (int(part) for part in wanted.removeprefix("bytes=").split("-"))
            if kind == "cut" and self.server.failing:
                self.close_connection = True
                self.connection.close()
                return
            status, sent = (403, b"no") if kind == "late" and self.server.failing else (206, data[first : last + 1])
        self.send_response(status)
        if status == 206:
            self.send_header("Content-Range", f"bytes {first}-{first + len(sent) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(sent)))
        self.end_headers()
        if not head:
            self.wfile.write(sent)

    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture
def server(write_raster: Write, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    for name, value in (("MAX_RETRY", "0"), ("TIMEOUT", "5"), ("CONNECTTIMEOUT", "2")):
        monkeypatch.setenv(f"GDAL_HTTP_{name}", value)
    pixels = np.random.default_rng(0).integers(1, 250, (3, 512, 512), np.uint8)
    path = write_raster(pixels, "served.tif", tiled=True, blockxsize=64, blockysize=64)
    with Server(("127.0.0.1", 0), Handler) as server:
        server.data = path.read_bytes()
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join(5)


ADVICE = [
    ("401", "the server refuses access: check your login .* or whether the address has expired"),
    ("403", "the server refuses access: check your login"),
    ("404", "the server has no such file: check the address"),
    ("410", "the server has no such file: check the address"),
    ("429", "the server is busy or has a fault: try again later"),
    ("500", "the server is busy or has a fault: try again later"),
    ("503", "the server is busy or has a fault: try again later"),
    ("norange", "the server does not send parts of files: download the raster and name your copy"),
    (
        "html",
        r"what the server sends is no raster, or not all of it \(a page to sign in\?\): look at it in a browser",
    ),
]


@pytest.mark.parametrize(("kind", "advice"), ADVICE)
def test_what_a_server_answers_has_advice_that_fits(server: Server, kind: str, advice: str) -> None:
    address = f"{server.address}/{kind}/a.tif"
    with pytest.raises(RasterError, match=advice) as caught:
        open_source(f"{address}?sig=secret")
    text = str(caught.value)
    assert text.startswith(f"{address}: expected a raster that GDAL can open") and "secret" not in text
    assert "check that the name is right and the file complete" not in text


def test_without_advice_of_its_own_a_refusal_would_read_as_a_damaged_file(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failures, "remote_advice", lambda path, said: None)
    with pytest.raises(RasterError, match="check that the name is right and the file complete"):
        open_source(f"{server.address}/403/a.tif")


def test_what_breaks_off_while_it_is_read(server: Server) -> None:
    with open_source(f"{server.address}/ok/a.tif") as source:
        assert source.read(source.grid.rect)[1].all()
    cut, late = (open_source(f"{server.address}/{kind}/a.tif") for kind in ("cut", "late"))
    server.failing = True
    with cut, pytest.raises(RasterError) as caught:
        cut.read(Rect(100, 0, 412, 512))
    assert "cannot read rows 100 to 511" in str(caught.value) and "check the connection" in str(caught.value)
    with late, pytest.raises(RasterError) as caught:
        late.read(Rect(100, 0, 412, 512))
    assert "refuses access by now" in str(caught.value) and "address has expired" in str(caught.value)


def test_nobody_listens(server: Server) -> None:
    with pytest.raises(RasterError, match="the server cannot be reached or broke off: check the connection"):
        open_source("http://127.0.0.1:9/a.tif")


@pytest.mark.parametrize(
    ("address", "advice"),
    [
        ("s3://bucket/a.tif", "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY .*AWS_NO_SIGN_REQUEST=YES"),
        ("gs://bucket/a.tif", "set GOOGLE_APPLICATION_CREDENTIALS, .*GS_NO_SIGN_REQUEST=YES"),
        ("az://container/a.tif", "set AZURE_STORAGE_ACCOUNT with .*AZURE_NO_SIGN_REQUEST=YES"),
    ],
)
def test_missing_credentials(address: str, advice: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(("AWS_", "GS_", "GOOGLE_", "AZURE_"))]:
        monkeypatch.delenv(name)
    for name, value in (("HOME", str(tmp_path)), ("AWS_EC2_METADATA_DISABLED", "true")):
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("CPL_AWS_AUTODETECT_EC2", "NO")
    monkeypatch.setenv("CPL_MACHINE_IS_GCE", "NO")
    with pytest.raises(RasterError, match=f"{address}: .*credentials are missing: {advice}"):
        open_source(address)


@pytest.mark.parametrize(
    ("path", "said", "advice"),
    [
        (
            "/vsis3/b/a.tif",
            "The AWS Access Key Id you provided does not exist: InvalidCredentials",
            "credentials are",
        ),
        ("/vsis3/b/a.tif", "AccessDenied: Access Denied", "refuses access: set AWS_"),
        ("/vsis3/b/a.tif", "NoSuchKey: The specified key does not exist.", "no such file"),
        ("/vsigs/b/a.tif", "HTTP response code: 403", "refuses access: set GOOGLE_"),
        ("scene.vrt", "HTTP response code: 404", "no such file"),  # a member's
        ("https://h/a.tif", "CURL error: SSL certificate problem", "cannot be reached"),
    ],
)
def test_other_words_of_gdal(path: str, said: str, advice: str) -> None:
    assert advice in (failures.remote_advice(path, said) or "")


@given(said=st.text(max_size=60))
def test_local_files_get_no_advice_on_servers(said: str) -> None:
    if "response code" not in said:
        assert failures.remote_advice("/data/a.tif", said) is None
