"""Decide how a value of a type is written as text, in a job document or an argument, and read back.

The types of most parameters are read here, with one grammar of numbers; all others are pydantic's.
"""

from __future__ import annotations

import re
import types
from datetime import date, datetime, time, timedelta
from enum import Enum
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Final,
    Literal,
    Union,
    get_args,
    get_origin,
)

from epm_task.contract.secrets import holds_secret, secret_form

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

#: The numbers of arguments, in every type that has some, and in the agent's check of them.
WHOLE: Final = r"[+-]?[0-9]{1,400}"
NUMBER: Final = r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
#: What the agent fills, or has left as it is.
TOKEN: Final = r"\{[A-Za-z][\w.-]*\}"  # noqa: S105  # no secret

_TRUE: Final = frozenset({"true", "1", "yes", "on"})
_FALSE: Final = frozenset({"false", "0", "no", "off"})
_SHOWN: Final = 40
_UNIONS: Final = (Union, types.UnionType)
#: Conditions of pydantic that may depend on this machine, as whether a file exists.
_OUTER: Final = {"AfterValidator", "PathType"}


def split_annotation(annotation: Any) -> tuple[Any, bool, Any, bool]:
    """Return the type of one value, whether a list holds several, its type, and if None is allowed.

    The type of the list is None when it has no conditions of its own.
    """
    plain, conditions = _layers(annotation)
    origin, arms = get_origin(plain), get_args(plain)
    optional = (origin is Literal and None in arms) or (
        origin in _UNIONS and types.NoneType in arms
    )
    if optional:
        rest = tuple(arm for arm in arms if arm not in (None, types.NoneType))
        plain = Literal[rest] if origin is Literal else Union[rest]  # noqa: UP007  # at run time
        plain, more = _layers(plain)
        conditions = (*more, *conditions)
    if (plain is list or get_origin(plain) is list) and not any(map(_reads_text, conditions)):
        item, own = _layers((get_args(plain) or (str,))[0])
        whole = _with(plain, conditions) if conditions else None
        return _with(item, own), True, whole, optional
    return _with(plain, conditions), False, None, optional


def _layers(annotation: Any) -> tuple[Any, tuple[Any, ...]]:
    """Return the type below `Annotated`, `NewType` and type aliases, and pydantic's conditions."""
    conditions: tuple[Any, ...] = ()
    while not isinstance(annotation, type):
        if get_origin(annotation) is Annotated:
            annotation, *more = get_args(annotation)
            conditions = (*filter(_is_condition, more), *conditions)
        elif hasattr(annotation, "__supertype__"):
            annotation = annotation.__supertype__
        elif hasattr(annotation, "__value__"):
            annotation = annotation.__value__
        else:
            break
    return annotation, conditions


def _is_condition(metadata: Any) -> bool:
    """Return whether it means anything to pydantic; a text, for one, is for people."""
    package = type(metadata).__module__.partition(".")[0]
    return package in {"annotated_types", "pydantic"} or _reads_text(metadata)


def _reads_text(condition: Any) -> bool:
    """Return whether pydantic shall see the text: `BeforeValidator`, `Json`, and others' own."""
    changes = hasattr(condition, "__get_pydantic_core_schema__")
    return changes and type(condition).__name__ not in _OUTER


def _with(kind: Any, conditions: Iterable[Any]) -> Any:
    return Annotated[(kind, *conditions)] if conditions else kind


def text_of(value: Any, kind: Any = Any) -> str:
    """Return *value* as the text of an argument; structures are JSON.

    Raises:
        ValueError: It has no text; the message is the reason.
    """
    if isinstance(value, Enum):
        return text_of(value.value)
    for known, form in _FORMS:
        if isinstance(value, known):
            return form(value)
    if type(value).__module__ == "decimal":
        return str(value)
    from epm_task.runtime.rich_value import write_rich  # noqa: PLC0415  # pydantic: 60 ms

    return write_rich(value, kind)


def reader(kind: Any) -> Callable[[str], Any]:
    """Return the function that reads a value of type *kind*; its ValueError is the reason."""
    base, conditions = _layers(kind)
    read = None if any(map(_reads_text, conditions)) else _native_reader(base)
    if read is not None and not conditions:
        return read
    if get_origin(base) in _UNIONS and not conditions:
        return _union_reader(get_args(base))
    from epm_task.runtime import rich_value  # noqa: PLC0415  # as above

    if read is None:
        return lambda text: rich_value.read_rich(text, kind)
    check = rich_value.checked_secret if secret_form(base) else rich_value.checked
    return lambda text: check(read(text), kind)


def _native_reader(kind: Any) -> Callable[[str], Any] | None:
    if get_origin(kind) is Literal:
        return lambda text: _choose(text, _choices(get_args(kind)))
    if not isinstance(kind, type):
        return None
    if issubclass(kind, Enum):
        return lambda text: _choose(text, _choices(list(kind)), kind.__members__)
    make: Any = kind
    if form := secret_form(kind):
        return lambda path: make(read_secret(Path(path), binary=form == "bytes"))
    if (kind.__module__, kind.__name__) == ("decimal", "Decimal"):
        return lambda text: make(_number(text))
    return _READERS.get(kind)


def _union_reader(arms: tuple[Any, ...]) -> Callable[[str], Any]:
    """Return what reads the first arm that takes the text; pydantic chooses among its own."""
    rich = tuple(arm for arm in arms if _native_reader(_layers(arm)[0]) is None)
    kinds = [Union[rich] if arm in rich else arm for arm in arms]  # noqa: UP007  # at run time
    readers = [reader(kind) for kind in kinds] if len(rich) < len(arms) else []

    def read(text: str) -> Any:
        """Try one after the other."""
        reasons = []
        for read_arm in readers or [lambda t: _rich(t, Union[arms])]:  # noqa: UP007  # as above
            try:
                return read_arm(text)
            except ValueError as error:
                reasons.append(str(error))
        raise ValueError(", and ".join(dict.fromkeys(reasons)))

    return read


def _rich(text: str, kind: Any) -> Any:
    from epm_task.runtime.rich_value import read_rich  # noqa: PLC0415  # as above

    return read_rich(text, kind)


def check_kind(kind: Any) -> None:
    """Refuse a type whose values no text can mean.

    Raises:
        ValueError: It is one; the message is the reason.
    """
    base, conditions = _layers(kind)
    if not secret_form(base) and holds_secret(base):
        raise ValueError("a secret comes from a file, whose name is passed: SecretStr, SecretBytes")
    if get_origin(base) is Literal or (isinstance(base, type) and issubclass(base, Enum)):
        _choices(get_args(base) or list(base))
    if get_origin(base) in _UNIONS:
        for arm in get_args(base):
            check_kind(arm)
    elif conditions or _native_reader(base) is None:
        from epm_task.runtime.rich_value import adapter_of  # noqa: PLC0415  # as above

        adapter_of(kind)


def check_default(value: Any, kind: Any, tokens: Iterable[str]) -> None:
    """Refuse a default that an agent could not pass, or that would come back as another value.

    What its type demands of the machine, that a file exists, say, need not be true on this one.

    Raises:
        ValueError: It cannot be passed; the message is the reason.
    """
    base, conditions = _layers(kind)
    fixed = [each for each in conditions if type(each).__name__ not in _OUTER]
    try:
        text = text_of(value, kind)
        _check_text(text, tokens)
        # An empty text is the default itself, of which it means that it is not given.
        found = value if not text else reader(_with(base, fixed))(text)
        same = _same(found, value, is_union=get_origin(base) in _UNIONS)
    except (ValueError, ArithmeticError) as error:
        raise ValueError(f"its default cannot be written and read again: {error}") from None
    if not same:
        shown = f"{found!r:.{_SHOWN}}, not as {value!r:.{_SHOWN}}"
        raise ValueError(f"its default would come back as {shown}")


def _same(found: Any, value: Any, *, is_union: bool) -> bool:
    if is_union and type(found) is not type(value):
        return False
    # Without an equality of its own, no object equals another one.
    by_text = type(value).__dict__.get("__eq__", object.__eq__) is object.__eq__
    return bool(found == value) or (by_text and text_of(found) == text_of(value))


def _check_text(text: str, tokens: Iterable[str]) -> None:
    if "\0" in text:
        raise ValueError("no argument can hold a NUL character")
    text.encode()  # a lone surrogate is no text
    if "{" not in text:
        return
    from epm_task.contract.names import API_BASE_URL  # noqa: PLC0415  # rare, as the next
    from epm_task.contract.tokens import PATH_TOKEN_NAMES  # noqa: PLC0415

    filled = {API_BASE_URL, *tokens}.union(*PATH_TOKEN_NAMES.values())
    known = {name.casefold() for name in filled}
    for token in re.findall(TOKEN, text):
        if token[1:-1].casefold() in known:
            raise ValueError(f"an agent may fill {token} itself")


#: A key, token or password is far smaller; a device or a log given by mistake is not.
_MAX_SECRET_BYTES: Final = 64 * 1024


#: PowerShell writes it before UTF-8 text.
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"


def read_secret(path: Path, *, binary: bool = False) -> str | bytes:
    """Return the secret in *path*, without the byte order mark and the one line end of editors.

    Raises:
        UnsafeConfiguration: Somebody else can read or replace the file.
        ValueError: It cannot be read, is not UTF-8 text, or is larger than 64 KiB.
    """
    from epm_task.trust import read_file  # noqa: PLC0415  # only a secret's file pays for it

    try:
        data = read_file(path, _MAX_SECRET_BYTES + 1, secret=True)
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror}") from None
    if len(data) > _MAX_SECRET_BYTES:
        raise ValueError(f"{path} is larger than 64 KiB")
    data = data.removeprefix(_BYTE_ORDER_MARK)
    for line_end in (b"\r\n", b"\n"):
        if data.endswith(line_end):
            data = data.removesuffix(line_end)
            break
    if binary:
        return data
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not UTF-8 text") from None


def parse_bool(text: str) -> bool:
    """Return the truth that *text* names, whatever its case.

    Raises:
        ValueError: It is none of true, false, 1, 0, yes, no, on, off.
    """
    word = text.strip().lower()
    if word not in _TRUE | _FALSE:
        raise ValueError(f"{text[:40]!r} is neither true nor false (true, false, 1, 0, yes, no)")
    return word in _TRUE


def _choices(values: Iterable[Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for value in values:
        if (text := text_of(value)) in found:
            raise ValueError(f"{found[text]!r} and {value!r} have the same text")
        found[text] = value
    return found


def _choose(text: str, choices: dict[str, Any], names: Any = ()) -> Any:
    if text in choices:
        return choices[text]
    alike = [name for name in names if name.casefold() == text.casefold()]
    if text in names or len(alike) == 1:
        return names[text if text in names else alike[0]]
    raise ValueError(f"{text[:_SHOWN]!r} is none of {', '.join(choices)}")


def _parse_int(text: str) -> int:
    if not re.fullmatch(WHOLE, text.strip()):
        raise ValueError(f"{text[:_SHOWN]!r} is not a whole number")
    return int(text)


def _number(text: str) -> str:
    if not re.fullmatch(NUMBER, text.strip()):
        raise ValueError(f"{text[:_SHOWN]!r} is not a finite number")
    return text.strip()


def _parse_float(text: str) -> float:
    value = float(_number(text))
    if value - value != 0:  # true for infinities
        raise ValueError(f"{text[:_SHOWN]!r} is not a finite number")
    return value


def _iso(kind: Any, like: str) -> Callable[[str], Any]:
    def read(text: str) -> Any:
        """Read one day, moment or time."""
        try:
            return kind.fromisoformat(text.strip())
        except ValueError:
            raise ValueError(f"{text[:_SHOWN]!r} is not a {like}") from None

    return read


#: `90`, `1.5h`, `1d2h`, `P1DT2H30M`: a number of seconds, or amounts with their units.
_AMOUNT: Final = r"(\d+\.?\d*|\.\d+)"
_DURATION: Final = rf"(?ia)([+-]?)P?(?:{_AMOUNT}D)?T?(?:{_AMOUNT}H)?(?:{_AMOUNT}M)?(?:{_AMOUNT}S?)?"


def _parse_timedelta(text: str) -> timedelta:
    refusal = ValueError(f"{text[:_SHOWN]!r} is not a duration like 90, 1h30m or PT1H30M")
    match = re.fullmatch(_DURATION, text.strip())
    if match is None or not any(match.groups()[1:]):
        raise refusal
    sign, *amounts = match.groups()
    found = timedelta()
    try:
        for unit, amount in zip(("days", "hours", "minutes", "seconds"), amounts, strict=True):
            # Apart, because a float does not hold the microseconds of a thousand years.
            whole, _, part = (amount or "0").partition(".")
            found += timedelta(**{unit: int(whole or "0")}) + timedelta(
                **{unit: float(f"0.{part}")}
            )
    except (ValueError, OverflowError):  # such as 1e99 days
        raise refusal from None
    return -found if sign == "-" else found


def _write_timedelta(value: timedelta) -> str:
    sign, size = ("-", -value) if value < timedelta() else ("", value)
    seconds = f"{size.days * 86_400 + size.seconds}.{size.microseconds:06}".rstrip("0")
    return f"{sign}{seconds}{'0' if seconds.endswith('.') else ''}"


def _path(kind: type[PurePath]) -> Callable[[str], PurePath]:
    def read(text: str) -> PurePath:
        """Read one path; Windows would begin `C:name` at a current folder that nobody states."""
        found = kind(text)
        if found.drive[1:] == ":" and not found.root:
            raise ValueError(f"{text[:_SHOWN]!r} has a drive and no \\ after it: write all of it")
        return found

    return read


def _lower_case(value: float) -> str:
    return str(value).lower()  # true and false are numbers to Python


_READERS: Final[dict[type, Callable[[str], Any]]] = {
    str: str,
    int: _parse_int,
    float: _parse_float,
    bool: parse_bool,
    **{kind: _path(kind) for kind in (Path, PurePath, PurePosixPath, PureWindowsPath)},
    bytes: str.encode,
    datetime: _iso(datetime, "moment like 2026-01-31T12:00:00Z"),
    date: _iso(date, "day like 2026-01-31"),
    time: _iso(time, "time like 02:30"),
    timedelta: _parse_timedelta,
}
#: The first that fits counts. A document must not depend on the system on which it is made.
_FORMS: Final[tuple[tuple[Any, Callable[[Any], str]], ...]] = (
    (str, str),
    ((int, float), _lower_case),
    (PurePath, PurePath.as_posix),
    ((date, time), lambda value: str(value.isoformat())),
    (timedelta, _write_timedelta),
    (bytes, bytes.decode),
)
