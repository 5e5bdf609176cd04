"""A tier is what a caller must have for an endpoint."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aiohttp.web import Request

    from epm_task.simulator.access import Caller


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
