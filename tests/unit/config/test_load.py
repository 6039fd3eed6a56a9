"""tickfan.config.load, and config/tickfan.toml"""

from __future__ import annotations

import json
import re
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from tests.support.updates import LAW
from tickfan.config import ConfigError, ConflatedFeed, LosslessFeed, Settings, load
from tickfan.config.access import KeySettings
from tickfan.config.complaints import sections

SHIPPED = Path(__file__).parents[3] / "config" / "tickfan.toml"


def problems(path: Path | None, **environ: str) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        load(path, environ)
    assert str(caught.value) == "\n".join(caught.value.problems)
    return caught.value.problems


def write(directory: Path, text: str) -> Path:
    path = directory / "tickfan.toml"
    path.write_text(text)
    return path


def test_the_shipped_file_says_the_defaults() -> None:
    """With the file and without it, the same holds."""
    assert load(SHIPPED, {}) == Settings() == load(None, {})


def test_the_shipped_file_has_every_setting_with_a_reason() -> None:
    """A setting that nobody reads about does not exist."""
    text = SHIPPED.read_text()
    tables: dict[str, str] = {}
    for head, body in re.findall(
        r"^(?:# )?\[+(\w+)\]+\n(.*?)(?=^(?:# )?\[|\Z)", text, re.MULTILINE | re.DOTALL
    ):
        tables[head] = tables.get(head, "") + body
    wanted = {table: set(model.model_fields) for table, model in sections(Settings).items()}
    wanted["feeds"] = set(ConflatedFeed.model_fields) | set(LosslessFeed.model_fields)
    wanted["keys"] = set(KeySettings.model_fields)
    assert set(tables) == set(wanted)
    for table, names in wanted.items():
        written = set(re.findall(r"^(?:# )?([a-z_]+) = ", tables[table], re.MULTILINE))
        assert written == names, f"[{table}] of config/tickfan.toml"
    bare = re.findall(r"(?<!#)\n([a-z_]+) = [^#\n]*\n", text.split("[[feeds]]")[0])
    explained_above = {"intervals_ms", "url", "token"}
    assert set(bare) <= explained_above, "explain each setting on its line or above it"


def test_the_environment_wins_over_the_file_name_by_name(tmp_path: Path) -> None:
    """What it does not name stays as the file says."""
    path = write(tmp_path, "[http]\nport = 1000\nadmin_port = 1001\n[log]\nlevel = 'debug'\n")
    settings = load(path, {"TICKFAN_HTTP__PORT": "2000"})
    assert (settings.http.port, settings.http.admin_port) == (2000, 1001)
    assert settings.log.level == "debug"


def test_feeds_replace_the_default_feeds(tmp_path: Path) -> None:
    """From the file, and from the environment over it."""
    path = write(tmp_path, '[[feeds]]\nname = "a"\nbind = ["a"]\ndelivery = "lossless"\n')
    assert [feed.name for feed in load(path, {}).feeds] == ["a"]
    json = '[{"name": "b", "bind": ["b"], "delivery": "conflated"}]'
    assert [feed.name for feed in load(path, {"TICKFAN_FEEDS": json}).feeds] == ["b"]


def test_everything_wrong_is_told_at_once(tmp_path: Path) -> None:
    """File and environment, values and names and what does not fit together."""
    path = write(
        tmp_path,
        """
        [http]
        port = -1
        prot = 8080
        [stop]
        drain_s = 99
        [[feeds]]
        name = "a"
        bind = ["a.#"]
        delivery = "lossless"
        [[feeds]]
        name = "a"
        bind = ["a.b"]
        delivery = "conflated"
        """,
    )
    found = problems(path, TICKFAN_LOG__LEVEL="loud", TICKFAN_NOTHING="1")
    assert [problem.split(":")[0].split(" ")[0] for problem in found] == [
        "TICKFAN_NOTHING", "http.port", "http.prot", "log.level", "stop.grace_s", "feeds", "feeds",
    ]  # fmt: skip


def test_a_wrong_setting_of_a_feed_is_told_with_the_feeds_name(tmp_path: Path) -> None:
    """Of the file, and of the variable that replaces the file's feeds."""
    table = '[[feeds]]\nname = "fills"\nbind = ["fills.#"]\ndelivery = "lossless"\nwarm = 5\n'
    path = write(tmp_path, table)
    assert [problem.split(": got")[0] for problem in problems(path)] == ["feed 'fills': warm"]
    json = '[{"name": "b", "bind": ["b"], "delivery": "conflated", "queue": 5}]'
    [problem] = problems(path, TICKFAN_FEEDS=json)
    assert problem.startswith("feed 'b': queue: got 5")


def test_an_address_that_was_left_empty_makes_no_demo(tmp_path: Path) -> None:
    """Not with the file of 0.1.0 either, which has the market on; with a word for it, it does."""
    path = write(tmp_path, '[broker]\nurl = "memory://"\n[market]\nenabled = true\n')
    empty = {"TICKFAN_BROKER__URL": ""}
    with pytest.raises(ConfigError) as caught:
        load(path, empty)
    [problem] = caught.value.problems
    assert problem.startswith(
        "market.enabled: is true in the file, and TICKFAN_BROKER__URL is empty"
    )
    for settings in (
        load(path, {}),
        load(path, empty, is_demo=True),
        load(path, empty | {"TICKFAN_MARKET__ENABLED": "true"}),
    ):
        assert settings.market.enabled
    assert load(None, empty).lacks_broker


@pytest.mark.parametrize("text", ["{} = 5\n", "[[{}]]\nnothing = 1\n"])
def test_what_is_no_table_is_told_whatever_stands_over_it(tmp_path: Path, text: str) -> None:
    """A variable's value must not put a table in its place, and have the file's go unheard."""
    tables = {
        "http": {"TICKFAN_HTTP__PORT": "9000"},
        "broker": {"TICKFAN_BROKER__URL": "amqp://127.0.0.1/"},
        "market": {},  # over it stands the word of the command
    }
    for table, variables in tables.items():
        with pytest.raises(ConfigError) as caught:
            load(write(tmp_path, text.format(table)), variables, is_demo=table == "market")
        assert len(caught.value.problems) == 1
        assert caught.value.problems[0].startswith(f"{table}: got ")
        assert caught.value.problems[0].endswith("allowed: a table of settings")


def test_a_broken_file_is_told_with_its_line(tmp_path: Path) -> None:
    """An editor can jump there."""
    path = write(tmp_path, "[http]\nport = 80 80\n")
    [problem] = problems(path)
    assert problem.startswith(f"{path}:2: not TOML: ")
    assert "column 11" in problem
    [problem] = problems(write(tmp_path, "[http"))
    assert "not TOML: " in problem


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    """Missing, a directory, or not text."""
    missing = tmp_path / "none.toml"
    assert problems(missing) == (f"{missing}: the file cannot be read: No such file or directory",)
    assert problems(tmp_path) == (f"{tmp_path}: the file cannot be read: Is a directory",)
    latin = tmp_path / "latin.toml"
    latin.write_bytes(b"# gr\xfc\xdfe\n")
    assert problems(latin) == (f"{latin}: not UTF-8, as TOML must be: see byte 4",)


@pytest.mark.parametrize("begin", [b"", b"\xef\xbb\xbf"])
def test_a_byte_order_mark_is_no_part_of_the_file(tmp_path: Path, begin: bytes) -> None:
    """Editors on Windows write one; lines end there with CR LF."""
    path = tmp_path / "tickfan.toml"
    path.write_bytes(begin + b'[log]\r\nlevel = "debug"\r\n')
    assert load(path, {}).log.level == "debug"
    path.write_bytes(begin + b"[log]\r\nlevel = 'x' 'y'\r\n")
    assert problems(path)[0].startswith(f"{path}:2: not TOML: ")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf_16_is_named(tmp_path: Path, encoding: str) -> None:
    """As > of PowerShell 5 writes it: the sentence says what to do."""
    path = tmp_path / "tickfan.toml"
    path.write_text('[log]\nlevel = "debug"\n', encoding)
    [problem] = problems(path)
    assert problem.startswith(f"{path}: the file is in UTF-16, ")
    assert "save it as UTF-8" in problem


class Setting(NamedTuple):
    """A setting, and the types that TOML may have for it."""

    table: str
    name: str
    types: frozenset[type]
    item: type | None = None

    def file(self, value: Any) -> str:
        """A file that sets it, and what it needs."""
        if self.table not in ("conflated", "lossless"):
            return f"[{self.table}]\n{self.name} = {toml(value)}\n"
        feed = {"name": "a", "bind": ["a.#"], "delivery": self.table, self.name: value}
        return "[[feeds]]\n" + "".join(f"{key} = {toml(each)}\n" for key, each in feed.items())


def toml(value: Any) -> str:
    if isinstance(value, dict):
        pairs = (f"{json.dumps(key)} = {toml(each)}" for key, each in value.items())
        return "{" + ", ".join(pairs) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    if isinstance(value, date):
        return value.isoformat()
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def types_of(default: Any) -> frozenset[type]:
    """What TOML has for a setting of this default; a whole number will do for any."""
    if isinstance(default, float):
        return frozenset({float, int})
    if isinstance(default, tuple):
        return frozenset({list})
    return frozenset({str if isinstance(default, str | SecretStr) else type(default)})


def all_settings() -> list[Setting]:
    odd = {
        "declare": frozenset({bool, list}), "seed": frozenset({int}),
        "anonymous": frozenset({list}),
    }  # fmt: skip
    items = {"anonymous": str, "trusted_proxies": str, "intervals_ms": int}
    found = [
        Setting(table, name, odd.get(name) or types_of(value), items.get(name))
        for table in sections(Settings)
        for name, value in getattr(Settings(), table)
    ]
    for feed in (next(f for f in Settings().feeds if f.delivery == kind)
                 for kind in ("conflated", "lossless")):  # fmt: skip
        found += [
            Setting(feed.delivery, name, types_of(value), str if isinstance(value, tuple) else None)
            for name, value in feed
        ]
    return found


SETTINGS = all_settings()
SOME_OF_EACH: dict[type, tuple[Any, ...]] = {
    bool: (True, False), int: (0, 1, 100), float: (0.0, 1.0, 100.0),
    str: ("100", "1", "true", "yes", "[]"), list: ([], ["100"]), dict: ({"a": 100},),
    date: (date(2024, 1, 2),),
}  # fmt: skip
"""Values, and those that other languages take for values of another type."""
ANY = {
    bool: st.booleans(),
    int: st.integers(-(2**63), 2**63 - 1),
    float: st.floats(allow_nan=False, allow_infinity=False),
    str: st.sampled_from(SOME_OF_EACH[str]) | st.text(st.characters(codec="utf-8"), max_size=20),
    list: st.lists(st.integers(0, 9) | st.booleans(), max_size=3),
    dict: st.dictionaries(st.text("ab", min_size=1), st.integers(0, 9), max_size=2),
    date: st.dates(),
}


def check_refused(path: Path, setting: Setting, value: Any) -> None:
    path.write_text(setting.file(value), "utf-8")
    found = problems(path)
    told = rf"\b{setting.name}(\[0\])?: got .*, allowed: ."
    assert any(re.search(told, each, re.DOTALL) for each in found), (setting, value, found)


def test_no_setting_takes_a_value_of_another_type(tmp_path: Path) -> None:
    """A text is no number, 1 is not true, "yes" neither: each is told with what is allowed."""
    path = tmp_path / "tickfan.toml"
    for setting in SETTINGS:
        for kind, values in SOME_OF_EACH.items():
            for value in values:
                if kind not in setting.types:
                    check_refused(path, setting, value)
                if setting.item not in (None, kind):
                    check_refused(path, setting, [value])


@LAW
@given(data=st.data())
def test_no_setting_takes_any_value_of_another_type(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Whatever the value is."""
    setting = data.draw(st.sampled_from(SETTINGS))
    kind = data.draw(st.sampled_from([kind for kind in ANY if kind not in setting.types]))
    path = tmp_path_factory.getbasetemp() / "any.toml"
    check_refused(path, setting, data.draw(ANY[kind]))


WRONG_TEXTS: dict[type, tuple[str, ...]] = {
    bool: ("", "maybe", "2", "[]", '"true"'),
    int: ("", "x", "8080.0", "1e3", "true", "[1]", '"8080"'),
    float: ("", "x", "true", "nan", "inf", "[1]", '"15"'),
    list: ("", "50", "true", '"50"', "{}", "50,100", "[true]", "[1.5]", "[[]]", "[null]"),
}


def test_no_variable_takes_a_text_of_another_type() -> None:
    """A variable is a text, so it must be written as such a value; it is named."""
    for setting in SETTINGS:
        if setting.table in ("conflated", "lossless") or setting.types == {str}:
            continue
        texts = set.intersection(*(set(WRONG_TEXTS[kind]) for kind in setting.types))
        variable = f"TICKFAN_{setting.table}__{setting.name}".upper()
        for text in texts:
            found = problems(None, **{variable: text})
            assert found, (variable, text)
            assert all(setting.name in each or variable in each for each in found)


def test_every_setting_takes_its_default_from_a_variable() -> None:
    """Written as JSON, which is what TOML has, too."""
    for table in sections(Settings):
        for name, value in getattr(Settings(), table):
            if not isinstance(value, SecretStr) and value is not None:
                text = value if isinstance(value, str) else json.dumps(value)
                assert load(None, {f"TICKFAN_{table}__{name}".upper(): text}) == Settings()


def test_the_error_leads_to_no_value(tmp_path: Path) -> None:
    """A traceback of it must not show what pydantic was given."""
    with pytest.raises(ConfigError) as caught:
        load(None, {"TICKFAN_PUBLISH__TOKEN": "hunter2"})
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


def test_the_demo_is_the_simulated_market_switched_on(tmp_path: Path) -> None:
    """The command's word wins over the file's and the environment's, and changes nothing else."""
    path = write(tmp_path, "[market]\nenabled = false\nrate = 7\n")
    settings = load(path, {"TICKFAN_MARKET__ENABLED": "false"}, is_demo=True)
    assert (settings.market.enabled, settings.market.rate) == (True, 7)
    assert not load(path, {}).market.enabled


def test_a_schema_is_told_by_its_feed(tmp_path: Path) -> None:
    """The path that was given, and what is wrong with it."""
    schema = tmp_path / "fills.json"
    schema.write_text('{"$ref": "https://example.com/fills.json"}')
    table = '[[feeds]]\nname = "fills"\nbind = ["fills.#"]\ndelivery = "lossless"\n'
    [problem] = problems(write(tmp_path, f"{table}schema_file = '{schema}'\n"))
    assert problem.startswith("feed 'fills': schema_file: ")
    assert "Retrieval is disabled" in problem


def test_what_no_parser_takes_is_told(tmp_path: Path) -> None:
    """Nested too deep, or an integer of too many digits; in the file, and in a variable."""
    for text in (f"a = {'[' * 3000}", f"a = {'9' * 5000}"):
        [problem] = problems(write(tmp_path, text))
        assert "not TOML that a setting could need: " in problem
    for text in ("[" * 100_000, f"[{'9' * 5000}]"):
        [problem] = problems(None, TICKFAN_FEEDS=text)
        assert problem.startswith("feeds: TICKFAN_FEEDS must hold a JSON array: ")
