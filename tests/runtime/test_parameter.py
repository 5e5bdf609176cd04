"""Tests of a parameter: what a signature's entry becomes on the command line."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Optional

import pytest
from pydantic import SecretStr

from epm_task.errors import InvalidArgument
from epm_task.runtime.parameter import (
    REQUIRED,
    Parameter,
    make_parameter,
)


@pytest.mark.parametrize(
    ("annotation", "default", "kind", "repeated", "made_default"),
    [
        (int, REQUIRED, int, False, REQUIRED),
        (int, 3, int, False, 3),
        (int | None, REQUIRED, int, False, None),
        (Optional[int], 5, int, False, 5),  # noqa: UP045  # people write it
        (list[int], REQUIRED, int, True, REQUIRED),
        (list, None, str, True, None),
        (list[str] | None, REQUIRED, str, True, None),
        (REQUIRED, REQUIRED, str, False, REQUIRED),
        (int | str | None, None, int | str, False, None),
    ],
)
def test_annotation_becomes_a_parameter(
    annotation: Any, default: Any, kind: Any, *, repeated: bool, made_default: Any
) -> None:
    """`| None` makes it optional, `list` repeated, no annotation text."""
    made = make_parameter("x", annotation, default)
    assert (made.kind, made.repeated, made.default) == (kind, repeated, made_default)
    assert made.required == (made_default is REQUIRED)


def test_names_have_three_spellings() -> None:
    """Python's name, the option and the job's token differ in form only."""
    parameter = Parameter("max_bytes", int)
    assert (parameter.option, parameter.token) == ("--max-bytes", "MaxBytes")


@pytest.mark.parametrize("text", ["/srv/a b", "ab:c", r"\\server\share", r"C:\data", ""])
def test_path_is_read_as_it_is(text: str) -> None:
    """By the rules of the system that runs the task."""
    assert Parameter("root", Path).parse(text) == Path(text)


def test_path_without_a_backslash_after_its_drive_is_refused() -> None:
    """Where there are drives."""
    if os.name != "nt":
        assert Parameter("root", Path).parse("C:data") == Path("C:data")
        return
    with pytest.raises(InvalidArgument, match="--root: 'C:data' has a drive"):
        Parameter("root", Path).parse("C:data")


def test_secret_is_a_file() -> None:
    """A secret's option names a file, because argv can be read by everybody."""
    parameter = Parameter("api_token", SecretStr)
    assert parameter.secret
    assert parameter.option == "--api-token-file"


def test_flag_is_a_single_bool() -> None:
    """Only a bool that is not repeated stands without a value."""
    assert Parameter("x", bool).flag
    assert not Parameter("x", bool, repeated=True).flag
    assert not Parameter("x", int).flag


@pytest.mark.parametrize(
    ("parameter", "texts", "given"),
    [
        (Parameter("x", str), [""], [""]),
        (Parameter("x", str, "a"), [""], [""]),
        (Parameter("x", str, None), [""], []),
        (Parameter("x", int), [""], []),
        (Parameter("x", bool, default=False), [""], []),
        (Parameter("x", str, None, repeated=True), [""], []),
        (Parameter("x", str, None, repeated=True), ["a", ""], ["a", ""]),
        (Parameter("x", int, None, repeated=True), ["1", ""], ["1"]),
    ],
)
def test_empty_text_means_not_given(
    parameter: Parameter, texts: list[str], given: list[str]
) -> None:
    """An agent substitutes an empty text for what it does not know; only text takes it."""
    assert parameter.given(texts) == given


def test_wrong_value_names_the_option() -> None:
    """A refusal says which option, and what would have been right."""
    with pytest.raises(InvalidArgument, match="--verify: 'maybe' is neither true nor false"):
        Parameter("verify", bool).parse("maybe")
    with pytest.raises(InvalidArgument, match="--max-bytes: 'x' is not a whole number"):
        Parameter("max_bytes", int).parse("x")
