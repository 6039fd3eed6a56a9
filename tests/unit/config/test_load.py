"""tickfan.config.load, and config/tickfan.toml"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tickfan.config import ConfigError, ConflatedFeed, LosslessFeed, Settings, load
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
    for head, body in re.findall(r"^\[+(\w+)\]+\n(.*?)(?=^\[|\Z)", text, re.MULTILINE | re.DOTALL):
        tables[head] = tables.get(head, "") + body
    wanted = {table: set(model.model_fields) for table, model in sections(Settings).items()}
    wanted["feeds"] = set(ConflatedFeed.model_fields) | set(LosslessFeed.model_fields)
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


def test_the_error_leads_to_no_value(tmp_path: Path) -> None:
    """A traceback of it must not show what pydantic was given."""
    with pytest.raises(ConfigError) as caught:
        load(None, {"TICKFAN_PUBLISH__TOKEN": "hunter2"})
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
