"""Tests of what a record must not hold: secrets, and the values of local variables."""

from __future__ import annotations

import logging
import sys
from typing import NoReturn

import pytest
from runtime.strict_record import SECRET, encoder, strict

from epm_task.runtime.log.encoder import exception_properties


class UnshowableError(Exception):
    """An exception whose text cannot be had."""

    def __str__(self) -> NoReturn:
        raise RuntimeError("no str")


class UnreadableError(Exception):
    """An exception whose notes cannot be had."""

    @property
    def __notes__(self) -> list[str]:  # type: ignore[override]
        raise RuntimeError("no notes")


#: What is said of such an exception; Python 3.13 looks away by itself.
_UNREADABLE = (
    "Ignored error getting __notes__: RuntimeError"
    if sys.version_info >= (3, 13)
    else "(the traceback cannot be shown: RuntimeError)"
)


@pytest.mark.parametrize(
    ("secret", "text", "shown"),
    [
        (SECRET, f"a{SECRET}b", "a********b"),
        ('pa"ss\nword', 'x pa"ss\nword', "x ********"),
        ("ünicode-secret", "ünicode-secret", "********"),
        ("\U0001f600\U0001f600secret", "\U0001f600\U0001f600secret", "********"),
        ("nabcdef", "\nabcdef", "\nabcdef"),  # written as \nabcdef: no secret in it
        ("u00e9abc", "éabc", "éabc"),
        ("\\abcdef", "\\\\abcdef", "********"),  # as `repr` writes it
        ("abc\\def", "\\abc\\def", "\\********"),
        ("message", "message", "********"),
        ("short", "short", "short"),
        ("\ud800secret", "\ud800secret", "********"),
        (SECRET + "-longer", f"{SECRET}-longer", "********"),
    ],
)
def test_secret_is_masked(secret: str, text: str, shown: str) -> None:
    """A secret of six or more characters appears nowhere in the texts of a record."""
    masking = encoder()
    masking.secrets.add([SECRET])
    masking.secrets.add([secret])
    record = strict(masking.encode(logging.INFO, text, {text: [text], "b": text}, source=text))
    assert (record["message"], record["source"]) == (shown, shown)
    assert record["properties"] == {shown: [shown], "b": shown}


@pytest.mark.parametrize("before", range(20))
def test_cut_leaves_no_part_of_a_secret(before: int) -> None:
    """A secret across the place where a record is cut is masked as a whole."""
    masking = encoder()
    masking.secrets.add([SECRET])
    rest = SECRET + "y" * 200_000
    for text, fields in (
        ("x" * (4096 - before) + rest, {}),
        ("m", {"a": "x" * (32_762 - before) + rest}),
    ):
        assert b"hunter" not in masking.encode(logging.INFO, text, fields)
    assert b"hunter" not in masking.encode(
        logging.INFO, "m", {}, source="x" * (200 - before) + rest
    )


def test_secret_is_masked_in_what_json_does_not_know() -> None:
    """Bytes and objects are searched in the form in which they are written."""
    masking = encoder()
    masking.secrets.add([SECRET])

    class Shown:
        def __str__(self) -> str:
            return f"<{SECRET}>"

    line = masking.encode(logging.INFO, Shown(), {"a": SECRET.encode(), "b": Shown()})
    assert b"hunter" not in line


def test_exception_has_type_and_traceback() -> None:
    """An exception is told by its type and where it was raised, without the values of locals."""
    password = "local-" + SECRET

    def fail() -> NoReturn:
        raise KeyError("gone" + password[:0])

    with pytest.raises(KeyError) as caught:
        fail()
    found = exception_properties(caught.value)
    assert found["exceptionType"] == "KeyError"
    assert "in fail" in found["exception"]
    assert SECRET not in found["exception"]


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (UnshowableError(), "UnshowableError: <exception str() failed>"),
        (UnreadableError(), _UNREADABLE),
    ],
)
def test_exception_that_cannot_be_shown_is_named(error: Exception, text: str) -> None:
    """An exception whose text or notes raise is still a record."""
    found = exception_properties(error)
    assert found["exceptionType"] == type(error).__name__
    assert text in found["exception"]
