"""A strict record is one line that an encoder made, read as the strictest reader would."""

from __future__ import annotations

import json
import logging
from typing import Any, NoReturn

from epm_task.runtime.log.encoder import MAX_RECORD_BYTES, RecordEncoder

KEYS = ["timestamp", "level", "message", "source", "jobId", "jobName"]
KEYS += ["traceId", "spanId", "runId", "seq", "properties"]
SECRET = "hunter2-secret"


def encoder(**facts: str) -> RecordEncoder:
    """Return an encoder of a run with these facts."""
    given = {"source": "scan", "job_id": "key-scanner", "job_name": "Key scanner", "run_id": "7f"}
    facts = {**given, **facts}
    return RecordEncoder(
        source=facts["source"],
        job_id=facts["job_id"],
        job_name=facts["job_name"],
        run_id=facts["run_id"],
    )


def strict(line: bytes) -> dict[str, Any]:
    """Return the record on a line, which must be one line of strict ASCII JSON."""

    def refuse(name: str) -> NoReturn:
        raise AssertionError(f"{name} is not JSON")

    assert len(line) <= MAX_RECORD_BYTES
    text = line.decode("ascii")
    assert len(text.splitlines()) == 1
    assert text.isprintable()
    record = json.loads(text, parse_constant=refuse)
    json.dumps(record, ensure_ascii=False).encode("utf-8")  # without a lone surrogate
    assert list(record) == KEYS
    assert isinstance(record, dict)
    return record


def encode(message: object, properties: dict[Any, Any] | None = None) -> dict[str, Any]:
    """Return what a record of the level Information says."""
    return strict(encoder().encode(logging.INFO, message, properties or {}))
