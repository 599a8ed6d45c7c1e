"""`landseg view`: rasters on a map in the browser."""

import os
import sys
from typing import Annotated

import typer

from . import console, options


def command(
    rasters: Annotated[list[str], typer.Argument(metavar="RASTER...", help="Rasters, each shown as a layer.")],
    port: Annotated[
        int, typer.Option("--port", metavar="N", min=0, max=65535, help="Port to listen on; 0 for any free one.")
    ] = 0,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Print the address and open no browser.")] = False,
    as_json: options.Json = False,
) -> None:
    """Show rasters of any size on a map in the browser.

    They are served to this computer alone, until Ctrl-C.
    """
    from landseg.view import view

    with console.working():
        viewer = view(rasters, port=port)
    try:
        console.show({"url": viewer.url}, as_json=as_json, text=f"{viewer.url}  (Ctrl-C ends it)")
        sys.stdout.flush()
        if not no_browser and _has_screen():
            import webbrowser

            with console.working():
                webbrowser.open(viewer.url)
        viewer.serve_forever()
    except KeyboardInterrupt:
        pass  # the way to end it
    finally:
        viewer.server_close()


def _has_screen() -> bool:
    """Return True where a browser can open a window; else Python would open a text browser in the terminal."""
    return sys.platform == "darwin" or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
