"""A recording is every API exchange and every MQTT message of an agent, one JSON line each.

    {"at": 0.01, "kind": "api", "method": "GET", "path": "/api/…", "status": 200, "body": {…}}
    {"at": 0.05, "kind": "mqtt", "topic": "…", "payload": {…}, "qos": 1, "jobId": "…"}

`at` is in seconds since the recording began. Secrets are masked by name before they are written. A
payload that is no UTF-8 stands as `payloadBase64`.
"""

from __future__ import annotations

import base64
import json
import time
from typing import TYPE_CHECKING, Any

from aiohttp import web

from epm_task.simulator.api.pieces import body_of
from epm_task.simulator.secret_mask import MASK, is_secret_name, mask_text, mask_value

if TYPE_CHECKING:
    from pathlib import Path

    from aiohttp.typedefs import Handler, Middleware
    from aiohttp.web import Request, StreamResponse

    from epm_task.simulator.broker import Message


class Recorder:
    """Write a recording.

    Args:
        path: The file; an older recording in it is replaced. Only its owner can read it.

    Raises:
        OSError: The file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        """Begin the recording."""
        path.touch(mode=0o600)
        self._file = path.open("w", encoding="utf-8", errors="backslashreplace")
        self._began = time.monotonic()

    def close(self) -> None:
        """End the recording."""
        self._file.close()

    @property
    def middleware(self) -> Middleware:
        """What the API runs around each request."""

        @web.middleware
        async def record(request: Request, handler: Handler) -> StreamResponse:
            response = await handler(request)
            self._exchange(request, response)
            return response

        return record

    def message(self, message: Message) -> None:
        """Write one message that the broker let through."""
        self._write(
            "mqtt",
            topic=message.topic,
            **_payload(message.payload),
            qos=message.qos,
            retain=message.retain,
            clientId=message.client_id,
            jobId=message.job_id,
        )

    def _exchange(self, request: Request, response: StreamResponse) -> None:
        self._write(
            "api",
            method=request.method,
            path=request.path,
            status=response.status,
            body=_masked_body(request.path, body_of(response)),
        )

    def _write(self, kind: str, **facts: Any) -> None:
        line = {"at": round(time.monotonic() - self._began, 6), "kind": kind, **facts}
        self._file.write(json.dumps(line, ensure_ascii=False) + "\n")
        self._file.flush()


def _masked_body(path: str, body: bytes) -> Any:
    value = _json(body)
    if value is None:
        return mask_text(body.decode("utf-8", "replace"))
    last = path.rsplit("/", 1)[-1]
    # One setting is answered as a bare string, or below `value`: its name stands in the path.
    if is_secret_name(last):
        return MASK if isinstance(value, str) else {"value": MASK}
    return mask_value(value)


def _payload(payload: bytes) -> dict[str, Any]:
    value = _json(payload)
    if value is not None:
        return {"payload": mask_value(value)}
    try:
        return {"payload": mask_text(payload.decode())}
    except UnicodeDecodeError:
        return {"payloadBase64": base64.b64encode(payload).decode("ascii")}


def _json(data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None
