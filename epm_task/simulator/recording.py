"""Record every API exchange and every MQTT message of an agent, and answer from a recording.

    {"at": 0.01, "kind": "api", "method": "GET", "path": "/api/…", "status": 200, "body": {…}}
    {"at": 0.05, "kind": "mqtt", "topic": "…", "payload": {…}, "qos": 1, "jobId": "…"}

`at` is in seconds since the recording began. Secrets are masked by name before they are written. A
payload that is not UTF-8 is written as `payloadBase64`.

Each request takes the next answer that was recorded for its method and path; the last one is given
again and again. What was not recorded is 404. Messages that the recorded job did not publish itself
are published again, at the same distance from the first request. The address of the broker is that
of the agent that runs, and registration is that agent's too.
"""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections import defaultdict, deque
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from epm_task.contract.fields import anything, check_fields, choice, number, text, whole
from epm_task.contract.json_text import BadJson, parse_object
from epm_task.contract.names import BROKER_HOST, BROKER_PORT, PLUGIN_SETTINGS_PATH, SYSTEM_PLUGIN
from epm_task.contract.secrets import MASK, is_secret_name, mask_text
from epm_task.simulator.api.answers import absent
from epm_task.simulator.broker import Message
from epm_task.simulator.start_error import UnusableFile
from epm_task.simulator.trace import LineFile
from epm_task.simulator.web.exchange import json_response
from epm_task.simulator.web.routes import ANY, Route

if TYPE_CHECKING:
    from pathlib import Path

    from epm_task.simulator.broker import Broker
    from epm_task.simulator.trace import Trace
    from epm_task.simulator.web.exchange import Handler, Request, Response


_AT: Final = number(0, 366 * 86_400)
_TEXT_OR_NULL: Final = text().or_null().or_absent()
#: What a line of each kind holds, at least.
_FIELDS: Final = {
    "api": {
        "kind": choice("api"),
        "at": _AT,
        "method": text(r"[A-Za-z]{1,20}", "an HTTP method"),
        "path": text(r"/.*", "a path"),
        "status": whole(100, 599),
        "body": anything().or_absent(),
    },
    "mqtt": {
        "kind": choice("mqtt"),
        "at": _AT,
        "topic": text(r"[^+#\x00]+", "a topic"),
        "payload": anything().or_absent(),
        "payloadBase64": text(
            r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?"
        ).or_absent(),
        "qos": choice(0, 1, 2).or_absent(),
        "jobId": _TEXT_OR_NULL,
    },
}


class Recorder:
    """Write a recording to *path*, which only its owner can read; an older one in it is replaced.

    Raises:
        FileUnwritable: The file cannot be written.
    """

    def __init__(self, path: Path, trace: Trace) -> None:
        self._file = LineFile(path, trace, "wb")
        self._began = time.monotonic()

    def close(self) -> None:
        """End the recording."""
        self._file.close()

    async def exchange(self, request: Request, handler: Handler) -> Response:
        """Serve a request, and write it with its answer."""
        response = await handler(request)
        body = _masked_body(request.path, response.body)
        status = response.status
        self._write("api", method=request.method, path=request.path, status=status, body=body)
        return response

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

    def _write(self, kind: str, **facts: Any) -> None:
        line = {"at": round(time.monotonic() - self._began, 6), "kind": kind, **facts}
        self._file.write(line)


def _masked_body(path: str, body: bytes) -> Any:
    value = _json(body)
    if value is None:
        return mask_text(body.decode("utf-8", "replace"))
    last = path.rsplit("/", 1)[-1]
    # One setting is answered as a bare string, or below `value`: its name is in the path.
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


class Replay:
    """The endpoints below `/api/PluginSettings`, answered from the recording *path*.

    Raises:
        UnusableFile: The recording cannot be read.
    """

    def __init__(self, path: Path, broker: Broker) -> None:
        self._broker = broker
        self._answers: defaultdict[tuple[str, str], deque[dict[str, Any]]] = defaultdict(deque)
        self._messages: list[dict[str, Any]] = []
        self._began: float | None = None
        self._timers: list[asyncio.TimerHandle] = []
        for line in _read(path):
            self._take(line)

    def endpoints(self) -> list[Route]:
        """Return the route of whatever is asked about plugin settings."""
        return [Route(ANY, PLUGIN_SETTINGS_PATH + "/{name...}", self.answer)]

    def stop(self) -> None:
        """Send no further message."""
        for timer in self._timers:
            timer.cancel()

    async def answer(self, request: Request) -> Response:
        """Answer one request from the recording."""
        self._begin()
        answers = self._answers.get(_key(request.method, request.path))
        if not answers:
            raise absent(f"{request.method} {request.path} is not in the recording")
        line = answers.popleft() if len(answers) > 1 else answers[0]
        return json_response(self._live(request.path, line.get("body")), line["status"])

    def _take(self, line: dict[str, Any]) -> None:
        path = line.get("path", "")
        if line["kind"] == "api" and path.casefold().startswith(PLUGIN_SETTINGS_PATH.casefold()):
            # A 403 came from the registration at that time; this agent has its own.
            if line["status"] != HTTPStatus.FORBIDDEN:
                self._answers[_key(line["method"], path)].append(line)
            if self._began is None:
                self._began = float(line["at"])
        elif line["kind"] == "mqtt" and line.get("jobId") is None:
            self._messages.append(line)

    def _begin(self) -> None:
        messages, self._messages = self._messages, []
        loop = asyncio.get_running_loop()
        for line in messages:
            seconds = max(0.0, float(line["at"]) - (self._began or 0.0))
            self._timers.append(loop.call_later(seconds, self._broker.publish, _message(line)))

    def _live(self, path: str, body: Any) -> Any:
        if path.rsplit("/", 1)[-1].casefold() != SYSTEM_PLUGIN.casefold() or not isinstance(
            body, dict
        ):
            return body
        address = {BROKER_HOST: self._broker.host, BROKER_PORT: str(self._broker.port)}
        return {**body, **{key: text for key, text in address.items() if key in body}}


def _key(method: str, path: str) -> tuple[str, str]:
    return method.upper(), path.casefold()


def _message(line: dict[str, Any]) -> Message:
    if "payloadBase64" in line:
        payload = base64.b64decode(line["payloadBase64"])
    else:
        found = line.get("payload")
        plain = found if isinstance(found, str) else json.dumps(found, ensure_ascii=False)
        payload = plain.encode("utf-8", "replace")  # a lone surrogate has no UTF-8
    return Message(line["topic"], payload, qos=line.get("qos", 0))


def _read(path: Path) -> list[dict[str, Any]]:
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise UnusableFile(path, error.strerror or str(error)) from error
    found = []
    for place, line in enumerate(lines, start=1):
        try:
            document = parse_object(line)
            kind = _FIELDS.get(str(document.get("kind")), {"kind": choice(*_FIELDS)})
            check_fields(document, kind, others=True)
        except BadJson as error:
            raise UnusableFile(path, error.why, line=place) from error
        found.append(document)
    return found


def mask_value(value: Any, *, name: str = "") -> Any:
    """Return a JSON value, called *name*, with every secret in it masked, however deep."""
    if value is not None and is_secret_name(name):
        return MASK
    if isinstance(value, dict):
        return {key: mask_value(inner, name=str(key)) for key, inner in value.items()}
    if isinstance(value, list):
        return [mask_value(inner) for inner in value]
    return mask_text(value) if isinstance(value, str) else value
