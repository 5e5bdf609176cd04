"""Tests of the site that is made of `docs/`: whole, within two clicks, and without any network."""

from __future__ import annotations

import os
import subprocess
import sys
from html.parser import HTMLParser
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urldefrag

import pytest
from peers.patience import PATIENCE

import epm_task
import epm_task.testing

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
#: Made by Sphinx, for searching.
OWN = {"genindex.html", "search.html"}


class Links(HTMLParser):
    """The links of a page, and the ids of its elements."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.ids: set[str] = set()
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep what a start tag says."""
        given = dict(attrs)
        self.ids.add(given.get("id") or "")
        if tag == "a":
            self.links.add(given.get("href") or "")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as people build it; a warning fails it."""
    if find_spec("sphinx") is None:
        pytest.skip("sphinx, of the extra publish, is not installed")
    folder = tmp_path_factory.mktemp("site")
    build = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", DOCS, folder]
    ended = subprocess.run(
        list(map(str, build)),
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    return folder


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[str, Links]:
    """Each page by its name."""
    return {page.name: Links(page) for page in site.glob("*.html")}


def test_each_page_is_there(pages: dict[str, Links]) -> None:
    """Those of `docs/`, and nothing beside them."""
    assert {page.stem for page in DOCS.glob("*.md")} == {
        name.removesuffix(".html") for name in pages.keys() - OWN
    }


def test_every_page_is_within_two_clicks(pages: dict[str, Links]) -> None:
    """From the first page, by links of the pages themselves."""
    reached = {"index.html"}
    for _ in range(2):
        found = {urldefrag(link).url for name in reached for link in pages[name].links}
        reached |= found & pages.keys()
    assert pages.keys() - OWN - reached == set()


def test_no_link_leads_nowhere(site: Path, pages: dict[str, Links]) -> None:
    """Pages and places in them exist."""
    lost = []
    for name, page in pages.items():
        for link in page.links:
            target, fragment = urldefrag(link)
            if "://" in target or target.startswith("mailto:"):
                continue
            file = (site / unquote(target)).resolve() if target else site / name
            known = pages[file.name].ids if file.name in pages else set()
            if not file.exists() or (fragment and known and unquote(fragment) not in known):
                lost.append((name, link))
    assert lost == []


def test_the_page_of_names_shows_all(site: Path, pages: dict[str, Links]) -> None:
    """Each public name has its docstring there."""
    names = [f"epm_task.{name}" for name in epm_task.__all__]
    names += [f"epm_task.testing.{name}" for name in epm_task.testing.__all__]
    assert set(names) - pages["api.html"].ids == set()
    text = (site / "api.html").read_text(encoding="utf-8")
    assert "Send <em>payload</em> as one JSON object" in text  # of TaskContext.publish


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A real browser."""
    pytest.importorskip("playwright", reason="playwright, of the extra dev, is not installed")
    from console.browser import open_browser

    with open_browser() as opened:
        yield opened


def test_search_works_from_the_disk(site: Path, browser: Any) -> None:
    """Without a server, and nothing is asked of another place."""
    asked: list[str] = []
    complaints: list[str] = []
    page = browser.new_page()
    page.set_default_timeout(PATIENCE * 1000)
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto((site / "index.html").as_uri())
    page.get_by_placeholder("Search").fill("registration")
    page.get_by_placeholder("Search").press("Enter")
    page.wait_for_selector('ul.search a[href^="fidelity.html"]')
    assert [url for url in asked if not url.startswith((site.as_uri(), "data:"))] == []
    assert complaints == []
