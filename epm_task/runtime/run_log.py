"""A run log is the log of one run together with its way to the broker."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Final

from epm_task.errors import HandlerCrashed, RecordsUndelivered
from epm_task.exit_code import ExitCode, describe
from epm_task.runtime import level
from epm_task.runtime.client_id import make_client_id
from epm_task.runtime.log import Sink, joined, make_log
from epm_task.runtime.log_pipe import LogPipe
from epm_task.runtime.outcome import Outcome
from epm_task.runtime.record import RecordEncoder, exception_properties
from epm_task.runtime.secret_text import secret_texts
from epm_task.runtime.system_settings import broker_address

if TYPE_CHECKING:
    from ssl import SSLContext

    from epm_task.runtime.agent import Registration
    from epm_task.runtime.declaration import Declaration
    from epm_task.runtime.invocation import Invocation
    from epm_task.runtime.settings import TaskSettings
    from epm_task.runtime.standard_streams import StandardStreams

#: A handler that was ended by force gets less time, so that the agent's kill finds nobody.
_FORCED_FLUSH_SECONDS: Final = 1.0


class RunLog:
    """Everything that is written during one run.

    Args:
        declaration: What the author declared.
        invocation: What this run was given.
        streams: Where stderr is.
    """

    def __init__(
        self, declaration: Declaration, invocation: Invocation, streams: StandardStreams
    ) -> None:
        self._declaration = declaration
        self._invocation = invocation
        self.flush_seconds: Final = invocation.flush_timeout
        self._streams = streams
        self._encoder = RecordEncoder(
            source=declaration.job_id,
            job_id=invocation.job_id or "",
            job_name=invocation.job_name,
            run_id=invocation.run_id,
        )
        self.pipe: Final = LogPipe(streams, mirror=level.NUMBERS[declaration.mirror])
        self._sink = Sink(self._encoder, self.pipe)
        minimum = level.NUMBERS[invocation.log_level]
        self.log: Final = make_log(self._sink, minimum)
        self._connected = False
        self._encoder.mask(secret_texts(invocation.arguments))
        self._joined = ExitStack()
        self._joined.enter_context(joined(self._sink, minimum))

    def connect(
        self, registration: Registration, settings: TaskSettings | None, tls: SSLContext
    ) -> None:
        """Send the records to the agent's broker from now on.

        Raises:
            BrokerError: The broker is required, and did not accept the connection in time.
            SettingsError: The agent's settings do not say where the broker is.
        """
        self._encoder.mask(secret_texts(settings))
        if registration.tries > 1:
            seconds = round(registration.seconds, 3)
            self.log.info("registered", tries=registration.tries, seconds=seconds)
        invocation = self._invocation
        if invocation.job_id is None:
            self._do_without_broker()
            return
        client_id = make_client_id(
            invocation.job_id,
            invocation.run_id,
            job_name=invocation.job_name,
            template=invocation.client_id_template,
        )
        host, port = broker_address(registration.settings)
        self._deliver_to(host, port, client_id, tls)
        self._connected = True

    def _deliver_to(self, host: str, port: int, client_id: str, tls: SSLContext) -> None:
        # paho-mqtt costs 30 ms, and only here is it certain that it is needed.
        from epm_task.runtime.delivery import Delivery  # noqa: PLC0415
        from epm_task.runtime.mqtt_handshake import BrokerAddress  # noqa: PLC0415

        address = BrokerAddress(host, port, client_id, tls)
        delivery = Delivery(self.pipe.outbox, address, self.pipe.refuse)
        self.pipe.attach(delivery)
        if self._declaration.broker == "required":
            delivery.wait_until_connected(self._invocation.registration_timeout)

    def _do_without_broker(self) -> None:
        self.pipe.without_broker("KEEPER_JOB_ID is not set")
        self.log.warning(
            "no_job_id",
            why="the agent sets KEEPER_JOB_ID only when the job has mqttTopics with an entry",
            fix='add "mqttTopics": {"allowedPublications": ["KeeperLogger"]} to the job\'s root',
            effect="the records of this run stand on stderr",
        )

    def crashed(self, crash: BaseException) -> None:
        """Write the record of an exception that the handler let escape."""
        self._sink.write(level.CRITICAL, "task_crashed", exception_properties(crash))

    def deadline_reached(self, stacks: str) -> None:
        """Write the record that says where the task was when its time was over."""
        self._sink.write(level.WARNING, "deadline_reached", {"stacks": stacks})

    def close(self, outcome: Outcome, *, forced: bool = False) -> Outcome:
        """Flush everything; return the outcome, worse if a thread crashed or records failed."""
        if outcome.exit_code == ExitCode.OK and self._sink.thread_errors:
            what = f"the handler's thread {self._sink.thread_errors[0]!r} let an exception escape"
            outcome = Outcome.of_error(HandlerCrashed(what))
        if outcome.exit_code and self._connected:
            facts = {"exitCode": int(outcome.exit_code), "exitName": describe(outcome.exit_code)}
            self._sink.write(level.ERROR, "task_failed", {**facts, "reason": outcome.error})
        self._joined.close()
        seconds = min(self.flush_seconds, _FORCED_FLUSH_SECONDS) if forced else self.flush_seconds
        spilled = self.pipe.flush(seconds)
        if spilled and self._connected:
            why = f"{spilled} records were not acknowledged by the broker ({self.pipe.reason})"
            self._streams.write_stderr(f"epm_task: {why}; they stand above\n".encode())
        if spilled and self._declaration.strict_logs and outcome.exit_code == ExitCode.OK:
            return Outcome.of_error(RecordsUndelivered(spilled, self.pipe.reason))
        return outcome

    def close_by_force(self, outcome: Outcome) -> None:
        """Flush what can be flushed quickly, then write the outcome."""
        self.close(outcome, forced=True).write(self._streams)
