"""Tests of `epm-task exit-codes`."""

from __future__ import annotations

import json

from cli.command_line import epm_task

from epm_task import ExitCode


def test_table():
    """Every code stands in a line with its name and meaning; the author's own come last."""
    lines = epm_task("exit-codes").out.splitlines()
    assert len(lines) == len(ExitCode) + 1
    for code, line in zip(ExitCode, lines, strict=False):
        number, name, meaning = line.split(maxsplit=2)
        assert (int(number), name, meaning) == (code.value, code.name, code.meaning)
    assert lines[-1].startswith("1-63")


def test_json():
    """The same for programs."""
    document = json.loads(epm_task("exit-codes", "--json").out)
    assert {row["code"]: row["name"] for row in document["exit_codes"]} == {
        code.value: code.name for code in ExitCode
    }
    assert (document["author"]["first"], document["author"]["last"]) == (1, 63)
