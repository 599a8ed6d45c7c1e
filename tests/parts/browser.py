"""A headless Chromium, driven over a pipe with its DevTools protocol: no package and no open port is needed."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome", "chrome")
KEYS = {
    "Enter": (13, "\r"),
    " ": (32, " "),
    "Tab": (9, ""),
    "ArrowRight": (39, ""),
    "ArrowDown": (40, ""),
    "+": (187, "+"),
}


def find_chromium() -> str | None:
    """The browser's program: $LANDSEG_CHROMIUM, or one on the path."""
    named = os.environ.get("LANDSEG_CHROMIUM")
    return named or next((found for name in NAMES if (found := shutil.which(name))), None)


class Page:
    """One page of the browser, and everything that it complained about."""

    def __init__(self, process: subprocess.Popen[bytes], write: int, read: int) -> None:
        self._process, self._write, self._read = process, write, read
        self._number, self._buffer, self._session = 0, b"", None
        self.complaints: list[str] = []
        self.requests: list[str] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """The result of one command; what the page reports meanwhile is kept."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next(60)
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]

    def offline(self) -> None:
        """Takes the network away."""
        self.call(
            "Network.emulateNetworkConditions", offline=True, latency=0, downloadThroughput=0, uploadThroughput=0
        )

    def size(self, width: int, height: int, *, phone: bool = False, dark: bool = False) -> None:
        """The window's size, and whether it is a phone's or dark."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone)
        self.call("Emulation.setTouchEmulationEnabled", enabled=phone)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call(
            "Emulation.setEmulatedMedia", features=[scheme, {"name": "prefers-reduced-motion", "value": "reduce"}]
        )

    def open(self, url: str) -> None:
        """Goes there and waits until everything is loaded."""
        self.call("Page.navigate", url=url)
        self.wait_for("document.readyState === 'complete'")

    def run(self, code: str) -> Any:
        """The value of a JavaScript expression."""
        done = self.call("Runtime.evaluate", expression=code, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in done:
            raise RuntimeError(f"{code}: {done['exceptionDetails']}")
        return done["result"].get("value")

    def wait_for(self, code: str, seconds: float = 20) -> None:
        """Waits until an expression is true."""
        until = time.monotonic() + seconds
        while not self.run(code):
            if time.monotonic() > until:
                raise AssertionError(f"not true after {seconds} s: {code}")
            time.sleep(0.05)

    def click(self, selector: str) -> None:
        """A real click into the middle of an element, scrolled into view."""
        place = self.run(
            f"(() => {{ const e = document.querySelector({json.dumps(selector)});"
            "e.scrollIntoView({block: 'center', behavior: 'instant'});"
            "const r = e.getBoundingClientRect(); return [r.left + r.width / 2, r.top + r.height / 2]; })()"
        )
        for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
            self.call(
                "Input.dispatchMouseEvent", type=kind, x=place[0], y=place[1], button="left", buttons=1, clickCount=1
            )

    def press(self, key: str) -> None:
        """A key, pressed and let go."""
        code, text = KEYS[key]
        for kind in ("keyDown", "keyUp"):
            more = {"text": text} if text and kind == "keyDown" else {}
            self.call("Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code, **more)

    def picture(self, path: Path, *, whole: bool = False) -> None:
        """A screenshot: of what is seen, or of the whole page."""
        options: dict[str, Any] = {}
        if whole:
            size = self.call("Page.getLayoutMetrics")["cssContentSize"]
            options = {"captureBeyondViewport": True, "clip": {**size, "x": 0, "y": 0, "scale": 1}}
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png", **options)["data"]))

    def pdf(self, path: Path) -> None:
        """The page as it prints."""
        path.write_bytes(base64.b64decode(self.call("Page.printToPDF", printBackground=False)["data"]))

    def _next(self, seconds: float) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            if not select.select([self._read], [], [], seconds)[0]:
                raise TimeoutError(f"the browser said nothing for {seconds} s")
            found = os.read(self._read, 1 << 20)
            if not found:
                raise RuntimeError(f"the browser ended with {self._process.wait()}")
            self._buffer += found
        text, _, self._buffer = self._buffer.partition(b"\0")
        message: dict[str, Any] = json.loads(text)
        self._note(message)
        return message

    def _note(self, message: dict[str, Any]) -> None:
        match message.get("method"):
            case "Runtime.exceptionThrown":
                self.complaints.append(json.dumps(message["params"]["exceptionDetails"]))
            case "Runtime.consoleAPICalled" if message["params"]["type"] in ("error", "warning", "assert"):
                self.complaints.append(json.dumps(message["params"]["args"]))
            case "Log.entryAdded" if message["params"]["entry"]["level"] in ("error", "warning"):
                self.complaints.append(json.dumps(message["params"]["entry"]))
            case "Network.requestWillBeSent":
                self.requests.append(message["params"]["request"]["url"][:200])


@contextmanager
def browser(program: str, profile: Path) -> Iterator[Page]:
    """A page of a browser of its own, ended afterwards."""
    to_read, write = os.pipe()
    read, to_write = os.pipe()
    options = [
        "--headless",
        "--remote-debugging-pipe",
        f"--user-data-dir={profile}",
        "--no-first-run",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--disable-background-networking",
        "--hide-scrollbars",
        *(["--no-sandbox"] if os.geteuid() == 0 else []),  # the sandbox needs another user than root
    ]

    def place() -> None:  # the browser reads from 3 and writes to 4
        os.dup2(os.dup2(to_read, 103), 3)
        os.dup2(os.dup2(to_write, 104), 4)

    with (profile.parent / "chromium.log").open("wb") as log:
        process = subprocess.Popen(
            [program, *options], preexec_fn=place, pass_fds=(3, 4), stdout=log, stderr=log, stdin=subprocess.DEVNULL
        )
        os.close(to_read)
        os.close(to_write)
        try:
            page = Page(process, write, read)
            yield page
            page._session = None
            page.call("Browser.close")
        finally:
            os.close(write)
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            os.close(read)


def opened(page: Page, report: Path) -> Page:
    """A report, opened without a network on a desktop."""
    page.complaints.clear()
    page.requests.clear()
    page.offline()
    page.size(1200, 900)
    page.open("about:blank")
    page.open(report.as_uri())
    page.wait_for("!!window.landseg")
    return page


def assert_quiet(page: Page) -> None:
    """Nothing was complained of, and nothing asked for from anywhere."""
    assert page.complaints == []
    assert [url for url in page.requests if not url.startswith(("file:", "data:", "about:"))] == []


def state(page: Page) -> dict[str, Any]:
    """What the map of a report shows."""
    found: dict[str, Any] = json.loads(page.run("JSON.stringify(landseg.state())"))
    return found


def framed(page: Page) -> list[str]:
    """The numbers of the windows on the map."""
    found: list[str] = page.run(
        "Array.from(document.querySelectorAll('.window-number')).map((e) => e.textContent).sort()"
    )
    return found
