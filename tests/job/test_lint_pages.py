"""Tests of the pages of the rules."""

from __future__ import annotations

from pathlib import Path

from epm_task.job.lint_pages import markdown, overview, page
from epm_task.job.rules import RULES

DOCS = Path(__file__).parents[2] / "docs"


def test_the_document_is_in_step() -> None:
    """docs/lints.md is what `epm-task explain --markdown` prints."""
    assert (DOCS / "lints.md").read_text("utf-8") == markdown()


def test_the_document_holds_every_page() -> None:
    """With a table that links to them."""
    text = markdown()
    for rule in RULES.values():
        assert f"| [{rule.code}](#{rule.code.lower()}) | {rule.severity} | {rule.title} |" in text
        assert rule.page in text


def test_a_page_for_a_terminal() -> None:
    """Code, title, severity, and the page."""
    rule = RULES["EPM003"]
    assert page(rule) == f"EPM003: {rule.title} (error)\n\n{rule.page}\n"


def test_the_overview_has_a_line_for_each_rule() -> None:
    """In the order of the codes."""
    assert [line.split()[0] for line in overview().splitlines()] == list(RULES)
