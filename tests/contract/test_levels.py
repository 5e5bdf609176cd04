"""Tests of the levels: numbers of `logging`, words of the agent."""

from __future__ import annotations

import pytest

from epm_task.contract.levels import NUMBERS, word_for


@pytest.mark.parametrize(
    ("number", "word"),
    [
        *((5, "Trace"), (10, "Debug"), (20, "Information"), (30, "Warning"), (40, "Error")),
        *((50, "Critical"), (25, "Information"), (0, "Trace"), (99, "Critical"), (-3, "Trace")),
    ],
)
def test_number_has_the_agents_word(number: int, word: str) -> None:
    """A number between two levels has the word of the lower one."""
    assert word_for(number) == word


def test_words_are_those_of_the_command_line() -> None:
    """`off` is above everything."""
    assert max(NUMBERS, key=lambda word: NUMBERS[word]) == "off"
