"""Call the Plugin Settings API from inside a task, and wait until the agent knows the process."""

from __future__ import annotations

import itertools
import json
import os
import random
import time
from typing import TYPE_CHECKING, Any, Final, NamedTuple, NoReturn, Self
from urllib.parse import quote

from epm_task.contract.json_text import BadJson, parse_object
from epm_task.contract.names import PLUGIN_SETTINGS_PATH, SYSTEM_PLUGIN
from epm_task.errors import (
    AgentProtocolError,
    AgentUnreachable,
    NotRegistered,
    UnknownSetting,
)
from epm_task.runtime.agent.transport import Answer, Transport, Unanswered

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator


#: The registration is a moment late, or the agent is still starting.
_FIRST_WAIT_SECONDS: Final = 0.020
_LONGEST_WAIT_SECONDS: Final = 1.0
#: Even a closed window leaves the time for one answer of a healthy agent.
_SHORTEST_CALL_SECONDS: Final = 0.1
#: A call that the window's end has cut off sooner says less than the last answer: a busy agent may
#: take that long, and "not registered" is then what the user has to know.
_FAIR_CALL_SECONDS: Final = 1.0


class Registration(NamedTuple):
    """The system plugin's merged settings, and how many requests and seconds they took."""

    settings: dict[str, str]
    tries: int
    seconds: float


class AgentClient:
    """The agent's Plugin Settings API, for the process that the agent started.

    Only `register` retries; every other call is made once, so that nothing is written twice. When
    one fails, it is not known whether the agent has done what it asks for.

    Raises:
        UnsafeAgent: The URL is not https on loopback. Every call may raise it too, when another
            user's process holds the port.
        UnknownSetting: A call named a plugin or a setting that the agent does not know.
        AgentError: A call failed in any other way.
    """

    def __init__(self, base_url: str, context: ssl.SSLContext) -> None:
        self._transport = Transport(base_url, context)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._transport.close()

    def register(self, window_seconds: float) -> Registration:
        """Read the system's settings, again and again until the agent has registered this process.

        Raises:
            NotRegistered: 403 until the window closed.
            AgentUnreachable: No answer, or a server error, until the window closed.
            UnknownSetting: 404.
            AgentProtocolError: An answer that is not the API's.
        """
        started = time.monotonic()
        closes = started + window_seconds
        path = f"{PLUGIN_SETTINGS_PATH}/{SYSTEM_PLUGIN}"
        delays = waits(_FIRST_WAIT_SECONDS, _LONGEST_WAIT_SECONDS)
        last: Answer | Unanswered | None = None
        for tries in itertools.count(1):
            left = max(closes - time.monotonic(), _SHORTEST_CALL_SECONDS)
            answer = self._attempt(path, left)
            cut_off = left < _FAIR_CALL_SECONDS and time.monotonic() >= closes
            if last is None or not (isinstance(answer, Unanswered) and cut_off):
                last = answer
            if isinstance(answer, Answer) and answer.status < 500 and answer.status != 403:
                settings = self._document(path, self._checked(answer, path, SYSTEM_PLUGIN))
                return Registration(settings, tries, time.monotonic() - started)
            wait = next(delays)
            if time.monotonic() + wait >= closes:
                self._give_up(last, tries, time.monotonic() - started)
            time.sleep(wait)
        raise AssertionError("itertools.count has no end")

    def settings(self, plugin: str = SYSTEM_PLUGIN) -> dict[str, str]:
        """Return the merged settings of *plugin*, its id as it is spelled in the registry."""
        path = f"{PLUGIN_SETTINGS_PATH}/{_segment(plugin)}"
        return self._document(path, self._call("GET", path, plugin))

    def setting(self, plugin: str, key: str) -> str:
        """Return one setting's value."""
        path = f"{PLUGIN_SETTINGS_PATH}/{_segment(plugin)}/{_segment(key)}"
        answer = self._call("GET", path, f"{key} of {plugin}")
        wrapped = b'{"value":' + answer.body + b"}"
        value = self._object(path, answer._replace(body=wrapped))["value"]
        if isinstance(value, dict):  # the shape is not public: a bare string, or {"value": …}
            value = value.get("value")
        return self._text(path, key, value)

    def put_setting(self, plugin: str, key: str, value: str) -> None:
        """Write one setting to the agent's unified storage."""
        path = f"{PLUGIN_SETTINGS_PATH}/{_segment(plugin)}/{_segment(key)}"
        self._call("PUT", path, f"{key} of {plugin}", body={"value": value})

    def revert(self, plugin: str) -> None:
        """Let the agent import the plugin's JSON on disk again."""
        self._call("POST", f"{PLUGIN_SETTINGS_PATH}/{_segment(plugin)}/revert", plugin)

    def revert_all(self) -> None:
        """Let the agent import every plugin's JSON on disk again."""
        self._call("POST", f"{PLUGIN_SETTINGS_PATH}/revert-all", "revert-all")

    def status(self, plugin: str) -> dict[str, Any]:
        """Return the change and hash status of the plugin, as the agent words it."""
        path = f"{PLUGIN_SETTINGS_PATH}/{_segment(plugin)}/status"
        return self._object(path, self._call("GET", path, plugin))

    def _attempt(self, path: str, seconds: float) -> Answer | Unanswered:
        try:
            return self._transport.call("GET", path, seconds=seconds)
        except Unanswered as error:
            return error

    def _call(self, method: str, path: str, name: str, body: object = None) -> Answer:
        started = time.monotonic()
        try:
            answer = self._transport.call(method, path, body=body)
        except Unanswered as error:
            seconds = time.monotonic() - started
            raise AgentUnreachable(self._transport.url, seconds, str(error)) from error
        return self._checked(answer, path, name)

    def _give_up(self, last: Answer | Unanswered, tries: int, seconds: float) -> NoReturn:
        if isinstance(last, Unanswered):
            raise AgentUnreachable(self._transport.url, seconds, str(last)) from last
        if last.status == 403:
            raise NotRegistered(os.getpid(), seconds, tries)
        raise AgentUnreachable(self._transport.url, seconds, f"status {last.status}")

    def _checked(self, answer: Answer, path: str, name: str) -> Answer:
        status = answer.status
        if 200 <= status < 300:
            return answer
        if status == 403:
            raise NotRegistered(os.getpid(), 0.0, 1)
        if status == 404:
            raise UnknownSetting(name)
        url = self._transport.url + path
        if status >= 500:
            raise AgentUnreachable(url, 0.0, f"status {status}")
        target = f", a redirect to {answer.location[:80]!r} that is not followed" * (status < 400)
        raise AgentProtocolError(url, f"status {status}{target}")

    def _object(self, path: str, answer: Answer) -> dict[str, Any]:
        try:
            return parse_object(answer.body)
        except BadJson as error:
            why = f"the answer: {error.why}"
            raise AgentProtocolError(self._transport.url + path, why) from None

    def _document(self, path: str, answer: Answer) -> dict[str, str]:
        document = self._object(path, answer)
        return {key: self._text(path, key, value) for key, value in document.items()}

    def _text(self, path: str, key: str, value: object) -> str:
        # The contract says text; another page of the vendor shows numbers and booleans.
        if isinstance(value, str):
            return value
        if value is None or isinstance(value, bool | int | float):
            return "" if value is None else json.dumps(value)
        raise AgentProtocolError(
            self._transport.url + path, f"the value of {key[:80]!r} is not a text"
        )


#: Kestrel, the agent's server, takes a request line of 8 KiB at most.
_MAX_SEGMENT_BYTES: Final = 8192


def _segment(name: str) -> str:
    segment = quote(name, safe="") if name.isprintable() else ""  # a lone surrogate has no UTF-8
    if segment in {"", ".", ".."} or len(segment) > _MAX_SEGMENT_BYTES:
        raise UnknownSetting(repr(name[:80]))
    return segment


#: Growing by 1.6 finds a registration late by at most 60 % of what has passed.
_GROWTH = 1.6


def waits(first_seconds: float, cap_seconds: float) -> Iterator[float]:
    """Yield the seconds to wait before each next try, without end.

    The first wait is exact, because the common case is a registration that is a moment late; each
    later one is jittered down to half, so that the tasks of one agent do not retry in step.
    """
    yield first_seconds
    seconds = first_seconds
    while True:
        seconds = min(seconds * _GROWTH, cap_seconds)
        yield seconds * random.uniform(0.5, 1.0)  # noqa: S311  # spreads load, hides nothing
