"""The vendor's names: settings, ports, environment, arguments, systems and accounts."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

if TYPE_CHECKING:
    from collections.abc import Mapping

#: The plugin under whose name the agent gives its merged, system-wide settings, and two of them.
SYSTEM_PLUGIN: Final = "KeeperPrivilegeManager"
BROKER_HOST: Final = "broker.host"
BROKER_PORT: Final = "broker.port"

#: Ports of an agent that was installed with the vendor's defaults: the API and the broker.
HTTPS_PORT: Final = 6889
HTTP_PORT: Final = 6888
MQTT_PORT: Final = 8675

#: A year: time-outs and intervals beyond it cannot be meant, and no timer takes every number.
LONGEST_SECONDS: Final = 366 * 86_400

#: Path of the endpoints that tasks may call.
PLUGIN_SETTINGS_PATH: Final = "/api/PluginSettings"

#: What the agent sets in the environment of a job that has `mqttTopics` with an entry.
JOB_ID_VARIABLE: Final = "KEEPER_JOB_ID"
JOB_NAME_VARIABLE: Final = "KEEPER_JOB_NAME"

#: Where the agent of this package lets tasks keep their states; a real one says nothing.
STATE_VARIABLE: Final = "EPM_TASK_STATE"

#: The key of an event's context that names the event.
EVENT_TYPE: Final = "eventType"

#: The token for the base URL of the local HTTPS API, and the argument that carries it.
API_BASE_URL: Final = "KeeperApiBaseUrl"
API_BASE_OPTION: Final = "--keeper-api-base"
API_BASE_ARGUMENT: Final = f"{API_BASE_OPTION}={{{API_BASE_URL}}}"

#: The systems of `osFilter`, and the accounts of `ExecutionType`, in the vendor's spelling.
OsName = Literal["windows", "linux", "macOS"]
OS_NAMES: Final[tuple[OsName, ...]] = get_args(OsName)
ExecutionType = Literal["Service", "User", "UserDesktop", "UserElevated"]
EXECUTION_TYPES: Final[tuple[ExecutionType, ...]] = get_args(ExecutionType)
#: The account of the agent itself, and the only one whose stdout it reads.
SERVICE: Final = "Service"
#: The accounts of users who need not be administrators.
NON_ADMIN_TYPES: Final = ("User", "UserDesktop")

#: Where an entry of `parameters` has its default: in the documented key, else in the other one.
DEFAULT_KEYS: Final = ("default", "defaultValue")

#: Of Windows, for devices: no file can have one of these names, nor one of them with an extension
#: (learn.microsoft.com: Naming Files, Paths, and Namespaces).
_DEVICES: Final = frozenset(
    (
        *("con", "prn", "aux", "nul", "conin$", "conout$"),
        *(f"{device}{digit}" for device in ("com", "lpt") for digit in "123456789\xb9\xb2\xb3"),
    )
)

_OTHER_PLATFORMS: Final[dict[str, OsName]] = {"win32": "windows", "darwin": "macOS"}


def execution_type_of(task: Mapping[str, Any]) -> object:
    """Return the task's execution type; both spellings of the key count, `Service` is the default.

    The answer is whatever the document holds, which may be another value.
    """
    found = task.get("ExecutionType", task.get("executionType"))
    return SERVICE if found is None else found


def default_of(parameter: Mapping[str, Any]) -> Any:
    """Return the default of an entry of `parameters`, None without one; both spellings count."""
    return next((found for key in DEFAULT_KEYS if (found := parameter.get(key)) is not None), None)


def is_device(name: str) -> bool:
    """Return whether Windows takes a file's name for a device: `CON`, `nul.txt`, `COM1 .log`."""
    return name.partition(".")[0].rstrip(" ").casefold() in _DEVICES


def os_name(platform: str = sys.platform) -> OsName:
    """Return the key of `osFilter` for *platform*, as `sys.platform` has it."""
    return _OTHER_PLATFORMS.get(platform, "linux")


def allowed_systems(doc: Mapping[str, Any]) -> frozenset[OsName]:
    """Return the systems on which the job runs; a key that is absent excludes nothing."""
    rule = doc.get("osFilter")
    if not isinstance(rule, dict):
        return frozenset(OS_NAMES)
    return frozenset(name for name in OS_NAMES if rule.get(name, True) is not False)
