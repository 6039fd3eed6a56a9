"""The rules of the house that a linter does not know, each with its way out."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.conftest import LONGEST
from tickfan.fanout.subscriber import Subscriber

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
SERVICE = ROOT / "service" / "tickfan"
TESTS = ROOT / "tests" / "unit"
LIVE_TESTS = ROOT / "tests" / "service"
LINES_MAX = 350
WHO = (
    "subscriber",
    "member",
    "self.subscriber",
    "connection.subscriber",
    "self.connection.subscriber",
)
"""What a subscriber is called in the code."""

INSIDES = SERVICE / "transports" / "server.py"
"""The one module that uses what aiohttp does not promise to keep, and names each."""

AIOHTTP = {"aiohttp", "aiohttp.abc", "aiohttp.typedefs"}
"""The modules of aiohttp that its reference names."""

UNDOCUMENTED = {"loop", "protocol", "task", "writer"}
"""What a request has beside what aiohttp's reference names."""

NAMED_TUPLE = {"_asdict", "_fields", "_make", "_replace"}
"""Public, whatever they begin with."""

SOURCES = sorted(SERVICE.rglob("*.py"))
LOADTEST = sorted((ROOT / "loadtest").rglob("*.py"))
KNOWS_ALL = {SERVICE / name for name in ("__init__.py", "__main__.py", "app.py")}
CLIENT = sorted((ROOT / "clients" / "python").rglob("*.py"))
ALL_TESTS = sorted((ROOT / "tests").rglob("*.py"))
OURS = {"tickfan", "tickfan_client", "loadtest", "tests"}


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def _imports(path: Path) -> set[str]:
    """Every module that the file imports, also inside functions."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            found.add("." * node.level + (node.module or ""))
    return found


@pytest.mark.parametrize(
    "source",
    [path for path in SOURCES if path.name not in ("__init__.py", "__main__.py")],
    ids=_name,
)
def test_each_module_has_its_test(source: Path) -> None:
    """Whoever opens a module finds its tests at the mirrored path, in one tree or both."""
    inside = source.relative_to(SERVICE)
    mirrors = [tree / inside.parent / f"test_{inside.name}" for tree in (TESTS, LIVE_TESTS)]
    assert any(mirror.is_file() for mirror in mirrors), (
        f"{_name(source)} has no test: write {_name(mirrors[0])}, or {_name(mirrors[1])} "
        "if it needs a running service, a socket or a process"
    )


@pytest.mark.parametrize("tree", [TESTS, LIVE_TESTS], ids=_name)
def test_each_test_has_its_module(tree: Path) -> None:
    """A module that moves takes its tests along."""
    rooms = {path.relative_to(SERVICE).parent for path in SOURCES}
    strays = [
        _name(test)
        for test in tree.rglob("test_*.py")
        if (inside := test.relative_to(tree)).parent in rooms
        and test != Path(__file__)
        and not (SERVICE / inside.parent / inside.name[5:]).is_file()
        and not (SERVICE / inside.parent / inside.stem[5:]).is_dir()
    ]
    assert not strays, f"{strays} test no module of this name: move them beside what they test"


@pytest.mark.parametrize("source", sorted((SERVICE / "core").rglob("*.py")), ids=_name)
def test_core_imports_the_standard_library_and_core_alone(source: Path) -> None:
    """Core can be tested by calling it, with nothing installed."""
    foreign = sorted(
        module
        for module in _imports(source)
        if not module.startswith("tickfan.core")
        and module.partition(".")[0] not in sys.stdlib_module_names
    )
    assert not foreign, (
        f"{_name(source)} imports {foreign}: pass the value or a callable in from outside, "
        "or move the module out of core"
    )


@pytest.mark.parametrize("source", sorted((SERVICE / "core").rglob("*.py")), ids=_name)
def test_core_has_no_loop_no_clock_and_no_log(source: Path) -> None:
    """Time and tasks are the business of those who call core."""
    banned = _imports(source) & {"asyncio", "logging", "random", "socket", "threading", "time"}
    assert not banned, (
        f"{_name(source)} imports {sorted(banned)}: take the time, the chance or the outcome "
        "as an argument, and let the caller wait and log"
    )


@pytest.mark.parametrize(
    "source",
    [
        *sorted((SERVICE / "fanout").rglob("*.py")),
        *sorted((SERVICE / "session").rglob("*.py")),
        *(SERVICE / "transports" / f"{name}.py" for name in ("admission", "conversation", "guest")),
        SERVICE / "ingest.py",
    ],
    ids=_name,
)
def test_time_and_chance_are_handed_in(source: Path) -> None:
    """So that all of the fan-out can run on virtual time, from a seed."""
    banned = _imports(source) & {"datetime", "random", "secrets", "time"}
    assert not banned, (
        f"{_name(source)} imports {sorted(banned)}: take a tickfan.clock.Clock, and ask it"
    )


@pytest.mark.parametrize("source", LOADTEST, ids=_name)
def test_load_tests_do_not_import_tests(source: Path) -> None:
    """They run without them: on another machine, against another build."""
    found = sorted(module for module in _imports(source) if module.partition(".")[0] == "tests")
    assert not found, f"{_name(source)} imports {found}: move what both need to loadtest/rig"


@pytest.mark.parametrize("source", SOURCES + CLIENT, ids=_name)
def test_no_module_is_long(source: Path) -> None:
    """A module can be read in one sitting."""
    lines = len(source.read_text().splitlines())
    assert lines <= LINES_MAX, (
        f"{_name(source)} has {lines} lines, {LINES_MAX} are allowed: "
        "make a package of it, with one noun a module"
    )


@pytest.mark.parametrize("source", SOURCES + CLIENT, ids=_name)
def test_each_module_has_a_door_sign(source: Path) -> None:
    """The docstring says what the module holds and what it must not know."""
    assert ast.get_docstring(ast.parse(source.read_text())), (
        f"{_name(source)} has no docstring: begin it with one that says what the module "
        "holds and what it must not know"
    )


@pytest.mark.parametrize("source", [path for path in SOURCES if path not in KNOWS_ALL], ids=_name)
def test_each_door_sign_says_what_its_module_must_not_know(source: Path) -> None:
    """What a module does not know cannot break it."""
    sign = " ".join((ast.get_docstring(ast.parse(source.read_text())) or "").lower().split())
    assert "must not know" in sign or "must not hold" in sign or "must not show" in sign, (
        f"{_name(source)} does not say what it must not know: end its docstring with that"
    )


@pytest.mark.parametrize("source", SOURCES + CLIENT, ids=_name)
def test_no_module_has_state(source: Path) -> None:
    """Two services in one process share nothing."""
    found = [
        node.lineno
        for node in ast.walk(ast.parse(source.read_text()))
        if isinstance(node, ast.Global)
    ]
    assert not found, (
        f"{_name(source)} has a global statement in line {found}: keep the value in an object "
        "that tickfan.app makes and hands on"
    )


@pytest.mark.parametrize(
    "path", [path for path in SOURCES if path.name != "subscriber.py"], ids=_name
)
def test_nobody_else_changes_a_subscriber(path: Path) -> None:
    """Its phase has one truth: what may follow what stands above its methods.

    The shared path counts what it writes; it changes no phase.
    """
    found = [
        f"{ast.unparse(target)} in line {target.lineno}"
        for node in ast.walk(ast.parse(path.read_text()))
        for target in _targets(node)
        if target.attr in Subscriber.__slots__
        and ast.unparse(target.value) in WHO
        and not (path.name == "sharing.py" and target.attr in ("updates", "written_at"))
    ]
    assert not found, (
        f"{_name(path)} assigns to {found}: give tickfan.fanout.subscriber a method that says "
        "what has happened"
    )


@pytest.mark.parametrize("path", SOURCES, ids=_name)
def test_nobody_touches_what_is_private_to_another(path: Path) -> None:
    """What begins with _ may change without a word: a field of ours, and of a library's."""
    found = [
        f"{ast.unparse(node)} in line {node.lineno}"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute)
        and node.attr.startswith("_")
        and not node.attr.endswith("__")
        and node.attr not in NAMED_TUPLE
        and ast.unparse(node.value) not in ("self", "cls", "super()")
    ]
    assert not found, f"{_name(path)} reaches for {found}: ask the object by a public method"


@pytest.mark.parametrize("path", SOURCES, ids=_name)
def test_one_module_says_from_what_address_a_request_comes(path: Path) -> None:
    """The socket's address is a proxy's, mostly: logs, limits and audits ask Remotes.of."""
    asks = re.search(
        r"request\.remote\b|getpeername|[\"']peername|X-Forwarded-For\"", path.read_text()
    )
    # A transport of ours has to answer, as those of event loops do.
    may_ask = path.name in ("remotes.py", "tlsline.py")
    assert (asks is None) is not may_ask, f"{_name(path)} has {asks}"


@pytest.mark.parametrize("path", [path for path in SOURCES if path != INSIDES], ids=_name)
def test_insides_of_aiohttp_are_used_in_one_module(path: Path) -> None:
    """Whoever upgrades aiohttp reads one file, and its test."""
    tree = ast.parse(path.read_text())
    found = sorted(
        name for name in _imports(path) if name.startswith("aiohttp.") and name not in AIOHTTP
    )
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and any(_is_aiohttps(base) for base in node.bases):
            found += [
                f"{ast.unparse(each)} in line {each.lineno}"
                for each in ast.walk(node)
                if isinstance(each, ast.Attribute)
                and each.attr.startswith("_")
                and ast.unparse(each.value) in ("self", "super()")
            ]
        if (
            isinstance(node, ast.Attribute)
            and node.attr in UNDOCUMENTED
            and ast.unparse(node.value) in ("request", "web_request")
        ):
            found.append(f"{ast.unparse(node)} in line {node.lineno}")
    assert not found, f"{_name(path)} uses {found}: give {_name(INSIDES)} a function for it"


@pytest.mark.parametrize("path", ALL_TESTS, ids=_name)
def test_no_test_replaces_what_it_tests(path: Path) -> None:
    """A function or constant that is replaced by its name is not what a caller has.

    A caller that has imported it by its name goes on with the old one, and all services of the
    process get the new one. ``setattr`` is not used at all: nobody sees from it whose object it
    is. An object of the test's own can be made as the test needs it.
    """
    tree = ast.parse(path.read_text())
    ours = {
        (alias.asname or alias.name).partition(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
        if (getattr(node, "module", None) or alias.name).partition(".")[0] in OURS
    }
    found = [
        f"{ast.unparse(node.func)} in line {node.lineno}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and ast.unparse(node.func).rpartition(".")[2] in ("setattr", "delattr")
    ]
    found += [
        f"{ast.unparse(target)} in line {target.lineno}"
        for node in ast.walk(tree)
        for target in _targets(node)
        if ast.unparse(target.value).partition(".")[0] in ours
    ]
    found += [name for name in _imports(path) if name == "mock" or name.startswith("unittest")]
    assert not found, (
        f"{_name(path)} has {found}: hand the fault in where the object is made (see "
        "tickfan.app.Parts), or count with tests.support.calls"
    )


def _is_aiohttps(base: ast.expr) -> bool:
    """Whether a class that a class is made of is aiohttp's or aiohttp-sse's."""
    return ast.unparse(base).startswith(("web.", "aiohttp.", "EventSourceResponse"))


def _targets(node: ast.AST) -> Iterator[ast.Attribute]:
    """The attributes that a statement assigns to."""
    if isinstance(node, ast.Assign):
        targets = node.targets
    elif isinstance(node, ast.AugAssign | ast.AnnAssign | ast.Delete):
        targets = node.targets if isinstance(node, ast.Delete) else [node.target]
    else:
        return
    for target in targets:
        yield from (each for each in ast.walk(target) if isinstance(each, ast.Attribute))


def test_each_long_file_of_the_tests_is_there() -> None:
    """A name of nothing would put nothing to the front."""
    assert [name for name in LONGEST if not (ROOT / "tests" / name).is_file()] == []
    assert len(set(LONGEST)) == len(LONGEST)


def test_publishing_to_the_hub_is_a_plain_function() -> None:
    """The path of an update has no await: nothing can come in between."""
    tree = ast.parse((SERVICE / "fanout" / "hub.py").read_text())
    found = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == "publish"
    ]
    assert found, "tickfan/fanout/hub.py has no publish: the sink calls hub.publish for each update"
    assert all(isinstance(node, ast.FunctionDef) for node in found), (
        "hub.publish is a coroutine: make it a plain def, and leave waiting to the flush"
    )
