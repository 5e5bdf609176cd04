"""The gate is what every request passes first: faults, the tier, the trace."""

from __future__ import annotations

import enum
import time
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NamedTuple

from aiohttp import web

from epm_task.simulator.api.answers import PIECE_BYTES, Refusal, body_of, send_in_pieces
from epm_task.simulator.api.connection import connection_of
from epm_task.simulator.faults.answers import fault_answer
from epm_task.simulator.processes.access import Caller
from epm_task.simulator.start_error import StartError

if TYPE_CHECKING:
    from aiohttp.typedefs import Handler, Middleware
    from aiohttp.web import Request, StreamResponse

    from epm_task.simulator.faults.answers import ApiFault, ApiFaults
    from epm_task.simulator.processes.access import Access
    from epm_task.simulator.trace import Trace


_ANYONE = Caller(launch=None, admin=False, reason="", pid=None)


class _Result(NamedTuple):
    response: StreamResponse
    reason: str


@web.middleware
async def hold(request: Request, handler: Handler) -> StreamResponse:
    """Tell the connection that a request is being handled, so that its head's time has ended."""
    connection = connection_of(request.transport)
    if connection is None:
        return await handler(request)
    connection.request_begun()
    try:
        return await handler(request)
    finally:
        connection.request_ended()


def gate(access: Access, trace: Trace, faults: ApiFaults | None) -> Middleware:
    """Return the middleware that decides about each request and writes the trace.

    The caller is identified anew for every request, so a kept-alive connection turns from 403 to
    200 at the registration of its process.
    """

    @web.middleware
    async def decide(request: Request, handler: Handler) -> StreamResponse:
        started = time.perf_counter()
        fault = faults.next_api_fault(request.method, request.path) if faults else None
        tier = tier_of(request)
        wrong = await fault_answer(fault, request) if fault else None
        caller = _ANYONE if tier is Tier.PUBLIC else _identify(access, request)
        if wrong is not None:
            result = _Result(wrong, "")
        else:
            result = await _serve(request, handler, denial(tier, caller))
        _note(trace, request, caller, tier, result, fault, time.perf_counter() - started)
        if fault and fault.kind == "drip":
            return await send_in_pieces(result.response, request, size=1, seconds=fault.seconds)
        if len(body_of(result.response)) > PIECE_BYTES:
            return await send_in_pieces(result.response, request)
        return result.response

    return decide


def _identify(access: Access, request: Request) -> Caller:
    transport = request.transport
    if transport is None:
        return Caller(launch=None, admin=False, reason="the client has gone", pid=None)
    local = transport.get_extra_info("sockname")[:2]
    peer = transport.get_extra_info("peername")[:2]
    return access.identify(local, peer, transport.get_extra_info("peercert"))


async def _serve(request: Request, handler: Handler, why_not: str) -> _Result:
    if why_not:
        return _refused(Refusal(HTTPStatus.FORBIDDEN, why_not))
    try:
        return _Result(await handler(request), "")
    except Refusal as refusal:
        return _refused(refusal)
    except web.HTTPException as error:
        allow = error.headers.get("Allow")
        headers = {"Allow": allow} if allow else None
        return _refused(Refusal(HTTPStatus(error.status), error.reason, headers=headers))
    except (OSError, StartError) as error:
        # A file of the agent could not be read or written, so nothing was changed.
        return _refused(Refusal(HTTPStatus.INTERNAL_SERVER_ERROR, str(error)))


def _refused(refusal: Refusal) -> _Result:
    return _Result(refusal.response(), refusal.reason)


def _note(  # noqa: PLR0913, PLR0917 - one fact each
    trace: Trace,
    request: Request,
    caller: Caller,
    tier: Tier,
    result: _Result,
    fault: ApiFault | None,
    seconds: float,
) -> None:
    status = result.response.status
    facts: dict[str, Any] = {
        "method": request.method,
        "path": request.path,
        "tier": tier.value,
        "status": status,
        "caller": _words(caller),
        "pid": caller.pid,
        "job_id": caller.launch.job_id if caller.launch else None,
        "run_id": caller.launch.run_id if caller.launch else None,
        "seconds": round(seconds, 6),
    }
    if fault:
        facts["fault"] = str(fault)
    reason = f"fault {fault}" if fault else result.reason
    what = f"{request.method} {request.path} -> {status} ({tier.value} tier, {_words(caller)})"
    denied = status == HTTPStatus.FORBIDDEN
    trace.add("api", "answered", what, denied=denied, reason=reason, **facts)


def _words(caller: Caller) -> str:
    if caller.launch:
        who = f"process {caller.launch.pid} of job {caller.launch.job_id}"
        return f"{who}, with the admin certificate" if caller.admin else who
    if caller.admin:
        return "admin certificate"
    return f"process {caller.pid}, not registered" if caller.pid else "caller not launched"


class Tier(enum.Enum):
    """The tiers of the vendor's reference."""

    PUBLIC = "public"
    PLUGIN = "Plugin"
    ADMIN = "Admin"


_PREFIXES = {"/api/pluginsettings": Tier.PLUGIN, "/api/jobs": Tier.ADMIN}


def tier_of(request: Request) -> Tier:
    """Return the tier of a request's path, also of one that leads nowhere.

    What the router matched decides, so that no spelling of a path gets past its tier.
    """
    resource = request.match_info.route.resource
    path = (resource.canonical if resource is not None else request.path).casefold()
    return next(
        (tier for prefix, tier in _PREFIXES.items() if path.startswith(prefix)), Tier.PUBLIC
    )


def denial(tier: Tier, caller: Caller) -> str:
    """Return why *caller* does not have *tier*, or an empty text when it does."""
    if tier is Tier.PLUGIN and caller.launch is None:
        held = "; an admin certificate does not give the Plugin tier" if caller.admin else ""
        return caller.reason + held
    if tier is Tier.ADMIN and not caller.admin:
        launched = ", and a launched process has the Plugin tier only" if caller.launch else ""
        return f"no client certificate of this agent's CA{launched}"
    return ""
