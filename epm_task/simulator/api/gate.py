"""Decide about every request: its fault, the tier of its caller, and its line in the trace."""

from __future__ import annotations

import enum
import time
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from epm_task.simulator.api.answers import Refusal
from epm_task.simulator.faults.effects import drip, wrong_answer
from epm_task.simulator.processes.registry import Caller
from epm_task.simulator.start_error import StartError
from epm_task.simulator.web.exchange import HttpError

if TYPE_CHECKING:
    from epm_task.simulator.faults.faults import Faults
    from epm_task.simulator.processes.registry import Access
    from epm_task.simulator.trace import Trace
    from epm_task.simulator.web.exchange import Around, Handler, Request, Response


def gate(access: Access, trace: Trace, faults: Faults) -> Around:
    """Return what decides about each request and writes the trace.

    The caller is identified anew for every request, so a kept-alive connection turns from 403 to
    200 at the registration of its process.
    """

    async def _decide(request: Request, handler: Handler) -> Response:
        started = time.perf_counter()
        fault = faults.next_api_fault(request.method, request.path)
        response = await wrong_answer(fault, request) if fault else None
        tier = tier_of(request)
        caller = _ANYONE if tier is Tier.PUBLIC else _identify(access, request)
        reason, fix = (f"fault {fault.effect}", "switch the fault off") if fault else ("", "")
        if response is None:
            try:
                check_tier(tier, caller)
                response = await _serve(request, handler)
            except Refusal as refusal:
                response, reason = refusal.response(), reason or refusal.reason
                fix = fix or refusal.fix
        facts = _facts(request, caller, tier)
        facts["status"] = response.status
        facts["seconds"] = round(time.perf_counter() - started, 6)
        if fix:
            facts["fix"] = fix
        if fault:
            facts["fault"] = fault.effect
        what = f"{request.method} {request.path} -> {response.status}"
        what += f" ({tier.value} tier, {facts['caller']})"
        denied = response.status == HTTPStatus.FORBIDDEN
        trace.add("api", "answered", what, denied=denied, reason=reason, **facts)
        if fault and fault.what == "drip":
            return drip(response, seconds=fault.value)
        return response

    return _decide


_ANYONE = Caller(launch=None, admin=False, reason="", pid=None)


def _identify(access: Access, request: Request) -> Caller:
    client = request.client
    return access.identify(client.local, client.address, client.certificate)


async def _serve(request: Request, handler: Handler) -> Response:
    try:
        return await handler(request)
    except HttpError as error:
        raise Refusal(error.status, str(error), headers=error.headers) from error
    except (OSError, StartError) as error:
        # A file of the agent could not be read or written, so nothing was changed.
        raise Refusal(HTTPStatus.INTERNAL_SERVER_ERROR, str(error)) from error


def _facts(request: Request, caller: Caller, tier: Tier) -> dict[str, Any]:
    return {
        "method": request.method,
        "path": request.path,
        "tier": tier.value,
        "caller": _described(caller),
        "pid": caller.pid,
        "job_id": caller.launch.job_id if caller.launch else None,
        "run_id": caller.launch.run_id if caller.launch else None,
    }


def _described(caller: Caller) -> str:
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


#: The first that fits counts.
_PREFIXES = {
    "/api/pluginsettings": Tier.PLUGIN,
    "/api/plugins/": Tier.ADMIN,
    "/api/plugins": Tier.PLUGIN,
    "/api/jobs": Tier.ADMIN,
}


def tier_of(request: Request) -> Tier:
    """Return the tier of a request's path, also of one that leads nowhere.

    What the route matched decides, so that no spelling of a path gets past its tier.
    """
    path = (request.route or request.path).casefold()
    return next(
        (tier for prefix, tier in _PREFIXES.items() if path.startswith(prefix)), Tier.PUBLIC
    )


def check_tier(tier: Tier, caller: Caller) -> None:
    """Check that *caller* has *tier*.

    Raises:
        Refusal: 403, with the reason for the trace.
    """
    if tier is Tier.PLUGIN and caller.launch is None:
        held = "; an admin certificate does not give the Plugin tier" if caller.admin else ""
        raise Refusal(HTTPStatus.FORBIDDEN, caller.reason + held, fix=caller.fix)
    if tier is Tier.ADMIN and not caller.admin:
        launched = ", and a launched process has the Plugin tier only" if caller.launch else ""
        why = f"no client certificate of this agent's CA{launched}"
        fix = "give the client certificate of the agent's folder: certs/admin.pem, certs/admin.key"
        raise Refusal(HTTPStatus.FORBIDDEN, why, fix=fix)
