"""A real Chromium, driven over its DevTools protocol.

Must not know what is tested.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any, Self

import aiohttp

from tests.support.programs import require

TIMEOUT_S = 90
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-dev-shm-usage", "--remote-debugging-port=0",
)  # fmt: skip


class Navigated(Exception):
    """The page went while it was asked something."""


class _Chromium:
    """A running browser."""

    def __init__(self, *flags: str) -> None:
        self._profile = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        binary = require("chromium", "chromium-browser")
        self.process = subprocess.Popen(
            [binary, *FLAGS, *flags, f"--user-data-dir={self._profile.name}", "about:blank"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    async def port(self) -> int:
        """Where it listens, as soon as it does."""
        file = Path(self._profile.name) / "DevToolsActivePort"
        async with asyncio.timeout(TIMEOUT_S):
            while not file.exists() or "\n" not in file.read_text():  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        return int(file.read_text().split("\n")[0])

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(10)
        self._profile.cleanup()


_running: dict[tuple[str, ...], _Chromium] = {}
"""Those of this process that were needed, by their flags: a start takes a second."""


def _chromium(*flags: str) -> _Chromium:
    here = _running.get(flags)
    if here is None or here.process.poll() is not None:
        if here is not None:
            here.close()
        here = _running[flags] = _Chromium(*flags)
    return here


def close() -> None:
    """End the browsers that were started."""
    while _running:
        _running.popitem()[1].close()


class Browser:
    """One page of a browser, with cookies, storage and connections of its own."""

    def __init__(self, *flags: str) -> None:
        """``flags`` are more words for the command line of its Chromium."""
        self._flags = flags
        self._session: aiohttp.ClientSession | None = None
        self._root: aiohttp.ClientWebSocketResponse | None = None
        self._context = ""
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._count = 0
        self.complaints: list[str] = []
        """What the page did wrong: errors that no one caught, and refusals of the browser."""

    async def __aenter__(self) -> Self:
        here = f"127.0.0.1:{await _chromium(*self._flags).port()}"
        self._session = aiohttp.ClientSession()
        async with self._session.get(f"http://{here}/json/version") as answer:
            root = (await answer.json())["webSocketDebuggerUrl"]
        self._root = await self._session.ws_connect(root, max_msg_size=0)
        made = await self._ask(self._root, "Target.createBrowserContext", disposeOnDetach=True)
        self._context = made["browserContextId"]
        page = await self._ask(
            self._root, "Target.createTarget", url="about:blank", browserContextId=self._context
        )
        self._socket = await self._session.ws_connect(
            f"ws://{here}/devtools/page/{page['targetId']}", max_msg_size=0
        )
        await self._call("Runtime.enable")
        await self._call("Log.enable")
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._session is not None
        assert self._root is not None
        if self._socket is not None:
            await self._socket.close()
        await self._ask(self._root, "Target.disposeBrowserContext", browserContextId=self._context)
        await self._root.close()
        await self._session.close()

    async def open(self, url: str) -> None:
        """Show a page that stays at its address."""
        await self.visit(url)
        await self.until(f"location.href == {json.dumps(url)}")

    async def visit(self, url: str) -> None:
        """Show a page, whatever address it gives itself."""
        await self.run("window.isOld = true")
        await self._call("Page.navigate", url=url)
        await self.until("!window.isOld && document.readyState == 'complete'")

    async def back(self) -> None:
        """Go back to the page before."""
        with contextlib.suppress(Navigated):
            await self.run("history.back()")

    async def look(self, *, width: int, scheme: str = "light", height: int = 800) -> None:
        """Be a window so wide and high, in px, of somebody who prefers ``light`` or ``dark``."""
        await self._call(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=False,
        )  # fmt: skip
        wish = {"name": "prefers-color-scheme", "value": scheme}
        await self._call("Emulation.setEmulatedMedia", features=[wish])

    async def press(self, key: str) -> None:
        """Press and release a key that makes a character."""
        await self._call("Input.dispatchKeyEvent", type="keyDown", key=key, text=key)
        await self._call("Input.dispatchKeyEvent", type="keyUp", key=key)

    async def named(self, role: str) -> list[str]:
        """What assistive technology calls everything of that role."""
        tree = await self._call("Accessibility.getFullAXTree")
        return [
            node.get("name", {}).get("value", "")
            for node in tree["nodes"]
            if not node["ignored"] and node["role"]["value"] == role
        ]

    async def block(self, *patterns: str) -> None:
        """Let no request to these addresses through; without any, all."""
        await self._call("Network.enable")
        await self._call("Network.setBlockedURLs", urls=list(patterns))

    async def run(self, script: str) -> Any:
        """Evaluate a script in the page; its value, which may be a promise."""
        answer = await self._call(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    async def until(self, condition: str) -> None:
        """Wait until the script's value is true; raises TimeoutError."""
        async with asyncio.timeout(TIMEOUT_S):
            while True:
                with contextlib.suppress(Navigated):
                    if await self.run(condition):
                        return
                await asyncio.sleep(0.05)

    async def _call(self, method: str, **params: Any) -> dict[str, Any]:
        assert self._socket is not None
        return await self._ask(self._socket, method, **params)

    async def _ask(
        self, socket: aiohttp.ClientWebSocketResponse, method: str, **params: Any
    ) -> dict[str, Any]:
        self._count += 1
        number = self._count
        await socket.send_json({"id": number, "method": method, "params": params})
        async with asyncio.timeout(TIMEOUT_S):
            while True:
                message = await socket.receive_json()
                self._note(message)
                if message.get("id") == number:
                    said = message.get("error", {}).get("message", "")
                    if "navigated" in said or "context" in said:
                        raise Navigated(said)
                    assert "error" not in message, message
                    result: dict[str, Any] = message["result"]
                    return result

    def _note(self, message: dict[str, Any]) -> None:
        params = message.get("params", {})
        if message.get("method") == "Runtime.exceptionThrown":
            self.complaints.append(str(params["exceptionDetails"]))
        elif message.get("method") == "Log.entryAdded" and params["entry"]["level"] == "error":
            self.complaints.append(str(params["entry"]))
