"""Chromium without a window, over its DevTools protocol."""

import asyncio
import base64
import io
import itertools
import json
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tornado.httpclient import HTTPRequest
from tornado.websocket import WebSocketClientConnection, websocket_connect

OPTIONS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--force-device-scale-factor=1",
    "--remote-debugging-port=0",
)
PATIENCE = 60


class Browser:
    """A page in a browser of its own.

    Parameters
    ----------
    executable : str
        Path of Chromium
    """

    def __init__(self, executable: str) -> None:
        self._folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        profile = Path(self._folder.name)
        self._process = subprocess.Popen(
            [executable, *OPTIONS, f"--user-data-dir={profile}", "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._numbers = itertools.count(1)
        self._loop = asyncio.new_event_loop()
        self.errors: list[str] = []
        try:
            port = int(_wait(lambda: _read_port(profile / "DevToolsActivePort")))
            self._socket = self._loop.run_until_complete(_connect(port))
        except BaseException:
            self.close()
            raise
        for domain in ("Page", "Runtime", "Log"):
            self._send(f"{domain}.enable")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *args: object) -> None:
        self.close()

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        self._loop.close()
        self._folder.cleanup()

    def resize(self, width: int, height: int, *, is_mobile: bool = False) -> None:
        self._send(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=is_mobile,
        )

    def open(self, url: str) -> None:
        self._send("Page.navigate", url=url)
        self.wait_for("document.readyState === 'complete' && location.href !== 'about:blank'")

    def evaluate(self, code: str) -> Any:
        answer = self._send(
            "Runtime.evaluate", expression=code, returnByValue=True, awaitPromise=True
        )
        if "exceptionDetails" in answer:
            raise AssertionError(json.dumps(answer["exceptionDetails"], indent=1)[:2000])
        return answer["result"].get("value")

    def wait_for(self, code: str) -> Any:
        """Wait until an expression is true."""
        return _wait(lambda: self.evaluate(code), code)

    def wait_until(self, condition: Callable[[], Any]) -> Any:
        """Wait until something is so."""
        return _wait(condition)

    def move(self, x: float, y: float) -> None:
        self._send("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def scroll(self, x: float, y: float, by: float) -> None:
        self._send("Input.dispatchMouseEvent", type="mouseWheel", x=x, y=y, deltaX=0, deltaY=by)

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        for kind, (x, y) in (
            ("mousePressed", start),
            ("mouseMoved", ((start[0] + end[0]) / 2, (start[1] + end[1]) / 2)),
            ("mouseMoved", end),
            ("mouseReleased", end),
        ):
            self._send("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def screenshot(self) -> NDArray[np.uint8]:
        answer = self._send("Page.captureScreenshot", format="png")
        picture = Image.open(io.BytesIO(base64.b64decode(answer["data"])))
        return np.asarray(picture.convert("RGB"))

    def _send(self, method: str, **parameters: Any) -> dict[str, Any]:
        return self._loop.run_until_complete(
            asyncio.wait_for(self._exchange(method, parameters), PATIENCE)
        )

    async def _exchange(self, method: str, parameters: dict[str, Any]) -> dict[str, Any]:
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": parameters}
        await self._socket.write_message(json.dumps(message))
        while True:
            text = await self._socket.read_message()
            assert text is not None, "the browser has ended"
            answer = json.loads(text)
            if answer.get("id") == number:
                assert "error" not in answer, answer
                return answer["result"]
            if answer.get("method") in ("Runtime.exceptionThrown", "Log.entryAdded"):
                self.errors.append(json.dumps(answer["params"]))


def _read_port(path: Path) -> str:
    return path.read_text().split("\n")[0] if path.exists() else ""


async def _connect(port: int) -> WebSocketClientConnection:
    from tornado.httpclient import AsyncHTTPClient

    client = AsyncHTTPClient(force_instance=True)
    pages = json.loads((await client.fetch(f"http://127.0.0.1:{port}/json/list")).body)
    url = next(page["webSocketDebuggerUrl"] for page in pages if page["type"] == "page")
    return await websocket_connect(
        HTTPRequest(url, request_timeout=PATIENCE), max_message_size=2**28
    )


def _wait(condition: Any, name: str = "the browser") -> Any:
    end = time.monotonic() + PATIENCE
    while not (value := condition()):
        assert time.monotonic() < end, f"{name}: not within {PATIENCE} s"
        time.sleep(0.05)
    return value
