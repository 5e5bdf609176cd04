"""A text parser turns the text of one argument into a value of its type.

The agent can only substitute text. The common types are read here, without pydantic; every other
type goes to pydantic's TypeAdapter, which is imported only then.
"""

from __future__ import annotations

import re
import typing
from datetime import date, datetime, timedelta
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from epm_task.runtime.trusted_file import read_secret

if TYPE_CHECKING:
    from collections.abc import Callable

#: `90`, `1.5h`, `1d2h`, `P1DT2H30M`: a number of seconds, or amounts with their units.
_DURATION: Final = re.compile(
    r"P?(?:(?P<days>[\d.]+)D)?T?(?:(?P<hours>[\d.]+)H)?"
    r"(?:(?P<minutes>[\d.]+)M)?(?:(?P<seconds>[\d.]+)S?)?",
    re.IGNORECASE | re.ASCII,
)
_SHOWN: Final = 40


def parser_for(kind: Any) -> Callable[[str], Any]:
    """Return the function that reads a value of type *kind*; its ValueError is the reason."""
    simple = _SIMPLE.get(kind) if isinstance(kind, type) else None
    if simple is not None:
        return simple
    if typing.get_origin(kind) is typing.Literal:
        return lambda text: _choose(text, {str(choice): choice for choice in typing.get_args(kind)})
    if isinstance(kind, type) and issubclass(kind, Enum):
        return lambda text: _choose_member(text, kind)
    if getattr(kind, "__name__", "") in {"SecretStr", "SecretBytes"}:
        return lambda path: kind(read_secret(Path(path), binary=kind.__name__ == "SecretBytes"))
    return lambda text: _parse_rich(text, kind)


def _parse_int(text: str) -> int:
    if not re.fullmatch(r"\s*[+-]?[0-9]{1,400}\s*", text):
        raise ValueError(f"{text[:_SHOWN]!r} is not a whole number")
    return int(text)


def _parse_float(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if value - value != 0:  # true for infinities and NaN
        raise ValueError(f"{text[:_SHOWN]!r} is not a finite number")
    return value


def _parse_datetime(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text.strip())
    except ValueError:
        raise ValueError(f"{text[:_SHOWN]!r} is not a moment like 2026-01-31T12:00:00Z") from None


def _parse_date(text: str) -> date:
    try:
        return date.fromisoformat(text.strip())
    except ValueError:
        raise ValueError(f"{text[:_SHOWN]!r} is not a day like 2026-01-31") from None


def _parse_timedelta(text: str) -> timedelta:
    refusal = ValueError(f"{text[:_SHOWN]!r} is not a duration like 90, 1h30m or PT1H30M")
    match = _DURATION.fullmatch(text.strip())
    amounts = {unit: n for unit, n in match.groupdict().items() if n} if match else {}
    if not amounts:
        raise refusal
    try:
        return timedelta(**{unit: float(n) for unit, n in amounts.items()})
    except (ValueError, OverflowError):  # such as 1.2.3 seconds, or 1e99 days
        raise refusal from None


def _choose(text: str, choices: dict[str, Any]) -> Any:
    if text not in choices:
        raise ValueError(f"{text[:_SHOWN]!r} is none of {', '.join(choices)}")
    return choices[text]


def _choose_member(text: str, kind: type[Enum]) -> Enum:
    by_name = {name.lower(): member for name, member in kind.__members__.items()}
    by_value = {str(member.value): member for member in kind}
    if (member := by_value.get(text) or by_name.get(text.lower())) is None:
        raise ValueError(f"{text[:_SHOWN]!r} is none of {', '.join(by_value)}")
    return member


def _parse_rich(text: str, kind: Any) -> Any:
    from pydantic import TypeAdapter, ValidationError  # noqa: PLC0415  # 60 ms, see above

    adapter = TypeAdapter(kind)
    try:
        structured = text.lstrip()[:1] in {"{", "["}
        return adapter.validate_json(text) if structured else adapter.validate_strings(text)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise ValueError(f"{where + ': ' if where else ''}{first['msg']}") from None


_SIMPLE: Final[dict[type, Callable[[str], Any]]] = {
    str: str,
    int: _parse_int,
    float: _parse_float,
    Path: Path,
    datetime: _parse_datetime,
    date: _parse_date,
    timedelta: _parse_timedelta,
}
