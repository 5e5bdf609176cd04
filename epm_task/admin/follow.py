"""Follow a run from outside: its records, in the log or from the broker, and its end."""

from __future__ import annotations

import secrets
import ssl
import time
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

from epm_task.admin.errors import AdminUnreachable, CredentialRefused
from epm_task.admin.exchange import unsafe_peer
from epm_task.admin.log_files import JobLines, LogFiles, files_of
from epm_task.contract.layout import RUN_HISTORY
from epm_task.contract.record import JOB_ID, read_fields
from epm_task.contract.run_history import EndedRun, read_run
from epm_task.contract.topic import KEEPER_LOGGER
from epm_task.runtime.agent.tls import Dialer, readable
from epm_task.runtime.attestation.attestation import Untrusted
from epm_task.runtime.start_up import slim_import

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from epm_task.admin.credential import Credential


#: The agent may write the last records a moment after the end of the run.
_LATE_SECONDS: Final = 0.3
#: The vendor's agent keeps records for 5 s before it writes them.
_FLUSH_SECONDS: Final = 6.0
#: More records than these are given in several calls.
_ENOUGH: Final = 10_000


class LogRecords:
    """The records of one job that are written to the agent's logs from now on.

    Its runs cannot be told apart: a record carries the task's own id of its run.

    Attributes:
        late_seconds: How long after the end of a run its records may come.

    Raises:
        OSError: A log cannot be read.
    """

    def __init__(self, logs: Sequence[Path], job_id: str) -> None:
        self._files = LogFiles(*logs)
        self._lines = JobLines(job_id)
        # Only the agent of this package writes both, and each record at once.
        present = [log for log in logs if files_of(log)]
        at_once = present and all((log.parent / RUN_HISTORY).exists() for log in present)
        self.late_seconds: float = _LATE_SECONDS if at_once else _FLUSH_SECONDS

    @property
    def behind(self) -> bool:
        """Whether the last call left some."""
        return self._files.behind

    def records(self, wait_seconds: float) -> list[dict[str, Any]]:  # noqa: ARG002  # as the broker's
        """Return the records since the last call; a file needs no waiting.

        Raises:
            OSError: A log cannot be read.
        """
        found = self._lines.records(self._files.lines())
        while self._files.behind and len(found) < _ENOUGH:
            found += self._lines.records(self._files.lines())
        return found

    def rest(self) -> list[dict[str, Any]]:
        """Return what was written without a line end."""
        return self._lines.records(self._files.rests())

    def close(self) -> None:
        """Hold nothing: a file is open only while it is read."""


# With PySocks installed paho would obey MQTT_PROXY.
with slim_import("paho"):
    from paho.mqtt.client import Client, MQTTMessage
    from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
    from paho.mqtt.subscribeoptions import SubscribeOptions

#: On loopback each of connect, CONNACK and SUBACK takes milliseconds.
_STEP_SECONDS: Final = 3.0
#: Reason codes from here on are failures, in CONNACK and SUBACK.
_FIRST_FAILURE: Final = 0x80


class BrokerRecords:
    """A subscription of an administrator to KeeperLogger; the records of one job are kept.

    Raises:
        AdminUnreachable: No broker answers there.
        CredentialRefused: The broker refuses the client or the subscription.
        UnsafeConnection: A file is not safe, or another user's process holds the port.
        WrongUse: A file of the credential is not what it must be.
    """

    #: As of `LogRecords`.
    late_seconds: Final = _LATE_SECONDS
    behind: Final = False

    def __init__(self, address: tuple[str, int], credential: Credential, job_id: str) -> None:
        self._job_id = job_id
        self._url = f"mqtts://{address[0]}:{address[1]}"
        self._connected: int | None = None
        self._subscribed: int | None = None
        self._records: list[dict[str, Any]] = []
        dialer = Dialer(address, credential.tls_context(), seconds=_STEP_SECONDS)
        # No `_`: the broker would take what comes before it for a job id.
        client_id = f"epm-task-admin-{secrets.token_hex(4)}"
        self._client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            protocol=MQTTProtocolVersion.MQTTv5,
            reconnect_on_failure=False,
        )
        self._client.tls_set_context(cast("ssl.SSLContext", dialer))
        self._client.connect_timeout = _STEP_SECONDS
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = self._on_subscribe
        self._client.on_message = self._on_message
        try:
            self._open(dialer)
        except BaseException:
            self.close()
            raise

    def records(self, wait_seconds: float) -> list[dict[str, Any]]:
        """Return the records since the last call, after at most *wait_seconds*.

        Raises:
            AdminUnreachable: The broker has closed the connection.
        """
        if not self._turn(wait_seconds):
            raise AdminUnreachable(self._url, "the broker closed the connection")
        taken, self._records = self._records, []
        return taken

    def rest(self) -> list[dict[str, Any]]:
        """Return nothing: a message is whole."""
        return []

    def close(self) -> None:
        """Leave the broker."""
        self._client.disconnect()
        opened = self._client.socket()
        if opened is not None:
            opened.close()

    def _open(self, dialer: Dialer) -> None:
        try:
            dialer.check_listener()
            self._client.connect(*dialer.address)
        except (Untrusted, ssl.SSLCertVerificationError) as error:
            raise unsafe_peer(self._url, error) from error
        except OSError as error:
            raise AdminUnreachable(self._url, error.strerror or str(error)) from error
        self._await("CONNECT", lambda: self._connected)
        self._client.subscribe(KEEPER_LOGGER, options=SubscribeOptions(qos=1))
        self._await(f"SUBSCRIBE {KEEPER_LOGGER}", lambda: self._subscribed)

    def _await(self, call: str, answer: Any) -> None:
        until = time.monotonic() + _STEP_SECONDS
        while answer() is None:
            if not self._turn(0.05) and answer() is None:
                raise CredentialRefused(
                    call, "the broker closed the connection instead of answering", status=0
                )
            if time.monotonic() > until:
                raise AdminUnreachable(self._url, f"no answer to {call} in {_STEP_SECONDS:.0f} s")
        if answer() >= _FIRST_FAILURE:
            raise CredentialRefused(call, f"the broker answered 0x{answer():02x}", status=0)

    def _turn(self, seconds: float) -> bool:
        """Read what comes in *seconds*, keep the connection alive; return whether it is open.

        `Client.loop` would make two more sockets, and close them only when it is collected.
        """
        client = self._client
        codes = [client.loop_read()] if readable(client.socket(), seconds) else []
        if client.want_write():
            codes.append(client.loop_write())
        codes.append(client.loop_misc())
        return all(code == MQTTErrorCode.MQTT_ERR_SUCCESS for code in codes)

    def _on_connect(self, _client: Client, _userdata: object, _flags: object, *more: Any) -> None:
        self._connected = more[0].value

    def _on_subscribe(self, _client: Client, _userdata: object, _mid: int, *more: Any) -> None:
        self._subscribed = more[0][0].value

    def _on_message(self, _client: Client, _userdata: object, message: MQTTMessage) -> None:
        record = read_fields(bytes(message.payload))
        if record and record.get(JOB_ID) == self._job_id:
            self._records.append(record)


#: Where the records of a job are read as they come.
RecordSource: TypeAlias = LogRecords | BrokerRecords


#: People take this for at once.
_WAIT_SECONDS: Final = 0.1


class Follower:
    """What records and the agent's run history show of a run; make it before the run is started.

    Raises:
        OSError: The history cannot be examined.
    """

    def __init__(
        self,
        source: RecordSource | None,
        history: Path | None,
        show: Callable[[dict[str, Any]], None],
    ) -> None:
        self._source = source
        self._ends = LogFiles(history) if history else None
        self._show = show

    def follow(self, job_id: str, run_id: str, seconds: float) -> EndedRun | None:
        """Show records until the run has ended, and return how; None when that was not seen.

        An empty *run_id* means the next run of the job.

        Raises:
            AdminError: The broker has closed the connection.
            OSError: A file cannot be read.
        """
        until = time.monotonic() + seconds
        while True:
            self._show_new_records()
            ended = self._find_end(job_id, run_id)
            if ended is not None or time.monotonic() >= until:
                break
        if self._source is not None:
            until = time.monotonic() + self._source.late_seconds
            while self._show_new_records() or time.monotonic() < until:
                pass
            for record in self._source.rest():
                self._show(record)
        return ended

    def close(self) -> None:
        """Let go of the source."""
        if self._source is not None:
            self._source.close()

    def _find_end(self, job_id: str, run_id: str) -> EndedRun | None:
        runs = [run for line in self._ends.lines() if (run := read_run(line))] if self._ends else []
        same = (run for run in runs if run.job_id == job_id and run_id in {"", run.run_id})
        return next(same, None)

    def _show_new_records(self) -> bool:
        """Show what is new; return whether more of it is there already."""
        records = self._source.records(_WAIT_SECONDS) if self._source else []
        for record in records:
            self._show(record)
        if not records:
            time.sleep(0.02)
        return self._source is not None and self._source.behind
