"""Every link of every page leads somewhere."""

from pathlib import Path

import pytest

from .pages import ROOT, anchors, links, pages


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    broken = []
    for link in links(page):
        path, _, anchor = link.target.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and target.suffix == ".md" and anchor not in anchors(target)):
            broken.append(f"{page.relative_to(ROOT)}:{link.line}: {link.target}")
    assert broken == []


def test_every_page_is_in_the_index() -> None:
    index = ROOT / "docs" / "README.md"
    linked = {(index.parent / link.target.partition("#")[0]).resolve() for link in links(index)}
    of_themselves = {index, *(ROOT / "docs" / "adr").glob("*"), *(ROOT / "docs" / "runbooks").glob("*")}
    assert [str(page) for page in sorted((ROOT / "docs").rglob("*.md")) if page not in linked | of_themselves] == []
