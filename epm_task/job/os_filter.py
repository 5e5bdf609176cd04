"""An OS filter says on which systems a job runs."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final, get_args

from epm_task.runtime.declaration import OsName

if TYPE_CHECKING:
    from collections.abc import Mapping

#: The keys of `osFilter`.
OS_NAMES: Final[tuple[OsName, ...]] = get_args(OsName)

_OTHER_PLATFORMS: Final[dict[str, OsName]] = {"win32": "windows", "darwin": "macOS"}


def os_name(platform: str = sys.platform) -> OsName:
    """Return the key of `osFilter` that stands for *platform*, as `sys.platform` has it."""
    return _OTHER_PLATFORMS.get(platform, "linux")


def allowed_systems(doc: Mapping[str, Any]) -> frozenset[OsName]:
    """Return the systems on which the job runs; a key that is absent excludes nothing."""
    rule = doc.get("osFilter")
    if not isinstance(rule, dict):
        return frozenset(OS_NAMES)
    return frozenset(name for name in OS_NAMES if rule.get(name, True) is not False)
