"""A private RabbitMQ node from the system's package, for tests.

Its own node name, ports, epmd, cookie and directories: nothing is shared with
a RabbitMQ that may run here. Must not know what is tested.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

# The packages' own launchers change user when root; the script below them does not.
_SERVERS = (
    "/usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin/rabbitmq-server",
    "/opt/homebrew/opt/rabbitmq/sbin/rabbitmq-server",
    "/usr/local/opt/rabbitmq/sbin/rabbitmq-server",
)
# Where most of the modules lie that a start loads, those with the most first: of RabbitMQ's
# own directories and of Erlang's.
_APPLICATIONS = (
    "rabbit", "kernel", "stdlib", "rabbit_common", "ra", "ssl", "mnesia", "compiler", "inets",
    "xmerl", "cuttlefish", "rabbitmq_prelaunch", "ranch", "sasl", "tools", "osiris",
)  # fmt: skip
START_TIMEOUT_S = 90.0
STOP_TIMEOUT_S = 20.0


def find_server() -> str | None:
    """The path of the server's script, None if RabbitMQ is not installed."""
    for pattern in _SERVERS:
        found = sorted(Path("/").glob(pattern.lstrip("/")))
        if found:
            return str(found[-1])
    return None


def _server() -> str:
    server = find_server()
    assert server is not None, "RabbitMQ is not installed"
    return server


def _code_paths(server: str) -> list[str]:
    """The directories of :data:`_APPLICATIONS`, for Erlang to look there first.

    It looks for each of 1,500 modules in 80 directories, one after the other. That is half of
    what a start costs.
    """
    erl = shutil.which("erl")
    assert erl is not None, "RabbitMQ comes with Erlang"
    rooms = (Path(server).parents[1] / "plugins", Path(erl).resolve().parents[1] / "lib")
    return [
        str(found / "ebin")
        for name in _APPLICATIONS
        for room in rooms
        for found in room.glob(f"{name}-[0-9]*")
    ]


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on.

    Below the range that the kernel gives to outgoing connections: a port of that
    range may be taken between this look and its use.
    """
    while True:
        port = random.randrange(15_000, 32_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


class RabbitNode:
    """One node. ``config`` is appended to its rabbitmq.conf, ``plugins`` are enabled.

    ``host``: a node that has started before, and whose epmd and cookie this one shares.
    """

    def __init__(
        self,
        directory: Path,
        config: str = "",
        plugins: Sequence[str] = (),
        host: RabbitNode | None = None,
    ) -> None:
        self.directory = directory
        self.port = free_port()
        self.config = config
        self._plugins = plugins
        self._server: subprocess.Popen[bytes] | None = None
        self._epmd: subprocess.Popen[bytes] | None = None
        self._host = host
        self.epmd_port: int = host.epmd_port if host else free_port()
        self._dist_port = free_port()
        self.name = f"tickfan{self.port}@localhost"

    @property
    def url(self) -> str:
        """Where to connect."""
        return f"amqp://guest:guest@127.0.0.1:{self.port}/"

    @property
    def pid(self) -> int:
        """The process of the started node, which is all of RabbitMQ but epmd."""
        assert self._server is not None, "the node is not started"
        return self._server.pid

    @property
    def is_up(self) -> bool:
        """Whether it was started, and neither stopped nor killed since."""
        return self._server is not None

    @property
    def version(self) -> str:
        """The version that the running node has printed."""
        match = re.search(r"RabbitMQ\S* (\d+\.[\d.]+\d)", self.log)
        return match[1] if match else "unknown"

    @property
    def log(self) -> str:
        """What the node has printed so far."""
        path = self.directory / "output"
        return path.read_text(errors="replace") if path.exists() else ""

    def start(self) -> None:
        """Start it, with the data that it has, and wait until it takes connections."""
        self.launch()
        self.wait()

    def launch(self) -> None:
        """Start it without waiting."""
        server = _server()
        environment = self._prepare()
        if self._epmd is None and self._host is None:
            epmd = shutil.which("epmd")
            assert epmd is not None, "epmd comes with Erlang"
            self._epmd = subprocess.Popen([epmd], env=environment)  # noqa: S603 - the system's
        with (self.directory / "output").open("wb") as output:
            self._server = subprocess.Popen(  # noqa: S603 - the system's
                [server, "-noinput"],
                env=environment,
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait(self) -> None:
        """Wait until it takes connections."""
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            assert self._server is not None
            assert self._server.poll() is None, f"RabbitMQ ended:\n{self.log[-3000:]}"
            # Erlang may put a report of its own between "Starting broker..." and this.
            if " completed with " in self.log:
                return
            time.sleep(0.1)
        raise AssertionError(f"RabbitMQ did not start:\n{self.log[-3000:]}")

    def stop(self) -> None:
        """Stop it in order; its data stays."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once; its data stays."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Stop and start it again, on the same port and data."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """Freeze it: its connections stay open and say nothing."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused node go on."""
        self._signal(signal.SIGCONT)

    def control(self, *command: str) -> str:
        """Run ``rabbitmqctl`` for it; what it prints."""
        done = subprocess.run(  # noqa: S603 - the system's
            [str(Path(_server()).with_name("rabbitmqctl")), *command],
            env=self._prepare(), capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def close(self) -> None:
        """End it and its epmd for good."""
        self.kill()
        if self._epmd is not None:
            self._epmd.kill()
            self._epmd.wait()
            self._epmd = None

    def _prepare(self) -> dict[str, str]:
        first = self._host or self
        home, data = first.directory / "home", self.directory / "data"
        for path in (home, data):
            path.mkdir(parents=True, exist_ok=True)
        config = self.directory / "rabbitmq.conf"
        config.write_text(f"listeners.tcp.1 = 127.0.0.1:{self.port}\n{self.config}")
        plugins = self.directory / "enabled_plugins"
        plugins.write_text(f"[{','.join(self._plugins)}].\n")
        server = _server()
        return {
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "HOME": str(home),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": str(self.epmd_port),
            "RABBITMQ_NODENAME": self.name,
            "RABBITMQ_DIST_PORT": str(self._dist_port),
            "RABBITMQ_CONFIG_FILE": str(config),
            "RABBITMQ_CONF_ENV_FILE": os.devnull,
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(plugins),
            "RABBITMQ_MNESIA_BASE": str(data),
            "RABBITMQ_LOG_BASE": str(self.directory / "log"),
            # The script becomes the Erlang machine instead of waiting for it:
            # signals reach it, and it is ours to reap.
            "RABBITMQ_ALLOW_INPUT": "1",
            # One scheduler that does not spin: the tests need the cores.
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": " ".join(
                ["+S 1:1 +sbwt none -pa", *_code_paths(server)]
            ),
            **self._without_plugins(server),
        }

    def _without_plugins(self, server: str) -> dict[str, str]:
        """Where to look for plugins, if none is enabled: else each start reads all there are."""
        if self._plugins:
            return {}
        directory = self.directory / "plugins"
        directory.mkdir(exist_ok=True)
        # Its settings' schema is looked for there.
        for rabbit in (Path(server).parents[1] / "plugins").glob("rabbit-[0-9]*"):
            with suppress(FileExistsError):
                (directory / rabbit.name).symlink_to(rabbit)
        return {"RABBITMQ_PLUGINS_DIR": str(directory)}

    def _signal(self, number: int) -> None:
        assert self._server is not None
        with suppress(ProcessLookupError):
            os.killpg(self._server.pid, number)

    def _end(self, number: int) -> None:
        server, self._server = self._server, None
        if server is None:
            return
        with suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGCONT)
            os.killpg(server.pid, number)
        try:
            server.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()
