"""What one page says of another is there: files, and headings within them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PAGES = sorted(
    page
    for places in ("*.md", "docs/*.md", "loadtest/*.md", "clients/*/*.md", "helm/*/*.md")
    for page in ROOT.glob(places)
)


def _anchors(page: Path) -> set[str]:
    """The headings of a page, as GitHub names them."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    found: set[str] = set()
    for heading in re.findall(r"^#+ (.*)$", text, re.MULTILINE):
        name = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        found.add(next(each for each in _numbered(name) if each not in found))
    return found


def _numbered(name: str) -> list[str]:
    return [name, *(f"{name}-{number}" for number in range(1, 100))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_each_link_of_a_page_leads_somewhere(page: Path) -> None:
    """Relative ones; what is on the web is not asked."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), f"{link}: no such file"
        if anchor:
            assert anchor in _anchors(target), f"{link}: no such heading"


def test_the_readme_leads_to_each_page() -> None:
    """Who has a question finds its page in one table."""
    readme = (ROOT / "README.md").read_text()
    _, _, table = readme.partition("\n## I want to")
    linked = set(re.findall(r"\]\((docs/\w+\.md)", table.partition("\n## ")[0]))
    assert linked == {f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md")}
