"""The viewer: rasters on a map in the browser, served to this machine alone, tiles rendered on request."""

from __future__ import annotations

import logging
import re
import secrets
from collections.abc import Sequence
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from landseg.errors import LandsegError, OutputError
from landseg.geo.rasters.address import file_names
from landseg.report.html.map import MapLayer, controls, data_script, frame, map_data, scene_data
from landseg.report.html.page import page
from landseg.report.viewer.map_tiles import HIGHEST, LOWEST, ViewedRaster, open_viewed
from landseg.text.amounts import counted, shorten_list
from landseg.text.results import one_line

HOST = "127.0.0.1"
_TILE = re.compile(r"/tile/([0-9]{1,4})/(-?[0-9]{1,2})/(-?[0-9]{1,7})/(-?[0-9]{1,7})\.png")
_POLICY = (
    "default-src 'none'; img-src 'self' data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
    "base-uri 'none'; form-action 'none'"
)
_KEPT = "private, max-age=86400, immutable"  # a tile's address is new with every start
_log = logging.getLogger(__name__)


class Viewer(ThreadingHTTPServer):
    """A server of rasters on the loopback; requests name them by their place in the list, never by a path.

    Args:
        paths: of the rasters, the first of which gives the grid.
        port: to listen on; 0 for any that is free.

    Raises:
        OutputError: the port is taken or not allowed.
        RasterError: a raster cannot be opened.
        GridError: a raster cannot be placed on the first one's grid.
    """

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, paths: Sequence[str | Path], *, port: int = 0) -> None:
        self.rasters = open_viewed(file_names(paths))
        try:
            super().__init__((HOST, port), _Handler)
        except (OSError, OverflowError, TypeError) as error:
            self._close_rasters()
            reason = getattr(error, "strerror", None) or error
            raise OutputError(
                f"cannot listen on port {port} ({reason}): choose another with --port, or leave it out"
            ) from error
        self.page = viewer_html(self.rasters, token=secrets.token_hex(8)).encode()
        for raster in self.rasters:
            if not raster.has_overviews:
                _log.warning("%s has no overviews: zoomed out it is slow; make a COG of it", raster.name)

    def __repr__(self) -> str:
        return one_line("Viewer", self.url, counted(len(self.rasters), "raster"))

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self.server_address[1])

    @property
    def url(self) -> str:
        """The page's address."""
        return f"http://{HOST}:{self.port}/"

    def server_close(self) -> None:
        super().server_close()
        self._close_rasters()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log the error of a request, such as a browser that went away, for debugging alone."""
        _log.debug("a request ended early", exc_info=True)

    def _close_rasters(self) -> None:
        for raster in self.rasters:
            raster.close()


class _Handler(BaseHTTPRequestHandler):
    """The handler of requests for the page and its tiles."""

    server: Viewer
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "landseg", ""
    timeout = 60  # of an idle connection, in seconds

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def log_message(self, format: str, *args: Any) -> None:
        _log.debug(format, *args)

    def _answer(self) -> None:
        # A page elsewhere can make its own name point here; what the browser then sends as Host is that name.
        if self.headers.get("Host") not in (f"{HOST}:{self.server.port}", f"localhost:{self.server.port}"):
            self._send(403, b"this server answers only under its own address\n")
            return
        path = self.path.partition("?")[0]
        if path == "/":
            self._send(200, self.server.page, kind="text/html; charset=utf-8", policy=_POLICY)
        elif (found := _TILE.fullmatch(path)) is not None:
            self._tile(*map(int, found.groups()))
        else:
            self._send(404, b"not here\n")

    def _tile(self, index: int, z: int, x: int, y: int) -> None:
        if index >= len(self.server.rasters) or not LOWEST <= z <= HIGHEST:
            self._send(404, b"no such tile\n")
            return
        try:
            picture = self.server.rasters[index].tile(z, x, y)
        except LandsegError as error:
            _log.warning("%s", error)
            self._send(500, f"{error}\n".encode())
            return
        self._send(200, picture, kind="image/png", keep=_KEPT)

    def _send(
        self,
        status: int,
        body: bytes,
        *,
        kind: str = "text/plain; charset=utf-8",
        keep: str = "no-store",
        policy: str = "default-src 'none'",
    ) -> None:
        self.send_response(status)
        for name, value in (
            ("Content-Type", kind),
            ("Content-Length", str(len(body))),
            ("Cache-Control", keep),
            ("Content-Security-Policy", policy),
            ("X-Content-Type-Options", "nosniff"),
            ("Cross-Origin-Resource-Policy", "same-origin"),
            ("Referrer-Policy", "no-referrer"),
        ):
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def viewer_html(rasters: Sequence[ViewedRaster], *, token: str) -> str:
    """Return the page of the viewer as HTML; ``token`` makes the addresses of tiles new.

    Imagery lies below classes, which would hide behind it, whatever the order of the rasters.
    """
    order = sorted(range(len(rasters)), key=lambda index: rasters[index].lut is not None)
    layers = [
        MapLayer(
            id=str(index),
            name=raster.name,
            crisp=raster.lut is not None,
            shown=True,
            opacity=70 if raster.lut is not None and place else 100,
            key=raster.key(),
            tiles=f"tile/{index}/{{z}}/{{x}}/{{y}}.png?{token}",
            rect=(raster.rect.top, raster.rect.left, raster.rect.height, raster.rect.width),
        )
        for place, (index, raster) in enumerate((index, rasters[index]) for index in order)
    ]
    extent = rasters[0].grid.rect
    for raster in rasters:
        extent = extent.union(raster.rect)
    grid = rasters[0].grid
    scene = scene_data(grid, extent=(extent.top, extent.left, extent.height, extent.width))
    data = map_data(layers, [scene])
    title = shorten_list([raster.name for raster in rasters], 1)
    body = f"""<main><div id="map-section"><div class="stage">{frame(f"Map of {title}")}</div>
<aside><h1 class="names">{escape(title)}</h1><p class="quiet names">{escape(grid.describe())}</p>
{controls(layers, windows=False)}</aside>{data_script(data)}</div></main>"""
    return page(f"{title} – landseg", body, scripts=("map.js", "view.js"), policy=_POLICY, kind="viewer")
