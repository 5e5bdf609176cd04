"""A record is one structured log entry: one JSON object on one line, whatever it is made from.

The fields of a KeeperLogger message are not public. Our assumption stands only here: `timestamp`
(ISO 8601, UTC), `level` (.NET words), `message`, `source`, `jobId`, `jobName`, `runId`, `seq`, and
the author's own fields below `properties`, where they cannot forge any of the others. `runId` with
`seq` identifies a record that arrives twice, as QoS 1 allows.
"""

from __future__ import annotations

import itertools
import json
import re
import time
import traceback
from typing import TYPE_CHECKING, Any, Final

from epm_task.runtime.level import word_for
from epm_task.runtime.safe_value import safe_text, safe_value, shallow_value

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

    ExceptionInfo = tuple[type[BaseException], BaseException, TracebackType | None]

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
_MASK: Final = "********"
#: A shorter secret would blot out ordinary words.
_SHORTEST_SECRET: Final = 6

_STRING: Final = re.compile(r'"(?:[^"\\]|\\.)*"')

_encode = json.JSONEncoder(
    default=shallow_value, allow_nan=False, check_circular=True, separators=(",", ":")
).encode


class RecordEncoder:
    """Makes the records of one run.

    Args:
        source: Where a record comes from when nothing else is said: the task's name.
        job_id: Id of the job, or "".
        job_name: Name of the job, or "".
        run_id: Id of the run.
    """

    def __init__(self, *, source: str, job_id: str, job_name: str, run_id: str) -> None:
        """Prepare the part that is the same in every record."""
        self._source = _name(source)
        self._run = (
            f',"jobId":{_name(job_id)},"jobName":{_name(job_name)},"runId":{_encode(run_id)},"seq":'
        )
        self._sequence = itertools.count(1)
        self._second = (0, "")
        self._secrets: dict[str, str] = {}

    def mask(self, secrets: Iterable[str]) -> None:
        """Replace these texts by asterisks wherever a text of a later record holds them."""
        known = {*self._secrets, *map(safe_text, secrets)}
        known = {text for text in known if len(text) >= _SHORTEST_SECRET}
        # The longest first: a secret may be a part of another one.
        self._secrets = {text: _encode(text)[1:-1] for text in sorted(known, key=len, reverse=True)}

    def encode(
        self,
        level: int,
        message: object,
        properties: dict[str, Any],
        *,
        source: str | None = None,
    ) -> bytes:
        """Return one line of ASCII JSON, without a line end, of at most 128 KiB; never raise."""
        text = message if type(message) is str else safe_text(message)
        written, fields = self._masked(_json(text)), self._masked(_json(properties))
        if len(written) + len(fields) > MAX_RECORD_BYTES - _FRAME_BYTES:
            written, fields = _cut(written, fields)
        where = _short(self._masked(_json(source))) if source else self._source
        return (
            f'{{"timestamp":"{self._timestamp()}","level":"{word_for(level)}"'
            f',"message":{written},"source":{where}{self._run}'
            f'{next(self._sequence)},"properties":{fields}}}'
        ).encode("ascii")

    def _masked(self, written: str) -> str:
        for secret in self._secrets.values():
            if secret in written:
                return _STRING.sub(self._mask_string, written)
        return written

    def _mask_string(self, match: re.Match[str]) -> str:
        # Replaced in its written form, a secret could begin in the middle of an escape.
        text = json.loads(match[0])
        for secret in self._secrets:
            text = text.replace(secret, _MASK)
        return _encode(text)

    def _timestamp(self) -> str:
        now = time.time()
        second = int(now)
        cached = self._second
        if cached[0] != second:  # formatting it costs more than all the rest of the head
            cached = (second, time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second)))
            self._second = cached
        return f"{cached[1]}.{int((now - second) * 1_000_000):06d}Z"


def exception_properties(info: ExceptionInfo | BaseException) -> dict[str, str]:
    """Return the fields that describe an exception: its type and its traceback, without locals."""
    error = info if isinstance(info, BaseException) else info[1]
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
        text = _encode(value)
        # A lone surrogate is valid for Python's JSON and for nobody else's.
        return text if "\\ud" not in text else _encode(safe_value(value))
    except Exception:  # noqa: BLE001  # circular, too deep, NaN, odd keys, a __repr__ that raises
        return _encode(safe_value(value))
