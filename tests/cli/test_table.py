"""Tests of the table for people."""

from __future__ import annotations

from epm_task.cli.table import table


def test_columns_are_aligned_and_control_characters_escaped() -> None:
    """No line ends with blanks."""
    shown = table(("A", "LONGER"), [("x" * 3, 1), ("\x1b[2J", "")])
    assert shown.splitlines() == ["A        LONGER", "xxx      1", r"\x1b[2J"]


def test_a_table_without_rows_has_its_heads() -> None:
    """So that people see what would stand there."""
    assert table(("A", "B"), []) == "A  B"
