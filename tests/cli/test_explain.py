"""Tests of `epm-task explain`."""

from __future__ import annotations

import json

from cli.command import epm_task

from epm_task.job.lint_pages import markdown, overview, page
from epm_task.job.rules import RULES


def test_a_page() -> None:
    """In any case of the code."""
    assert epm_task("explain", "epm003").out == page(RULES["EPM003"])


def test_all_codes() -> None:
    """One line each."""
    assert epm_task("explain").out == overview()


def test_markdown() -> None:
    """What docs/lints.md holds."""
    assert epm_task("explain", "--markdown").out == markdown()


def test_json() -> None:
    """One rule, or all of them."""
    rules = json.loads(epm_task("explain", "--json").out)["rules"]
    assert [rule["code"] for rule in rules] == list(RULES)
    (rule,) = json.loads(epm_task("explain", "EPM003", "--json").out)["rules"]
    assert (rule["severity"], rule["page"]) == ("error", RULES["EPM003"].page)


def test_an_unknown_code_is_one_line() -> None:
    """With a proposal."""
    ended = epm_task("explain", "EPM03")
    assert (ended.code, ended.out, len(ended.err)) == (2, "", 1)
    assert "there is no rule EPM03" in ended.err[0]
