"""Take every record of a run: to the broker, or in full to stderr.

An accepted record is acknowledged by the broker, or written to stderr as a JSON line, before the
process ends by itself; if stderr is not read in time, the exit code says so. A call never blocks
for longer than a second and never raises.
"""

from __future__ import annotations

import json
import threading
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final

from epm_task.contract import levels as level
from epm_task.contract.client_id import make_client_id
from epm_task.contract.topic import KEEPER_LOGGER
from epm_task.errors import HandlerCrashed, TaskError
from epm_task.exit_code import ExitCode, describe
from epm_task.runtime.agent.address import broker_address
from epm_task.runtime.broker.packet import NOT_AUTHORIZED
from epm_task.runtime.log.encoder import RecordEncoder, Secrets, exception_properties, secret_texts
from epm_task.runtime.log.log import Sink, joined, make_log
from epm_task.runtime.log.outbox import Message, Outbox
from epm_task.runtime.outcome import Outcome, RecordsUndelivered, author_failure
from epm_task.runtime.stop import SHIELD, in_forked_children
from epm_task.runtime.streams import GRACE_SECONDS

if TYPE_CHECKING:
    from ssl import SSLContext

    from epm_task.runtime.agent.client import Registration
    from epm_task.runtime.broker.delivery import Delivery
    from epm_task.runtime.broker.inbox import Inbox
    from epm_task.runtime.declaration import Declaration
    from epm_task.runtime.invocation import Invocation
    from epm_task.runtime.settings import TaskSettings
    from epm_task.runtime.streams import StandardStreams


#: A log call never blocks for longer: records must not hold up the work.
_PATIENCE_SECONDS: Final = 1.0
#: Time for a DISCONNECT after everything was acknowledged.
_GOODBYE_SECONDS: Final = 0.2
#: The rest of the flush time-out is for the reader of stderr, who may pause.
_BROKER_SHARE: Final = 0.9


class LogPipe:
    """Takes records and publications, and accounts for each.

    Records of the level *mirror* or above are on stderr before the call returns.
    """

    def __init__(
        self, streams: StandardStreams, *, mirror: int, secrets: Secrets | None = None
    ) -> None:
        self.outbox: Outbox = Outbox()
        #: Empties the outbox from the moment that it is set.
        self.delivery: Delivery | None = None
        self.spilled: int = 0
        self.reason: str = "no broker is used"
        self._streams = streams
        self._secrets = secrets or Secrets()
        self._mirror = mirror
        self._closed = False
        self._longest_patience = self._patience = _PATIENCE_SECONDS
        self._refused_topics: set[str] = set()
        self._refusals = threading.Lock()

    def without_broker(self, reason: str) -> None:
        """Send everything to stderr at once, from now on."""
        self.reason = reason
        self._closed = True
        for message in self.outbox.take_all():
            self._spill(message)

    def record(self, level: int, line: bytes) -> None:
        """Accept one record; the caller shields it from a stop."""
        kept = level >= self._mirror and self._show(line, keep=False)
        self._accept(Message(KEEPER_LOGGER, line, kept))

    def publish(self, topic: str, payload: bytes) -> None:
        """Accept one message of the author's own topics, an object of ASCII JSON."""
        payload = self._secrets.hide_json(payload.decode("ascii")).encode("ascii")
        with SHIELD:
            self._accept(Message(topic, payload))
        SHIELD.let_through()

    def refuse(self, message: Message, code: int, why: str) -> None:
        """Keep a message that the broker will not take; say once for each topic what to do."""
        with self._refusals:
            first = message.topic not in self._refused_topics
            if code == NOT_AUTHORIZED:
                self._refused_topics.add(message.topic)
        self.reason = why
        self._spill(message)
        if code == NOT_AUTHORIZED and first:
            self.say(
                f"the broker refused the topic {message.topic!r} ({why}); add "
                f'"{message.topic}" to mqttTopics.allowedPublications of the job; '
                "what was sent to it is on stderr"
            )
        elif code != NOT_AUTHORIZED:
            self.say(f"a message on {message.topic!r} was not taken: {why}; it is on stderr")

    def hurry(self) -> None:
        """Let no record wait for its reader, or for room, by itself; `flush` waits for them all."""
        self._longest_patience = self._patience = 0.0
        self._streams.end_by(time.monotonic())

    def flush(self, seconds: float) -> int:
        """Wait until all is acknowledged, spill the rest; return how many records were spilled.

        Later records go to stderr at once. All that is written from now on may wait for its reader
        until *seconds* and a moment have passed.
        """
        ends = time.monotonic() + seconds + GRACE_SECONDS
        self._streams.end_by(ends)
        delivery = self.delivery
        if delivery is not None:
            with self.outbox.changed:
                self.outbox.changed.wait_for(
                    lambda: self.outbox.empty or delivery.fatal is not None,
                    seconds * _BROKER_SHARE,
                )
                if not self.outbox.empty or delivery.fatal is not None:
                    self.reason = delivery.problem or "no acknowledgement in time"
            delivery.leave()
        self._closed = True
        for message in self.outbox.take_all():
            self._spill(message)
        if delivery is not None:
            delivery.close(max(min(_GOODBYE_SECONDS, ends - time.monotonic()), 0.0))
        return self.spilled

    def become_child(self) -> None:
        """Send everything to stderr: a forked child has no delivery thread."""
        self._closed = True
        self.delivery = None
        self.outbox = Outbox()  # a thread of the parent may have held the lock of the other one
        self._refusals = threading.Lock()
        self.spilled = 0

    def _accept(self, message: Message) -> None:
        delivery = self.delivery
        down = delivery is not None and delivery.fatal is not None
        if self._closed or down or message.topic in self._refused_topics:
            self._spill(message)
            return
        # Waiting helps only while somebody empties the outbox.
        patience = self._patience if delivery is not None and delivery.connected else 0.0
        if self.outbox.offer(message, patience):
            self._patience = self._longest_patience
            if delivery is not None and delivery.asleep:
                delivery.notify()
        else:
            if not self._closed:  # else another thread has flushed in the meantime
                self._patience = 0.0  # a second was lost once; not again until there is room
                self.reason = "the broker takes them too slowly"
            self._spill(message)

    def _spill(self, message: Message) -> None:
        self.spilled += 1
        if message.kept:
            return
        if message.topic == KEEPER_LOGGER:
            self._show(message.payload)
        else:
            head = b'{"topic":' + json.dumps(message.topic).encode("ascii") + b',"payload":'
            self._streams.write_stderr(head + message.payload + b"}\n", record=True)

    def _show(self, line: bytes, *, keep: bool = True) -> bool:
        if self._streams.interactive:
            from epm_task.contract.record import show_line  # noqa: PLC0415  # people only

            line = show_line(line)
        return self._streams.write_stderr(line + b"\n", record=True, keep=keep)

    def say(self, sentence: str) -> None:
        """Write a line for people."""
        text = f"epm_task: {self._secrets.hide(sentence)}\n"
        self._streams.write_stderr(text.encode("utf-8", "backslashreplace"))


#: A handler that was ended by force gets less time, so that the agent's kill finds nobody.
_FORCED_FLUSH_SECONDS: Final = 1.0


class RunLog:
    """Everything that is written during one run."""

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
            trace=invocation.trace,
        )
        #: What nothing of the run shows.
        self.secrets: Final = self._encoder.secrets
        streams.hide = self.secrets.hide
        mirror = level.NUMBERS[declaration.mirror]
        self.pipe: Final = LogPipe(streams, mirror=mirror, secrets=self.secrets)
        self.sink: Final = Sink(self._encoder, self.pipe.record)
        minimum = level.NUMBERS[invocation.log_level]
        self.log: Final = make_log(self.sink, minimum)
        self._connected = False
        #: What the handler may read; None without a broker, or when it subscribes to nothing.
        self.inbox: Inbox | None = None
        #: What the record of the run's failure shows beside its reason.
        self._failure: dict[str, str] = {}
        self.secrets.add(secret_texts(invocation.arguments))
        in_forked_children(self._become_child)
        self._joined = ExitStack()
        self._joined.enter_context(joined(self.log, self.sink, minimum))
        if invocation.trace.ignored:
            self.log.debug("trace_context_ignored", TRACEPARENT=invocation.trace.ignored)

    def connect(
        self, registration: Registration, settings: TaskSettings | None, tls: SSLContext
    ) -> None:
        """Send the records to the agent's broker from now on.

        Raises:
            BrokerError: The broker is required, and did not accept the connection in time.
            SettingsError: The agent's settings do not say where the broker is.
        """
        self.secrets.add(secret_texts(settings))
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
        # paho-mqtt costs 30 ms, and only here is it certain that it is needed.
        from epm_task.runtime.broker.connection import BrokerAddress  # noqa: PLC0415
        from epm_task.runtime.broker.delivery import Delivery  # noqa: PLC0415

        receives = 0
        if self._declaration.subscribes:
            from epm_task.runtime.broker.inbox import MOST_WAITING, Inbox  # noqa: PLC0415  # as above

            self.inbox, receives = Inbox(self.log), MOST_WAITING
        address = BrokerAddress(host, port, client_id, tls, receives)
        delivery = Delivery(self.pipe.outbox, address, self.pipe.refuse, self.inbox)
        self.pipe.delivery = delivery
        if self._declaration.broker == "required":
            delivery.wait_until_connected(invocation.registration_timeout)
        self._connected = True

    def _do_without_broker(self) -> None:
        self.pipe.without_broker("KEEPER_JOB_ID is not set")
        self.log.warning(
            "no_job_id",
            why="the agent sets KEEPER_JOB_ID only when the job has mqttTopics with an entry",
            fix='add "mqttTopics": {"allowedPublications": ["KeeperLogger"]} to the job\'s root',
            effect="the records of this run are on stderr",
        )

    def returned(self) -> None:
        """Let the broker know that the handler has dealt with the messages that it has seen."""
        if self.inbox is not None:
            self.inbox.acknowledge()

    def crashed(self, crash: BaseException) -> None:
        """Write the record of an exception that the handler let escape."""
        self.pipe.hurry()
        self.sink.write(level.CRITICAL, "task_crashed", exception_properties(crash))

    def failed(self, failure: BaseException) -> None:
        """Let the record of the failure show what the author saw: causes, notes, a group."""
        told_all = failure.__suppress_context__ or failure.__context__ is None
        told_all &= failure.__cause__ is None and not hasattr(failure, "__notes__")
        if not told_all or isinstance(failure, BaseExceptionGroup):
            self._failure = exception_properties(failure)

    def deadline_reached(self, stacks: str) -> None:
        """Write the record that says where the task was when its time was over."""
        self.sink.write(level.WARNING, "deadline_reached", {"stacks": stacks})

    def close(self, outcome: Outcome, *, forced: bool = False) -> Outcome:
        """Flush everything; return the outcome, worse if a thread crashed or records failed."""
        self.pipe.hurry()
        if outcome.exit_code == ExitCode.OK and self.sink.thread_errors:
            outcome = self._thread_outcome(*self.sink.thread_errors[0])
        if outcome.exit_code and (self._connected or self._failure):
            facts = {"exitCode": int(outcome.exit_code), "exitName": describe(outcome.exit_code)}
            facts |= {"reason": outcome.error, **self._failure}
            self.sink.write(level.ERROR, "task_failed", facts)
        self._joined.close()
        seconds = min(self.flush_seconds, _FORCED_FLUSH_SECONDS) if forced else self.flush_seconds
        spilled = self.pipe.flush(seconds)
        if spilled and self._connected:
            why = f"{spilled} records were not acknowledged by the broker ({self.pipe.reason})"
            self.pipe.say(f"{why}; they are written above")
        if spilled and self._declaration.strict_logs and outcome.exit_code == ExitCode.OK:
            outcome = Outcome.of_error(RecordsUndelivered(spilled, self.pipe.reason))
        return outcome.without(self.secrets)

    @staticmethod
    def _thread_outcome(name: str, error: BaseException) -> Outcome:
        if isinstance(failure := author_failure(error), TaskError | SystemExit):
            return Outcome.of_exception(failure)
        what = f"the handler's thread {name!r} let an exception escape"
        return Outcome.of_error(HandlerCrashed(what))

    def close_by_force(self, outcome: Outcome) -> int:
        """Flush what can be flushed quickly, then write the outcome; return the exit code."""
        return self.close(outcome, forced=True).write(self._streams)

    def _become_child(self) -> None:
        self.pipe.become_child()
        self._encoder.become_child()
        self._connected = False
