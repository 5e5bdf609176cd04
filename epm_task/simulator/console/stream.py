"""Keep the last events of the console, and send them to each page at the page's own pace.

All pages read the same events, and none has a queue of its own: one that is too slow, or was away
for too long, is told to load the state again.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from epm_task.simulator.web.exchange import Response

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from epm_task.runtime.log.encoder import Secrets
    from epm_task.simulator.web.exchange import Request

#: What is kept for pages that come back; the bytes are those of 250 of the largest records.
MOST_EVENTS: Final = 10_000
_MOST_BYTES: Final = 32 << 20
#: Of all records and messages that are kept, and of those of one answer.
_KEPT_BYTES: Final = 64 << 20
_ANSWER_BYTES: Final = 8 << 20

#: Of one write; a page gets what it missed in parts, so that others are served between them.
_PART_BYTES: Final = 256 << 10

#: Ten writes a second, however many events there are.
WRITE_SECONDS: Final = 0.1

#: Proxies and browsers hold on to a connection that says something.
_PING_SECONDS: Final = 10.0


class _Event(NamedTuple):
    number: int
    kind: str
    data: bytes

    def encode(self) -> bytes:
        return b"id: %d\nevent: %s\ndata: %s\n\n" % (self.number, self.kind.encode(), self.data)


class Kept:
    """The last records and messages of all runs, as JSON, bounded by number and by bytes."""

    def __init__(self) -> None:
        self._entries: deque[tuple[str, str | None, bytes]] = deque()
        self._bytes = 0
        self.fallen: int = 0  #: Older ones that are not kept any more.

    def add(self, kind: str, run_id: str | None, data: bytes) -> None:
        """Keep one more, of the run *run_id*."""
        self._entries.append((kind, run_id, data))
        self._bytes += len(data)
        while len(self._entries) > MOST_EVENTS or self._bytes > _KEPT_BYTES:
            self._bytes -= len(self._entries.popleft()[2])
            self.fallen += 1

    def last(self, kind: str, run_id: str | None = None, most: int = MOST_EVENTS) -> list[bytes]:
        """Return the youngest of a kind, of one run or of all, as many as a page can take."""
        found: list[bytes] = []
        room = _ANSWER_BYTES
        for its_kind, its_run, data in reversed(self._entries):
            if its_kind == kind and run_id in {None, its_run}:
                room -= len(data)
                if room < 0 or len(found) == most:
                    break
                found.append(data)
        return found[::-1]


class EventStream:
    """The last events, numbered from 1; belongs to the thread of the agent's loop."""

    def __init__(self, secrets: Secrets) -> None:
        self._secrets: Final = secrets
        self._events: deque[_Event] = deque()
        self._bytes = 0
        self._news = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._ended = False
        self.last_id: int = 0  #: Number of the youngest event.

    def add(self, kind: str, content: Any) -> bytes:
        """Add an event; pages get it within a tenth of a second. Return its content as JSON."""
        data = self.written(content)
        self.last_id += 1
        self._events.append(_Event(self.last_id, kind, data))
        self._bytes += len(data)
        while len(self._events) > MOST_EVENTS or self._bytes > _MOST_BYTES:
            self._bytes -= len(self._events.popleft().data)
        self.announce()
        return data

    def written(self, content: Any) -> bytes:
        """Return JSON of ASCII characters in one line, without the secrets that the agent knows."""
        try:
            text = json.dumps(content, default=str, allow_nan=False)
        except ValueError:  # a task may send NaN, which browsers do not read
            spelled = json.dumps(content, default=str)
            text = json.dumps(json.loads(spelled, parse_constant=str))
        return self._secrets.hide_json(text).encode("ascii")

    def announce(self) -> None:
        """Let the pages look for what is new, soon."""
        if self._timer is None and not self._ended:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(WRITE_SECONDS, self._wake)

    def end(self) -> None:
        """Tell the pages that the agent stops."""
        self.add("end", {})
        self._ended = True
        if self._timer is not None:
            self._timer.cancel()
        self._wake()

    def serve(self, request: Request) -> Response:
        """Return the answer that sends events to one page until it leaves or the agent stops."""
        headers = {"Content-Type": "text/event-stream"}
        return Response(headers=headers, stream=self._parts(_position(request)))

    async def _parts(self, position: int) -> AsyncGenerator[bytes]:
        """Yield the events after *position*, and those that come."""
        while True:
            news = self._news
            part, position = self._part(position)
            if part:
                yield part
                continue
            if self._ended:
                break
            try:
                async with asyncio.timeout(_PING_SECONDS):
                    await news.wait()
            except TimeoutError:
                yield b": ping\n\n"

    def _part(self, position: int) -> tuple[bytes, int]:
        """Return what comes after the event *position*, as much as one write takes."""
        oldest = self.last_id - len(self._events) + 1
        if not oldest - 1 <= position <= self.last_id:
            return b"id: %d\nevent: reset\ndata: {}\n\n" % self.last_id, self.last_id
        parts, size = [], 0
        for event in islice(self._events, position - oldest + 1, None):
            parts.append(event.encode())
            size += len(parts[-1])
            position = event.number
            if size >= _PART_BYTES:
                break
        return b"".join(parts), position

    def _wake(self) -> None:
        self._timer = None
        news, self._news = self._news, asyncio.Event()
        news.set()


def _position(request: Request) -> int:
    """Return the number of the last event that a page has seen; -1, which is none, for no number.

    A browser that connects again sends a header; it has seen more than its address says.
    """
    given = request.headers.get("Last-Event-ID") or request.query.get("after", "")
    return int(given) if given.isascii() and given.isdecimal() and len(given) < 16 else -1
