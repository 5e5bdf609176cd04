"""Tests of the task list: one more file, and not a byte of the rest changed."""

from __future__ import annotations

import tomllib

import pytest

from epm_task.scaffold.template import ScaffoldError, with_task


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", '\n\n[tool.epm-task]\ntasks = ["b.py"]\n'),
        (
            "[project]\nname = 'x'\n",
            "[project]\nname = 'x'\n\n[tool.epm-task]\ntasks = [\"b.py\"]\n",
        ),
        ("[tool.epm-task]\n", '[tool.epm-task]\ntasks = ["b.py"]\n'),
        ("[tool.epm-task]\r\nx = 1\r\n", '[tool.epm-task]\r\ntasks = ["b.py"]\r\nx = 1\r\n'),
        ("[tool.epm-task] # ours\nx = 1\n", '[tool.epm-task] # ours\ntasks = ["b.py"]\nx = 1\n'),
        ("[tool.epm-task]\ntasks = []\n", '[tool.epm-task]\ntasks = ["b.py"]\n'),
        ('[tool.epm-task]\ntasks=["a.py"]', '[tool.epm-task]\ntasks=["a.py", "b.py"]'),
        (
            '[tool.epm-task]\ntasks = [\n  "a.py",\n]\n',
            '[tool.epm-task]\ntasks = [\n  "a.py", "b.py",\n]\n',
        ),
        (
            '[other]\ntasks = ["x"]\n[tool.epm-task]\r\ntasks = ["a.py"]\r\n',
            '[other]\ntasks = ["x"]\n[tool.epm-task]\r\ntasks = ["a.py", "b.py"]\r\n',
        ),
    ],
)
def test_a_file_is_added(before: str, after: str) -> None:
    """In the form that the author has chosen."""
    assert with_task(before, "b.py") == after
    assert tomllib.loads(after)["tool"]["epm-task"]["tasks"][-1] == "b.py"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[tool.epm-task\n", "cannot be read"),
        ("[tool]\nepm-task = {tasks = ['a.py']}\n", "cannot be extended"),
        ("[tool.'epm-task']\ntasks = ['a.py']\n", "cannot be extended"),
        ('[tool.epm-task]\ntasks = ["a]b.py"]\n', "form that cannot be extended"),
        ('[tool.epm-task]\ntasks = [\n  "a.py", # one\n]\n', "form that cannot be extended"),
        ('[tool.epm-task]\nx = 1\n[tool.epm-task.y]\ntasks = ["a.py"]\n', "cannot be extended"),
    ],
)
def test_another_form_is_refused(text: str, why: str) -> None:
    """Rather than broken."""
    with pytest.raises(ScaffoldError, match=why):
        with_task(text, "b.py")
