"""A record is one structured log entry: one JSON object on one line, whatever it is made from.

The fields of a KeeperLogger message are not public. Our assumption stands only here: `timestamp`
(ISO 8601, UTC), `level` (.NET words), `message`, `source`, `jobId`, `jobName`, `runId`, `seq`, and
the author's own fields below `properties`, where they cannot forge any of the others. `runId` with
`seq` identifies a record that arrives twice, as QoS 1 allows.
"""

from __future__ import annotations

import itertools
import json
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
_HEAD_CHARACTERS: Final = 32 * 1024
_MASK: Final = "********"
#: A shorter secret would blot out ordinary words.
_SHORTEST_SECRET: Final = 6

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
        self._source = _encode(source)
        self._run = (
            f',"jobId":{_encode(safe_text(job_id))},"jobName":{_encode(safe_text(job_name))}'
            f',"runId":{_encode(run_id)},"seq":'
        )
        self._sequence = itertools.count(1)
        self._second = (0, "")
        self._secrets: tuple[str, ...] = ()

    def mask(self, secrets: Iterable[str]) -> None:
        """Replace these texts by asterisks wherever a later record holds them."""
        written = {_encode(secret)[1:-1] for secret in secrets if len(secret) >= _SHORTEST_SECRET}
        self._secrets = tuple(sorted({*self._secrets, *written}, key=len, reverse=True))

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
        head = (
            f'{{"timestamp":"{self._timestamp()}","level":"{word_for(level)}"'
            f',"message":{_json(text)},"source":{_json(source) if source else self._source}'
            f"{self._run}{next(self._sequence)}"
        )
        fields = _json(properties)
        if len(head) + len(fields) > MAX_RECORD_BYTES - 64:
            head, fields = self._cut(head, text, fields)
        line = f'{head},"properties":{fields}}}'
        for secret in self._secrets:
            line = line.replace(secret, _MASK)
        return line.encode("ascii")

    def _cut(self, head: str, text: str, fields: str) -> tuple[str, str]:
        size = len(head) + len(fields)
        if len(head) > 2 * _HEAD_CHARACTERS:
            head = head.replace(_json(text), _json(f"{text[: _HEAD_CHARACTERS // 8]} …"), 1)
        kept = {"truncated": True, "bytes": size, "head": fields[:_HEAD_CHARACTERS]}
        return head, _json(kept)

    def _timestamp(self) -> str:
        now = time.time()
        second = int(now)
        if self._second[0] != second:  # formatting it costs more than all the rest of the head
            self._second = (second, time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second)))
        return f"{self._second[1]}.{int((now - second) * 1_000_000):06d}Z"


def exception_properties(info: ExceptionInfo | BaseException) -> dict[str, str]:
    """Return the fields that describe an exception: its type and its traceback, without locals."""
    error = info if isinstance(info, BaseException) else info[1]
    try:
        text = "".join(traceback.format_exception(error))
    except Exception as problem:  # noqa: BLE001  # the author's __str__ may do anything
        text = f"(the traceback cannot be shown: {type(problem).__name__})"
    return {"exceptionType": type(error).__qualname__, "exception": text}


def _json(value: object) -> str:
    try:
        text = _encode(value)
        # A lone surrogate is valid for Python's JSON and for nobody else's.
        return text if "\\ud" not in text else _encode(safe_value(value))
    except Exception:  # noqa: BLE001  # circular, too deep, NaN, odd keys, a __repr__ that raises
        return _encode(safe_value(value))
