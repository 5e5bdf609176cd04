"""Serve the console of one agent on loopback: the page, what it shows, and what one may do."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web
from aiohttp.client_exceptions import ClientError

from epm_task.contract.json_text import BadJson, parse_object
from epm_task.simulator.api.server import traced_logger
from epm_task.simulator.console.guard import Guard, Refused
from epm_task.simulator.console.observer import Observer
from epm_task.simulator.jobs.store import UnknownJob
from epm_task.simulator.start_error import listen

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiohttp.web import Request, Response

    from epm_task.simulator.console.documents import Sources

_PAGE: Final = Path(__file__).parent / "page"
_TYPES: Final = {
    "index.html": "text/html",
    "console.css": "text/css",
    "console.js": "text/javascript",
    "icon.svg": "image/svg+xml",
}

#: Of a request's body; more is 413.
_BODY_BYTES: Final = 64 << 10

#: For streams that are told the end.
_STOP_SECONDS: Final = 1.0


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
        app = web.Application(middlewares=[self._guard.check], client_max_size=_BODY_BYTES)
        app.on_response_prepare.append(self._guard.seal)
        app.add_routes(self._routes())
        self._runner = web.AppRunner(
            app,
            access_log=None,
            logger=traced_logger(self._sources.trace),
            shutdown_timeout=_STOP_SECONDS,
        )
        await self._runner.setup()
        await web.SockSite(self._runner, listening).start()
        self.observer.start()

    async def stop(self) -> None:
        """Tell the pages that the agent stops, and serve no longer."""
        self.observer.stop()
        await self._runner.cleanup()

    def _routes(self) -> list[web.RouteDef]:
        base = self._guard.path
        api = f"{base}console/api/"
        return [
            web.get(base, self._page),
            web.get(f"{base}{{name}}", self._page),
            web.get(f"{api}state", self._state, allow_head=False),
            web.get(f"{api}events", self._events, allow_head=False),
            web.get(f"{api}settings", self._settings, allow_head=False),
            web.get(f"{api}runs/{{run_id}}", self._run, allow_head=False),
            web.post(f"{api}jobs/{{job_id}}/trigger", self._trigger),
            web.post(f"{api}jobs/{{job_id}}/enabled", self._enable),
            web.post(f"{api}faults", self._add_fault),
            web.post(f"{api}faults/{{number}}", self._switch_fault),
        ]

    async def _page(self, request: Request) -> web.FileResponse:
        name = request.match_info.get("name", "index.html")
        if name not in _TYPES:
            raise web.HTTPNotFound
        headers = {"Content-Type": f"{_TYPES[name]}; charset=utf-8"}
        return web.FileResponse(_PAGE / name, headers=headers)

    async def _state(self, _: Request) -> Response:
        return self._answer({"csrf": self._guard.post_token, **self.observer.state()})

    async def _events(self, request: Request) -> web.StreamResponse:
        return await self.observer.stream.serve(request)

    async def _settings(self, _: Request) -> Response:
        return self._answer(await asyncio.to_thread(self.observer.settings))

    async def _run(self, request: Request) -> Response:
        found = self.observer.run(request.match_info["run_id"])
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
        on, number = _flag(await _body(request), "on"), request.match_info["number"]
        rules = self._sources.faults.rules()
        if not (number.isascii() and number.isdecimal()) or int(number) >= len(rules):
            raise Refused("this fault is not known", "load the page again", HTTPStatus.NOT_FOUND)
        self._sources.faults.switch(rules[int(number)], on=on)
        return self._answer(self.observer.faults())

    def _job(self, request: Request) -> dict[str, Any]:
        try:
            return self._sources.jobs.get(request.match_info["job_id"])
        except UnknownJob as error:
            raise Refused(error.what, error.fix, HTTPStatus.NOT_FOUND) from error

    def _answer(self, content: object) -> Response:
        body = self.observer.stream.written(content)
        return web.Response(body=body, content_type="application/json")


async def _body(request: Request) -> dict[str, Any]:
    """Return the JSON object of a request's body."""
    if request.content_type != "application/json":
        raise Refused(
            "the body is not declared as JSON",
            "send Content-Type: application/json",
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        )
    try:
        return parse_object(await request.read())
    except (BadJson, ClientError, web.RequestPayloadError) as error:
        raise Refused(f"the body cannot be read: {error}", "", HTTPStatus.BAD_REQUEST) from error


def _flag(body: dict[str, Any], name: str) -> bool:
    value = body.get(name)
    if not isinstance(value, bool):
        raise Refused(f"{name} is not true or false", "", HTTPStatus.BAD_REQUEST)
    return value
