"""Tests of numbers that keep their digits."""

from __future__ import annotations

import pytest

from epm_task.job.exact_number import ExactNumber, read_number


@pytest.mark.parametrize("text", ["1.10", "1e3", "1E+3", "-0", "0.0", "-1.5e-7"])
def test_an_exact_number_is_a_float_with_its_text(text: str) -> None:
    """It compares and calculates as any float."""
    number = read_number(text)
    assert isinstance(number, ExactNumber)
    assert (number.text, number, number + 1) == (text, float(text), float(text) + 1)


@pytest.mark.parametrize("text", ["0", "-1", "9" * 4300])
def test_a_whole_number_is_an_int(text: str) -> None:
    """Its digits are kept anyway."""
    assert type(read_number(text)) is int
    assert read_number(text) == int(text)


@pytest.mark.parametrize("text", ["1e999", "-1e999", "9" * 4301])
def test_what_no_number_can_hold_is_refused(text: str) -> None:
    """Not silently made infinite, nor slow."""
    with pytest.raises(ValueError, match="the number"):
        read_number(text)
