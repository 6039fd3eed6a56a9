"""A build of Tickfan: a checkout, and how its service is started from its own files.

Must not know what is measured, nor which settings the service gets.
"""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parents[2]
"""This checkout."""

LAYOUTS = (("tickfan", Path("service")), ("service", Path()))
"""Where a checkout may have its package: the package's name, and the directory above it."""
CLIENT = Path("clients", "python")

_SAID = "runs the code in "
_MAIN = f"""
import runpy, sys, {{package}}
print({_SAID!r} + {{package}}.__path__[0], flush=True)
sys.argv[1:] = ["serve"]
runpy.run_module("{{package}}", run_name="__main__", alter_sys=True)
"""

_VERSIONS = """
import platform
from importlib.metadata import version
names = ("aiohttp", "aio-pika", "aiormq", "msgpack", "orjson", "uvloop")
print(", ".join(["Python " + platform.python_version(), *(f"{n} {version(n)}" for n in names)]))
"""


@dataclass(frozen=True)
class Build:
    """``name`` for the report; ``package`` lies in ``above``, a directory of ``root``."""

    name: str
    root: Path
    package: str
    above: Path
    python: Path

    @classmethod
    def of(cls, root: Path, name: str = "") -> Build:
        """The build that a checkout holds. Raises :class:`LookupError` if it holds none."""
        root = root.resolve()
        for package, above in LAYOUTS:
            if (root / above / package / "__main__.py").is_file():
                own = root / ".venv" / "bin" / "python"
                python = own if own.exists() else Path(sys.executable)
                return cls(name or str(root), root, package, root / above, python)
        wanted = " nor ".join(f"{above / package}/__main__.py" for package, above in LAYOUTS)
        raise LookupError(f"{root} is no checkout of Tickfan: it has neither {wanted}")

    @property
    def environ(self) -> dict[str, str]:
        """The variables with which Python finds this build's modules before all others."""
        return {"PYTHONPATH": f"{self.above}:{self.root / CLIENT}"}

    def has(self, module: str) -> bool:
        """Whether this build has a module, such as ``transports/addresses.py``."""
        return (self.above / self.package / module).is_file()

    def arguments(self, before: str = "") -> tuple[str, ...]:
        """Python's arguments for ``serve``. ``before``: code to run first.

        ``-P``: else the modules of the directory in which it is started come first.
        """
        return ("-P", "-c", before + _MAIN.format(package=self.package))

    def about(self) -> str:
        """Commit, Python and the libraries that its service runs on, in a line."""
        git = ("git", "-C", str(self.root))
        if _answer(*git, "rev-parse", "--show-toplevel") == str(self.root):
            commit = _answer(*git, "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")
        else:
            commit = ""
        found = _answer(str(self.python), "-P", "-c", _VERSIONS)
        return ", ".join(part for part in (str(self.root), commit, found) if part)

    def verify(self, output: str) -> None:
        """Raise :class:`RuntimeError` unless the service said that it runs this build's files."""
        said = re.search(f"^{_SAID}(.*)$", output, re.MULTILINE)
        if said is None:
            raise RuntimeError(f"the service did not say which code it runs:\n{output}")
        if Path(said[1]).resolve() != self.above / self.package:
            raise RuntimeError(f"the service of {self.root} runs the code in {said[1]}")


def _answer(*command: str) -> str:
    """What a command prints; nothing if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    return "" if done.returncode else done.stdout.strip()
