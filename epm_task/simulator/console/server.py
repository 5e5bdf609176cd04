"""Serve the console of one agent on loopback: the page, what it shows, and what one may do."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from epm_task.contract.json_text import BadJson, parse_object
from epm_task.contract.tokens import by_hand
from epm_task.simulator.console.guard import Guard, Refused
from epm_task.simulator.console.observer import Observer
from epm_task.simulator.jobs.store import UnknownJob
from epm_task.simulator.start_error import listen
from epm_task.simulator.web.exchange import BodyLost, HttpError, Response
from epm_task.simulator.web.routes import Route, routed
from epm_task.simulator.web.server import HttpServer

if TYPE_CHECKING:
    from collections.abc import Callable

    from epm_task.simulator.console.documents import Sources
    from epm_task.simulator.web.exchange import Request

_PAGE: Final = Path(__file__).parent / "page"
_TYPES: Final = {
    "index.html": "text/html",
    "console.css": "text/css",
    "console.js": "text/javascript",
    "icon.svg": "image/svg+xml",
}

#: Of a request's body; more is 413.
_BODY_BYTES: Final = 64 << 10


class Console:
    """The console of one agent.

    Attributes:
        observer: What is told of the agent, and tells the pages.
    """

    def __init__(self, sources: Sources) -> None:
        self._sources: Final = sources
        self.observer: Final = Observer(sources)
        self._guard: Final = Guard()

    @property
    def address(self) -> str:
        """What lets the next browser in."""
        return self._guard.address

    @property
    def on_address(self) -> Callable[[str], object] | None:
        """What is called with a new address when one was used twice."""
        return self._guard.on_address

    @on_address.setter
    def on_address(self, listener: Callable[[str], object]) -> None:
        self._guard.on_address = listener

    async def start(self, port: int) -> None:
        """Watch the agent, and serve on *port* of 127.0.0.1; 0 is any free one.

        Raises:
            PortTaken: Another process has the port.
        """
        listening = listen("127.0.0.1", port)
        self._guard.bind(listening.getsockname()[1])
        self._server = HttpServer(
            listening,
            routed(self._routes(), self._guard.check),
            trace=self._sources.trace,
            body_bytes=_BODY_BYTES,
        )
        self.observer.start()

    async def stop(self) -> None:
        """Tell the pages that the agent stops, and serve no longer."""
        self.observer.stop()
        await self._server.stop()

    def _routes(self) -> list[Route]:
        base = self._guard.path
        api = f"{base}console/api/"
        return [
            Route("GET, HEAD", base, self._page),
            Route("GET, HEAD", f"{base}{{name}}", self._page),
            Route("GET", f"{api}state", self._state),
            Route("GET", f"{api}events", self._events),
            Route("GET", f"{api}settings", self._settings),
            Route("GET", f"{api}runs/{{run_id}}", self._run),
            Route("POST", f"{api}jobs/{{job_id}}/trigger", self._trigger),
            Route("POST", f"{api}jobs/{{job_id}}/enabled", self._enable),
            Route("POST", f"{api}faults", self._add_fault),
            Route("POST", f"{api}faults/{{number}}", self._switch_fault),
        ]

    async def _page(self, request: Request) -> Response:
        name = request.names.get("name", "index.html")
        if name not in _TYPES:
            raise HttpError(HTTPStatus.NOT_FOUND)
        headers = {"Content-Type": f"{_TYPES[name]}; charset=utf-8"}
        return Response(body=await asyncio.to_thread((_PAGE / name).read_bytes), headers=headers)

    async def _state(self, _: Request) -> Response:
        return self._answer({"csrf": self._guard.post_token, **self.observer.state()})

    async def _events(self, request: Request) -> Response:
        return self.observer.stream.serve(request)

    async def _settings(self, _: Request) -> Response:
        return self._answer(await asyncio.to_thread(self.observer.settings))

    async def _run(self, request: Request) -> Response:
        found = self.observer.run(request.names["run_id"])
        if found is None:
            raise Refused(
                "this run is not known, or too old", "see `epm-task runs`", HTTPStatus.NOT_FOUND
            )
        return self._answer(found)

    async def _trigger(self, request: Request) -> Response:
        body, job = await _body(request), self._job(request)
        context = body.get("context", {})
        if not isinstance(context, dict):
            raise Refused("context is not an object", "", HTTPStatus.BAD_REQUEST)
        if job.get("enabled", True) is False:
            raise Refused(f"job {job['id']} is disabled", "enable it first", HTTPStatus.CONFLICT)
        context = by_hand(job, context)
        run_id = self._sources.start_run(job, trigger="trigger", context=context)
        return self._answer({"runId": run_id})

    async def _enable(self, request: Request) -> Response:
        body, job = await _body(request), self._job(request)
        enabled = _flag(body, "enabled")
        await asyncio.to_thread(self._sources.jobs.put, {**job, "enabled": enabled})
        done = "enabled" if enabled else "disabled"
        what = f"job {job['id']} was {done} in the console"
        self._sources.trace.add("job", "saved", what, job_id=job["id"])
        return self._answer({"enabled": enabled})

    async def _add_fault(self, request: Request) -> Response:
        self._sources.faults.add(str((await _body(request)).get("text", "")))
        return self._answer(self.observer.faults())

    async def _switch_fault(self, request: Request) -> Response:
        on, number = _flag(await _body(request), "on"), request.names["number"]
        rules = self._sources.faults.rules()
        if not (number.isascii() and number.isdecimal()) or int(number) >= len(rules):
            raise Refused("this fault is not known", "load the page again", HTTPStatus.NOT_FOUND)
        self._sources.faults.switch(rules[int(number)], on=on)
        return self._answer(self.observer.faults())

    def _job(self, request: Request) -> dict[str, Any]:
        try:
            return self._sources.jobs.get(request.names["job_id"])
        except UnknownJob as error:
            raise Refused(error.what, error.fix, HTTPStatus.NOT_FOUND) from error

    def _answer(self, content: object) -> Response:
        body = self.observer.stream.written(content)
        return Response(body=body, headers={"Content-Type": "application/json"})


async def _body(request: Request) -> dict[str, Any]:
    """Return the JSON object of a request's body."""
    if request.media_type != "application/json":
        raise Refused(
            "the body is not declared as JSON",
            "send Content-Type: application/json",
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        )
    try:
        return parse_object(await request.read())
    except (BadJson, BodyLost) as error:
        raise Refused(f"the body cannot be read: {error}", "", HTTPStatus.BAD_REQUEST) from error


def _flag(body: dict[str, Any], name: str) -> bool:
    value = body.get(name)
    if not isinstance(value, bool):
        raise Refused(f"{name} is not true or false", "", HTTPStatus.BAD_REQUEST)
    return value
