"""Read the named, typed values that the agent passes on the command line.

The agent can only substitute text. The common types are read here, without pydantic; every other
type goes to pydantic's TypeAdapter, which is imported only then.
"""

# Annotations are not texts here: a NamedTuple would compile each of them at every start.

import re
import types
from collections.abc import Callable, Sequence
from datetime import date, datetime, timedelta
from enum import Enum
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, Union, get_args, get_origin

from epm_task.contract.secrets import secret_form
from epm_task.errors import InvalidArgument

#: Neither default nor annotation: the parameter must be given, as text.
REQUIRED: Final[Any] = object()

_TRUE: Final = frozenset({"true", "1", "yes", "on"})
_FALSE: Final = frozenset({"false", "0", "no", "off"})


class Parameter(NamedTuple):
    """One parameter of a handler, or one of the runtime's own arguments.

    Attributes:
        name: Name in the function's signature.
        kind: Type, freed of `| None` and `list[…]`.
        default: Value when it is not given; `REQUIRED` when it must be.
        repeated: The option may be given several times and yields a list.
        help: One line for `--help`.
        raw: The text is taken as it is, braces included.
    """

    name: str
    kind: Any
    default: Any = REQUIRED
    repeated: bool = False
    help: str = ""
    raw: bool = False

    @property
    def required(self) -> bool:
        """Whether a run without it is refused."""
        return self.default is REQUIRED

    @property
    def secret(self) -> bool:
        """Whether the value comes from a file, because argv can be read by every local user."""
        return bool(secret_form(self.kind))

    @property
    def flag(self) -> bool:
        """Whether the option needs no value."""
        return self.kind is bool and not self.repeated

    @property
    def option(self) -> str:
        """The option's spelling: `--max-bytes`, `--token-file` for a secret."""
        return f"--{self.name.replace('_', '-')}{'-file' if self.secret else ''}"

    @property
    def token(self) -> str:
        """The name of the job's parameter for it: `MaxBytes`, `TokenFile` for a secret."""
        name = f"{self.name}_file" if self.secret else self.name
        return "".join(word[:1].upper() + word[1:] for word in name.split("_"))

    def given(self, texts: Sequence[str]) -> list[str]:
        """Return those of *texts* that are values, as the agent cannot leave an argument out.

        An empty text is none, unless it can be a text itself: that of a `str` without a default or
        with one that is text, or one of several in a list.
        """
        if self.kind is str and (len(texts) > 1 or not (self.repeated or self.default is None)):
            return list(texts)
        return [text for text in texts if text]

    def parse(self, text: str) -> Any:
        """Return the value that *text* means.

        Raises:
            InvalidArgument: The text is not a value of the type; secrets are never repeated in it.
        """
        try:
            return parse_bool(text) if self.kind is bool else parser_for(self.kind)(text)
        except ValueError as error:
            raise InvalidArgument(self.option, str(error)) from None


def parse_bool(text: str) -> bool:
    """Return the truth that *text* names, whatever its case.

    Raises:
        ValueError: It is none of true, false, 1, 0, yes, no, on, off.
    """
    word = text.strip().lower()
    if word not in _TRUE | _FALSE:
        raise ValueError(f"{text[:40]!r} is neither true nor false (true, false, 1, 0, yes, no)")
    return word in _TRUE


def make_parameter(name: str, annotation: Any, default: Any) -> Parameter:
    """Return the parameter that a signature's entry declares."""
    annotation, optional = _without_none(annotation)
    if optional and default is REQUIRED:
        default = None
    if annotation is list or get_origin(annotation) is list:
        kind = (get_args(annotation) or (str,))[0]
        return Parameter(name, kind, default, repeated=True)
    return Parameter(name, str if annotation is REQUIRED else annotation, default)


def _without_none(annotation: Any) -> tuple[Any, bool]:
    if get_origin(annotation) not in {Union, types.UnionType}:
        return annotation, False
    rest = tuple(arm for arm in get_args(annotation) if arm is not type(None))
    optional = len(rest) < len(get_args(annotation))
    kind = rest[0] if len(rest) == 1 else Union[rest]  # noqa: UP007  # built at run time
    return kind, optional


#: `90`, `1.5h`, `1d2h`, `P1DT2H30M`: a number of seconds, or amounts with their units.
_DURATION: Final = (
    r"(?ia)P?(?:(?P<days>[\d.]+)D)?T?(?:(?P<hours>[\d.]+)H)?"
    r"(?:(?P<minutes>[\d.]+)M)?(?:(?P<seconds>[\d.]+)S?)?"
)
_SHOWN: Final = 40


#: A key, token or password is far smaller; a device or a log given by mistake is not.
_MAX_SECRET_BYTES: Final = 64 * 1024


def parser_for(kind: Any) -> Callable[[str], Any]:
    """Return the function that reads a value of type *kind*; its ValueError is the reason."""
    simple = _SIMPLE.get(kind) if isinstance(kind, type) else None
    if simple is not None:
        return simple
    if get_origin(kind) is Literal:
        return lambda text: _choose(text, {str(choice): choice for choice in get_args(kind)})
    if isinstance(kind, type) and issubclass(kind, Enum):
        return lambda text: _choose_member(text, kind)
    if form := secret_form(kind):
        return lambda path: kind(read_secret(Path(path), binary=form == "bytes"))
    return lambda text: _parse_rich(text, kind)


def read_secret(path: Path, *, binary: bool = False) -> str | bytes:
    """Return the secret in *path*, without the line end that editors add.

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
    if binary:
        return data
    try:
        return data.decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not UTF-8 text") from None


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


def _parse_iso(text: str, kind: type[date], like: str) -> date:
    try:
        return kind.fromisoformat(text.strip())
    except ValueError:
        raise ValueError(f"{text[:_SHOWN]!r} is not a {like}") from None


def _parse_timedelta(text: str) -> timedelta:
    refusal = ValueError(f"{text[:_SHOWN]!r} is not a duration like 90, 1h30m or PT1H30M")
    match = re.fullmatch(_DURATION, text.strip())
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
    datetime: lambda text: _parse_iso(text, datetime, "moment like 2026-01-31T12:00:00Z"),
    date: lambda text: _parse_iso(text, date, "day like 2026-01-31"),
    timedelta: _parse_timedelta,
}
