"""Make a record one line of JSON, whatever the author put into it; `contract.record` names it."""

from __future__ import annotations

import itertools
import json
import os
import re
import time
import traceback
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from epm_task.contract.levels import word_for
from epm_task.contract.record import (
    JOB_ID,
    JOB_NAME,
    LEVEL,
    MESSAGE,
    PROPERTIES,
    RUN_ID,
    SEQ,
    SOURCE,
    SPAN_ID,
    TIMESTAMP,
    TRACE_ID,
)
from epm_task.contract.secrets import MASK
from epm_task.runtime.invocation import Trace, read_trace
from epm_task.runtime.result import NoForm, dataclass_fields, form_of, key_of, whole_text

if TYPE_CHECKING:
    from epm_task.runtime.log.secret_forms import Form

#: Bounds that keep a hostile value from costing more than the record's own limit.
_MAX_DEPTH: Final = 8
_MAX_ITEMS: Final = 200
#: As many as a record has: what is cut here is cut again, once its secrets are masked.
_MAX_CHARACTERS: Final = 128 * 1024
_HOLDERS: Final = (dict, list, tuple)


def safe_text(value: object) -> str:
    """Return `str(value)` without lone surrogates; what cannot be shown is named by its type."""
    try:
        text = value if type(value) is str else str(value)
        return whole_text(text)
    except Exception:  # noqa: BLE001  # the author's __str__ may do anything
        return f"<{_type_name(value)} that cannot be shown>"


def shallow_value(value: object) -> Any:
    """Return the JSON form of one value that `json` does not know; its parts may need the same.

    Secrets show themselves as asterisks, because their `str` does.
    """
    if isinstance(value, bytes | bytearray):
        value = value[:_MAX_CHARACTERS]
    try:
        return form_of(value)
    except NoForm:
        return safe_text(value)


def _one_name_each(value: object) -> Any:
    form = shallow_value(value)
    if type(form) in _HOLDERS and _mixes_keys(form):
        raise ValueError("two names may be the same")
    return form


def _mixes_keys(value: object) -> bool:
    """Return whether `json` could write one name twice, as for `{1: …, "1": …}`."""
    if type(value) is dict:
        kinds = set(map(type, value))
        if len(kinds) > 1 and str in kinds:
            return True
        return any(type(part) in _HOLDERS and _mixes_keys(part) for part in value.values())
    return any(type(part) in _HOLDERS and _mixes_keys(part) for part in value)  # type: ignore[attr-defined]


def safe_value(value: object, depth: int = 0) -> Any:
    """Return a copy of *value* that JSON can carry: bounded in depth, width and length."""
    try:
        return _safe(value, depth)
    except Exception:  # noqa: BLE001  # the author's objects may do anything
        return f"<{_type_name(value)} that cannot be shown>"


def _safe(value: object, depth: int) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return _safe_scalar(value)
    if depth >= _MAX_DEPTH:
        return f"<{_type_name(value)}, nested too deeply>"
    if isinstance(value, Mapping):
        return _safe_mapping(value, depth)
    if isinstance(value, list | tuple | set | frozenset):
        ordered = isinstance(value, list | tuple)
        return _safe_items(value if ordered else sorted(value, key=safe_text), depth)
    return safe_value(shallow_value(value), depth + 1)


def _safe_scalar(value: object) -> Any:
    if isinstance(value, str):
        return safe_text(str(value)[:_MAX_CHARACTERS])
    if isinstance(value, float) and value - value != 0:  # NaN and the infinities
        return str(value)
    too_long = isinstance(value, int) and abs(value) >= 1 << 63  # .NET's numbers end there
    return safe_text(value) if too_long else value


def _safe_mapping(value: Mapping[Any, Any], depth: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, item in value.items():
        if len(found) >= _MAX_ITEMS:
            found["…"] = f"{len(value) - _MAX_ITEMS} more"
            break
        found[_safe_key(key, found)] = safe_value(item, depth + 1)
    return found


def _safe_key(key: object, taken: Mapping[str, object]) -> str:
    try:
        name = whole_text(key_of(key)[:_MAX_CHARACTERS])
    except Exception:  # noqa: BLE001  # as above
        name = safe_text(key)
    while name in taken:  # another key has the same name
        name = f"{name} ({_type_name(key)})"
    return name


def _safe_items(value: Iterable[Any], depth: int) -> list[Any]:
    found: list[Any] = []
    for item in value:
        if len(found) >= _MAX_ITEMS:
            found.append("…")
            break
        found.append(safe_value(item, depth + 1))
    return found


def _type_name(value: object) -> str:
    # Not `type(value).__name__`: a metaclass of the author's may do anything too.
    name: str = type.__dict__["__name__"].__get__(type(value))
    return name


#: As much as AWS Greengrass carries in one message; many brokers refuse 1 MiB.
MAX_RECORD_BYTES: Final = 128 * 1024
#: All but the message and the properties is smaller than this.
_FRAME_BYTES: Final = 8 * 1024
#: Written as JSON once more, a cut text may take twice the room.
_CUT_FIELDS: Final = 32 * 1024
#: A character takes at most twelve bytes, so a cut message has at most 48 KiB.
_CUT_MESSAGE: Final = 4 * 1024
#: The names of jobs and loggers are far shorter.
_MAX_NAME: Final = 200

#: A string or a number of JSON.
_SCALAR: Final = r'"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*'

_encode = json.JSONEncoder(
    default=_one_name_each, allow_nan=False, check_circular=True, separators=(",", ":")
).encode


class Secrets:
    """Texts that a run must not show; asterisks take their place on every way out."""

    def __init__(self) -> None:
        """Know none yet."""
        #: Each form of theirs, with what every text that shows it holds as it is.
        self._known: dict[Form, str] = {}

    def add(self, secrets: Iterable[object]) -> None:
        """Hide these from now on: texts, bytes, `SecretStr`; `forms_of` says in which forms."""
        for text in map(_secret_text, secrets):
            from epm_task.runtime.log.secret_forms import forms_of  # noqa: PLC0415  # few have any

            known = self._known | forms_of(text)
            # The longest first: a secret may be a part of another one.
            self._known = dict(sorted(known.items(), key=lambda entry: -len(entry[0].text)))

    def hide(self, text: str) -> str:
        """Return *text* without them."""
        for form, run in self._known.items():
            if run in text:
                text = form.pattern.sub(MASK, text)
        return text

    def hide_json(self, written: str) -> str:
        """Return a JSON text of ASCII characters without them in any of its strings or numbers."""
        for run in self._known.values():
            if run in written:
                hidden = re.sub(_SCALAR, self._hide_scalar, written)
                return _encode(json.loads(hidden, object_pairs_hook=_named_apart))
        return written

    def _hide_scalar(self, match: re.Match[str]) -> str:
        # Replaced in its written form, a secret could begin in the middle of an escape.
        written = match[0]
        if written[0] == '"':
            return _encode(self.hide(json.loads(written)))
        return f'"{MASK}"' if self.hide(written) == MASK else written


def _named_apart(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object in which no name is there twice, as that of two secrets would be."""
    found: dict[str, Any] = {}
    for name, part in pairs:
        found[f"{name} ({len(found)})" if name in found else name] = part
    return found


class RecordEncoder:
    """Makes the records of one run; *source* is where they come from if nothing else is said.

    Without a *trace* the run begins one.
    """

    def __init__(
        self, *, source: str, job_id: str, job_name: str, run_id: str, trace: Trace | None = None
    ) -> None:
        trace = trace or read_trace({}, run_id)
        self._source = _name(source)
        job = f',"{JOB_ID}":{_name(job_id)},"{JOB_NAME}":{_name(job_name)}'
        self._job = f'{job},"{TRACE_ID}":"{trace.trace_id}","{SPAN_ID}":"{trace.span_id}"'
        self._begin(run_id)
        self._second = (0, "")
        #: What no record shows.
        self.secrets: Final = Secrets()

    def become_child(self) -> None:
        """Number the records anew, under a run id of their own: a fork has made this process."""
        self._begin(f"{self._run_id}.{os.getpid()}")

    def encode(
        self, level: int, message: object, properties: dict[str, Any], *, source: str | None = None
    ) -> bytes:
        """Return one line of ASCII JSON, without a line end, of at most 128 KiB; never raise."""
        text = message if type(message) is str else safe_text(message)
        hide = self.secrets.hide_json
        written, fields = hide(_json(text)), hide(_json(properties))
        if len(written) + len(fields) > MAX_RECORD_BYTES - _FRAME_BYTES:
            written, fields = _cut(written, fields)
        where = _short(hide(_json(source))) if source else self._source
        return (
            f'{{"{TIMESTAMP}":"{self._timestamp()}","{LEVEL}":"{word_for(level)}"'
            f',"{MESSAGE}":{written},"{SOURCE}":{where}{self._run}'
            f'{next(self._sequence)},"{PROPERTIES}":{fields}}}'
        ).encode("ascii")

    def _begin(self, run_id: str) -> None:
        self._run_id = run_id
        self._run = f'{self._job},"{RUN_ID}":{_encode(run_id)},"{SEQ}":'
        self._sequence = itertools.count(1)

    def _timestamp(self) -> str:
        now = time.time()
        second = int(now)
        cached = self._second
        if cached[0] != second:  # formatting it costs more than all the rest of the head
            cached = (second, time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second)))
            self._second = cached
        return f"{cached[1]}.{int((now - second) * 1_000_000):06d}Z"


def exception_properties(error: BaseException) -> dict[str, str]:
    """Return the fields that describe an exception: its type and its traceback, without locals."""
    try:
        text = "".join(traceback.format_exception(error))
    except Exception as problem:  # noqa: BLE001  # the author's __str__ may do anything
        text = f"(the traceback cannot be shown: {type(problem).__name__})"
    return {"exceptionType": type(error).__qualname__, "exception": text}


def _cut(message: str, fields: str) -> tuple[str, str]:
    size = len(message) + len(fields)
    if len(message) > _CUT_MESSAGE * 12:
        message = _encode(f"{json.loads(message)[:_CUT_MESSAGE]} …")
    return message, _encode({"truncated": True, "bytes": size, "head": fields[:_CUT_FIELDS]})


def _name(text: str) -> str:
    return _short(_json(text))


def _short(written: str) -> str:
    return written if len(written) <= _MAX_NAME else _encode(json.loads(written)[:_MAX_NAME])


def _json(value: object) -> str:
    try:
        if type(value) in _HOLDERS and _mixes_keys(value):
            return _encode(safe_value(value))
        text = _encode(value)
        # A lone surrogate is valid for Python's JSON and for nobody else's.
        return text if "\\ud" not in text else _encode(safe_value(value))
    except Exception:  # noqa: BLE001  # circular, too deep, NaN, odd keys, a __repr__ that raises
        return _encode(safe_value(value))


def secret_texts(value: Any) -> Iterator[str]:
    """Yield what every secret of pydantic's kinds in *value* holds, at any depth.

    Arguments and settings are trees: lists of repeated options, models below models.
    """
    if isinstance(value, type):
        return
    if hasattr(value, "get_secret_value"):
        yield _secret_text(value)
    else:
        for part in _parts(value):
            yield from secret_texts(part)


def _secret_text(value: Any) -> str:
    """Return a secret as text; what is not UTF-8 in bytes becomes lone surrogates."""
    if hasattr(value, "get_secret_value"):
        value = value.get_secret_value()
    if isinstance(value, bytes | bytearray):
        return value.decode("utf-8", "surrogateescape")
    return str(value) if isinstance(value, str) else safe_text(value)


def _parts(value: Any) -> list[object]:
    if isinstance(value, Mapping):
        return [*value, *value.values()]
    if isinstance(value, list | tuple | set | frozenset | deque):
        return list(value)
    if (fields := dataclass_fields(value)) is not None:
        return list(fields.values())
    if hasattr(value, "model_dump"):  # its own `__iter__` may be the author's
        return [*vars(value).values(), value.model_extra]
    return []
