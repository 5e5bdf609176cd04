"""Tests of values as texts: what each type reads, and what it refuses."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum, IntEnum
from ipaddress import IPv4Address
from pathlib import Path, PureWindowsPath
from traceback import format_exception
from typing import Annotated, Any, Literal, NamedTuple, NewType

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import (
    AfterValidator,
    BaseModel,
    Field,
    PositiveInt,
    RootModel,
    Secret,
    SecretBytes,
    SecretStr,
)

from epm_task.errors import InvalidArgument, UnsafeConfiguration
from epm_task.files import write_atomically
from epm_task.runtime.parameter import Parameter
from epm_task.runtime.value_text import check_kind, parse_bool, read_secret, reader


@pytest.mark.parametrize("text", ["true", "1", "yes", "on", "TRUE", " Yes "])
def test_true_has_many_words(text: str) -> None:
    """All usual words for true are understood, whatever their case."""
    assert parse_bool(text) is True
    assert Parameter("x", bool).parse(text) is True


@pytest.mark.parametrize("text", ["false", "0", "no", "off", "False"])
def test_false_has_many_words(text: str) -> None:
    """All usual words for false are understood."""
    assert parse_bool(text) is False


class Mode(Enum):
    """Modes by word."""

    FAST = "fast"
    SLOW = "slow"


class Port(IntEnum):
    """Ports by number."""

    HTTP = 80


class Window(BaseModel):
    """A structured parameter."""

    start: int
    end: int = 6


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (str, " a b ", " a b "),
        (str, "", ""),
        (int, " -42 ", -42),
        (int, "+7", 7),
        (float, "1e3", 1000.0),
        (float, "-0.5", -0.5),
        (Path, "/tmp/a b", Path("/tmp/a b")),
        (datetime, "2026-01-31T12:00:00Z", datetime(2026, 1, 31, 12, tzinfo=UTC)),
        (date, "2026-01-31", date(2026, 1, 31)),
        (timedelta, "90", timedelta(seconds=90)),
        (timedelta, "1.5h", timedelta(hours=1.5)),
        (timedelta, "1d2h3m4s", timedelta(days=1, hours=2, minutes=3, seconds=4)),
        (timedelta, "PT1H30M", timedelta(hours=1, minutes=30)),
        (timedelta, "P1DT2H", timedelta(days=1, hours=2)),
        (Mode, "fast", Mode.FAST),
        (Mode, "SLOW", Mode.SLOW),
        (Port, "80", Port.HTTP),
        (Literal["a", 7], "7", 7),
        (Decimal, "1.10", Decimal("1.10")),
        (IPv4Address, "10.0.0.1", IPv4Address("10.0.0.1")),
        (PositiveInt, "3", 3),
        (Window, '{"start": 22}', Window(start=22)),
        (dict[str, int], '{"a": 1}', {"a": 1}),
        (int | str, "x", "x"),
    ],
)
def test_text_becomes_a_value(kind: Any, text: str, value: Any) -> None:
    """Each type reads the texts that people and agents write."""
    assert reader(kind)(text) == value


@pytest.mark.parametrize(
    ("kind", "text", "words"),
    [
        (int, "1.5", "whole number"),
        (int, "٣", "whole number"),
        (int, "1_000", "whole number"),
        (int, "9" * 5000, "whole number"),
        (float, "nan", "finite number"),
        (float, "inf", "finite number"),
        (float, "x", "finite number"),
        (datetime, "yesterday", "moment like"),
        (date, "31.1.2026", "day like"),
        (timedelta, "", "duration like"),
        (timedelta, "P", "duration like"),
        (timedelta, "1.2.3s", "duration like"),
        (timedelta, "9" * 30 + "d", "duration like"),
        (Mode, "medium", "none of fast, slow"),
        (Literal["a", "b"], "c", "none of a, b"),
        (PositiveInt, "0", "greater than 0"),
        (Window, '{"start": "x"}', "start: "),
        (Window, '{"start"', "JSON"),
    ],
)
def test_other_text_is_refused(kind: Any, text: str, words: str) -> None:
    """A text that is no value says what would be one, and is cut when it is long."""
    with pytest.raises(ValueError, match=words) as refused:
        reader(kind)(text)
    assert len(str(refused.value)) < 200


@given(st.integers(min_value=-(10**30), max_value=10**30))
def test_every_integer_is_read(number: int) -> None:
    """Integers of any size come back as they were written."""
    assert reader(int)(str(number)) == number


@given(st.text(max_size=30))
def test_duration_never_fails_in_another_way(text: str) -> None:
    """Any text is a duration, or a ValueError."""
    try:
        value: object = reader(timedelta)(text)
    except ValueError as error:
        value = str(error)
    assert isinstance(value, timedelta) or "duration like" in str(value)


@pytest.mark.parametrize(
    ("content", "secret"),
    [
        (b"hunter2", b"hunter2"),
        (b"hunter2\n", b"hunter2"),
        (b"hunter2\r\n", b"hunter2"),
        (b"\xef\xbb\xbfhunter2\r\n", b"hunter2"),  # PowerShell 5: Set-Content -Encoding utf8
        (b"hunter2\n\n", b"hunter2\n"),
        (b"hunter2\r", b"hunter2\r"),
        (b" hunter2 ", b" hunter2 "),
        (b"a\nb\n", b"a\nb"),
        (b"\n", b""),
    ],
)
def test_secret_comes_from_a_file(tmp_path: Path, content: bytes, secret: bytes) -> None:
    """The content of a private file, without a byte order mark and the one line end of editors."""
    file = tmp_path / "token"
    write_atomically(file, content)
    assert reader(SecretStr)(str(file)).get_secret_value() == secret.decode()
    assert reader(SecretBytes)(str(file)).get_secret_value() == secret


@pytest.mark.parametrize(
    "text",
    [
        r"C:\data",
        "C:/data",
        r"\\server\share\data",
        r"\\?\C:\data",
        r"\\.\pipe\data",
        r"\data",
        "data",
        "",
        "NUL",
    ],
)
def test_paths_of_windows_are_read_as_they_are(text: str) -> None:
    """Also those of a server, and those that may be long."""
    assert reader(PureWindowsPath)(text) == PureWindowsPath(text)


@pytest.mark.parametrize("text", ["C:data", "c:", r"D:..\data"])
def test_path_of_a_current_folder_of_a_drive_is_refused(text: str) -> None:
    """Nobody states which folder that is, and most often a backslash was forgotten."""
    with pytest.raises(ValueError, match="has a drive and no"):
        reader(PureWindowsPath)(text)


@pytest.mark.posix("there it is a question of modes")
def test_readable_secret_is_unsafe(tmp_path: Path) -> None:
    """A secret that others can read is refused."""
    file = tmp_path / "token"
    file.write_bytes(b"hunter2")
    file.chmod(0o644)
    with pytest.raises(UnsafeConfiguration, match="chmod 0600"):
        reader(SecretStr)(str(file))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A private file."""
    made = tmp_path / "token"
    write_atomically(made, b"x")
    return made


def test_a_missing_secret_says_so(tmp_path: Path) -> None:
    """With the system's words."""
    with pytest.raises(FileNotFoundError) as absent:
        (tmp_path / "none").stat()
    with pytest.raises(ValueError, match=rf"cannot read .*none: {absent.value.strerror}"):
        read_secret(tmp_path / "none")


def test_a_large_file_is_not_a_secret(file: Path) -> None:
    """A secret has at most 64 KiB."""
    write_atomically(file, b"x" * (64 * 1024 + 1))
    with pytest.raises(ValueError, match="larger than 64 KiB"):
        read_secret(file)


def test_bytes_are_not_a_secret_text(file: Path) -> None:
    """Bytes that are not UTF-8 are a secret of bytes only."""
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match="not UTF-8"):
        read_secret(file)
    assert read_secret(file, binary=True) == b"\xff\xfe"


class Login(NamedTuple):
    """A tuple with a secret."""

    user: str
    password: SecretStr


@dataclass
class Account:
    """A dataclass with a secret far below, and a field of its own kind."""

    logins: dict[str, list[Login]]
    parent: Account | None = None


class Vault(RootModel[Account]):
    """A model of one value."""


type_of_tokens = NewType("type_of_tokens", Account)


@pytest.mark.parametrize(
    "kind",
    [
        *(Login, Account, Vault, type_of_tokens, list[Login], Account | None, Secret[int]),
        *(dict[str, SecretStr], Annotated[Vault, "for people"], SecretStr | int),
    ],
)
def test_secret_in_an_argument_is_refused(kind: Any) -> None:
    """Whatever holds a secret would be passed as JSON, which everybody can read in argv."""
    with pytest.raises(ValueError, match="a secret comes from a file"):
        check_kind(kind)


def _refuse(secret: SecretStr) -> SecretStr:
    raise ValueError(f"{secret.get_secret_value()} is too weak")


def _crash(secret: SecretStr) -> SecretStr:
    raise KeyError(secret.get_secret_value())


@pytest.mark.parametrize(
    ("condition", "name"),
    [
        (AfterValidator(_refuse), "value_error"),
        (AfterValidator(_crash), "KeyError"),
        (Field(min_length=10), "too_short"),
    ],
)
def test_condition_shows_no_secret(file: Path, condition: object, name: str) -> None:
    """The reason names what refused the secret, because the author's words may hold it."""
    file.write_text("hunter2")
    with pytest.raises(ValueError, match=rf"content of the file is refused \({name}\)") as refused:
        reader(Annotated[SecretStr, condition])(str(file))
    assert "hunter2" not in "".join(format_exception(refused.value))
    many = Parameter(
        "tokens", SecretStr, repeated=True, whole=Annotated[list[SecretStr], condition]
    )
    with pytest.raises(InvalidArgument) as invalid:
        many.value([str(file)])
    assert "hunter2" not in "".join(format_exception(invalid.value))
