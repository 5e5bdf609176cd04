"""What goes wrong with the agent: its settings, its HTTPS API, its broker."""

from __future__ import annotations

from epm_task.errors.handler import TaskError
from epm_task.exit_code import ExitCode


class SettingsError(TaskError):
    """A setting of the agent is missing or invalid."""

    exit_code = ExitCode.DATAERR

    def __init__(self, plugin: str, key: str, why: str) -> None:
        """Take the plugin, the setting's key and the reason, never the value."""
        super().__init__(
            f"setting {key} of {plugin} {why}; "
            "correct it in the policy, or in the plugin's JSON on disk"
        )


class AgentError(TaskError):
    """The agent's local HTTPS API did not serve this run."""

    exit_code = ExitCode.UNAVAILABLE


class AgentUnreachable(AgentError):
    """No usable answer came in time."""

    def __init__(self, url: str, seconds: float, why: str) -> None:
        """Take the URL, how long was tried, and the last reason."""
        super().__init__(
            f"no answer from the agent at {url} in {seconds:.1f} s ({why}); "
            "check that the agent's service is running and that the port is right"
        )


class UnknownSetting(AgentError):
    """The agent does not know the plugin or the setting (404)."""

    exit_code = ExitCode.NOINPUT

    def __init__(self, name: str) -> None:
        """Take the plugin, or plugin and setting."""
        super().__init__(
            f"the agent does not know {name} (404); deploy the plugin, or correct the name: "
            "it must match exactly"
        )


class AgentProtocolError(AgentError):
    """An answer that the agent's API would not give."""

    exit_code = ExitCode.PROTOCOL

    def __init__(self, url: str, why: str) -> None:
        """Take the URL and the reason."""
        super().__init__(
            f"{url}: {why}; this is not the agent's API, or another version of it: "
            "check --keeper-api-base"
        )


class NotRegistered(AgentError):
    """The agent answered 403 for the whole registration window."""

    exit_code = ExitCode.NOPERM

    def __init__(self, pid: int, seconds: float, tries: int) -> None:
        """Take the PID, the length of the window in seconds, and the number of requests."""
        super().__init__(
            f"the agent answered 403 to all {tries} requests in {seconds:.1f} s: process {pid} is "
            "not registered as started by the agent, which is what gives it the Plugin tier; start "
            "it as a job task, not by hand, not through a wrapper, and not as a one-file executable"
        )


class UnsafeAgent(AgentError):
    """The address is not one that only the agent can have."""

    exit_code = ExitCode.CONFIG


class BrokerError(TaskError):
    """The agent's MQTT broker did not serve this run."""

    exit_code = ExitCode.UNAVAILABLE


class BrokerUnreachable(BrokerError):
    """No MQTT connection could be made in time."""

    def __init__(self, address: str, seconds: float, why: str) -> None:
        """Take `host:port`, how long was tried, and the last reason."""
        super().__init__(
            f"no MQTT connection to {address} in {seconds:.1f} s ({why}); check that the agent "
            'runs; @task(broker="optional") runs without it'
        )


class BrokerRefused(BrokerError):
    """The broker refused the connection."""

    def __init__(self, address: str, reason: str, client_id: str) -> None:
        """Take `host:port`, the broker's reason, and the client id that was refused."""
        super().__init__(
            f"the broker at {address} refused the client id {client_id!r} ({reason}); the process "
            "must be started by the agent, and the job must have mqttTopics"
        )


class UnsafeBroker(BrokerError):
    """The broker's address is not one that only the agent can have."""

    exit_code = ExitCode.CONFIG
