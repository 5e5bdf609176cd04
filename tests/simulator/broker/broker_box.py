"""Run a real broker in a thread of the test, with rules and a trace of its own."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from concurrent.futures import Future
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from peers.patience import PATIENCE

from epm_task.simulator.broker import Broker, Message
from epm_task.simulator.processes.registry import Access, Launch, MqttAdmission, ProcessRegistry
from epm_task.simulator.trace import Trace

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator, Mapping

    from epm_task.simulator.trace import TraceEvent


class Events(Trace):
    """A trace that can be searched."""

    def having(self, text: str) -> list[TraceEvent]:
        """Return the events with *text* in their sentence or reason."""
        return [event for event in self if text in str(event)]

    def __getitem__(self, place: int) -> TraceEvent:
        return list(self)[place]


class _Everything(frozenset[str]):
    """A set that holds every topic."""

    def __contains__(self, _: object) -> bool:
        return True


def rule(  # noqa: PLR0913 - the fields of an admission
    *,
    allowed: bool = True,
    reason: str = "a rule of the test",
    job_id: str | None = "job",
    run_id: str | None = "run",
    publications: set[str] | None = None,
    subscriptions: set[str] | None = None,
) -> MqttAdmission:
    """Return what one client may do; None is everything, and no run the admin certificate."""
    launch = run_id and Launch(
        pid=os.getpid(),
        birth=None,
        run_id=run_id,
        job_id=job_id or "",
        publications=_Everything() if publications is None else frozenset(publications),
        subscriptions=_Everything() if subscriptions is None else frozenset(subscriptions),
    )
    return MqttAdmission(allowed, reason, job_id, launch or None)


class Rules(Access):
    """Access rules by client id; all others may do everything."""

    def __init__(self) -> None:
        super().__init__(ProcessRegistry())
        self.by_client_id: dict[str, MqttAdmission] = {}
        self.asked: list[tuple[Any, ...]] = []

    def admit(
        self,
        client_id: str,
        local: tuple[str, int],
        peer: tuple[str, int],
        peer_certificate: Mapping[str, Any] | None,
    ) -> MqttAdmission:
        """Return the rule of the client."""
        self.asked.append((client_id, local, peer, peer_certificate))
        return self.by_client_id.get(client_id, rule())


class BrokerBox:
    """A running broker."""

    def __init__(self, **options: Any) -> None:
        self.rules = Rules()
        self.events = Events()
        self.messages: list[Message] = []
        self.broker = Broker(
            self.rules,
            self.events,
            **{"ssl_context": None, "on_message": self.messages.append, **options},
        )
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)

    @property
    def port(self) -> int:
        """The broker's port."""
        return self.broker.port

    def start(self) -> None:
        """Start the broker."""
        self._thread.start()
        self.run(self.broker.start())

    def stop(self) -> None:
        """Stop the broker and its loop."""
        self.run(self.broker.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Await *coroutine* in the broker's loop."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(PATIENCE)

    def call(self, function: Callable[[], Any]) -> Any:
        """Call *function* in the broker's loop."""
        future: Future[Any] = Future()
        self._loop.call_soon_threadsafe(lambda: future.set_result(function()))
        return future.result(PATIENCE)

    def until(self, condition: Callable[[], Any]) -> Any:
        """Wait for *condition*."""
        deadline = time.monotonic() + PATIENCE
        while not (value := condition()):
            assert time.monotonic() < deadline, [event.what for event in self.events][-20:]
            time.sleep(0.005)
        return value


@contextmanager
def running_broker(**options: Any) -> Iterator[BrokerBox]:
    """Run a broker, by default without TLS; *options* go to `Broker`."""
    box = BrokerBox(**options)
    box.start()
    try:
        yield box
    finally:
        box.stop()
