"""A replay answers the tasks' API requests, and sends them messages, from a recording.

Each request takes the next answer that was recorded for its method and path; the last one is given
again and again. What was not recorded is 404. Messages that the recorded job did not publish itself
are published again, at the same distance from the first request. The address of the broker is that
of the agent that runs, and registration is that agent's too.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections import defaultdict, deque
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from epm_task.simulator.api.answers import absent, answer
from epm_task.simulator.broker import Message
from epm_task.simulator.json_text import BadJson, parse_object
from epm_task.simulator.settings_store import SYSTEM_PLUGIN
from epm_task.simulator.unusable_file import UnusableFile

if TYPE_CHECKING:
    from pathlib import Path

    from aiohttp.web import Request, Response, UrlDispatcher

    from epm_task.simulator.broker import Broker

_ROOT = "/api/PluginSettings"


class Replay:
    """The endpoints below `/api/PluginSettings`, answered from a recording.

    Args:
        path: The recording.
        broker: Takes the recorded messages; its address replaces the recorded one.

    Raises:
        UnusableFile: The recording cannot be read.
    """

    def __init__(self, path: Path, broker: Broker) -> None:
        """Read the recording."""
        self._broker = broker
        self._answers: defaultdict[tuple[str, str], deque[dict[str, Any]]] = defaultdict(deque)
        self._messages: list[dict[str, Any]] = []
        self._began: float | None = None
        self._timers: list[asyncio.TimerHandle] = []
        for line in _read(path):
            self._take(line)

    def add_routes(self, router: UrlDispatcher) -> None:
        """Answer whatever is asked about plugin settings."""
        router.add_route("*", _ROOT + "/{name:.+}", self.answer)

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
        return answer(self._live(request.path, line["body"]), status=int(line["status"]))

    def _take(self, line: dict[str, Any]) -> None:
        path = str(line.get("path", ""))
        if line.get("kind") == "api" and path.casefold().startswith(_ROOT.casefold()):
            # A 403 came from the registration at that time; this agent has its own.
            if line.get("status") != HTTPStatus.FORBIDDEN:
                self._answers[_key(str(line.get("method")), path)].append(line)
            if self._began is None:
                self._began = float(line["at"])
        elif line.get("kind") == "mqtt" and line.get("jobId") is None:
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
        address = {"broker.host": self._broker.host, "broker.port": str(self._broker.port)}
        return {**body, **{key: text for key, text in address.items() if key in body}}


def _key(method: str, path: str) -> tuple[str, str]:
    return method.upper(), path.casefold()


def _message(line: dict[str, Any]) -> Message:
    if "payloadBase64" in line:
        payload = base64.b64decode(line["payloadBase64"])
    elif isinstance(line.get("payload"), str):
        payload = line["payload"].encode()
    else:
        payload = json.dumps(line.get("payload"), ensure_ascii=False).encode()
    return Message(str(line["topic"]), payload, qos=int(line.get("qos", 0)))


def _read(path: Path) -> list[dict[str, Any]]:
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise UnusableFile(path, error.strerror or str(error)) from error
    found = []
    for number, line in enumerate(lines, start=1):
        try:
            document = parse_object(line)
        except BadJson as error:
            raise UnusableFile(path, error.why, line=number) from error
        if document.get("kind") not in {"api", "mqtt"} or not isinstance(
            document.get("at"), float | int
        ):
            raise UnusableFile(path, "this is no line of a recording", line=number)
        found.append(document)
    return found
