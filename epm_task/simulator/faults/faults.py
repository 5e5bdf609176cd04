"""The faults of an agent are what goes wrong on purpose, so that authors can test their tasks."""

from __future__ import annotations

import asyncio
import math
import tomllib
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, cast

from epm_task.simulator.faults.answers import ApiFault
from epm_task.simulator.faults.rule import FaultError, FaultRule, FaultRules, make_rule, parse_rule

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator
    from pathlib import Path

    from epm_task.simulator.broker import Broker


#: CONNACK reason code "Not authorized": what a broker tells a client that it does not trust.
_NOT_AUTHORIZED: Final = 0x87

#: Which field of `ApiFault` takes the value of a word; the words are its kinds.
_API_DETAILS: Final = {
    "status": "status",
    "delay": "seconds",
    "drip": "seconds",
    "redirect": "location",
    "oversize": "size",
}


class Faults:
    """What goes wrong, and how often; may be changed from any thread while the agent runs.

    It is also what API, broker and job runner ask: their questions are the methods without words of
    their own in the TOML file.
    """

    def __init__(self) -> None:
        """Nothing goes wrong."""
        self._rules = FaultRules()
        self._switch: BrokerSwitch | None = None
        self._on_add: Callable[[FaultRule], None] = lambda _: None

    @classmethod
    def from_toml(cls, path: Path) -> Faults:
        """Return the faults of a TOML file, for example `[[api]]` with `status = 403`, `times = 3`.

        Raises:
            FaultError: The file cannot be read, or a fault in it cannot be understood.
        """
        faults = cls()
        try:
            document = tomllib.loads(path.read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise FaultError(f"{path}: {error}") from error
        for kind, tables in document.items():
            for table in tables if isinstance(tables, list) else [tables]:
                if not isinstance(table, dict):
                    raise FaultError(f"{path}: {kind} must be a table: write [[{kind}]]")
                try:
                    faults.add(make_rule(kind, table))
                except FaultError as error:
                    raise FaultError(f"{path}: {error}") from error
        return faults

    def attach(self, switch: BrokerSwitch, on_add: Callable[[FaultRule], None]) -> None:
        """Bind the faults to a running agent: its broker, and who is told of each rule."""
        self._switch, self._on_add = switch, on_add
        for rule in self._rules.of():
            on_add(rule)
        self.message_seen(counts=False)

    def add(self, rule: FaultRule | str) -> None:
        """Let something go wrong; text is read as on the command line: `api status=403 times=3`.

        Raises:
            FaultError: The text cannot be understood.
        """
        rule = parse_rule(rule) if isinstance(rule, str) else rule
        self._rules.add(rule)
        self._on_add(rule)
        self.message_seen(counts=False)

    def api(self, **words: Any) -> None:
        """Let requests go wrong.

        Args:
            **words: One of `status=403`, `delay=2.0` (seconds), `drip=0.1` (seconds per byte),
                `redirect="https://…"`, `oversize=50_000_000` (bytes), `reset=True`, `garbage=True`;
                and `times`, `path="/api/PluginSettings/*"`, `method="*"`.

        Raises:
            FaultError: The words cannot be understood.
        """
        self.add(make_rule("api", words))

    def registration(self, **words: Any) -> None:
        """Let the registration of processes go wrong.

        Args:
            **words: One of `never=True`, `late=2.0`, `lost=2.0` (seconds after the start of the
                process); and `times`.

        Raises:
            FaultError: The words cannot be understood.
        """
        self.add(make_rule("registration", words))

    def broker(self, **words: Any) -> None:
        """Let the broker go wrong.

        Args:
            **words: One of `refuse=True` (or a CONNACK reason code), `silence=True`, `no_ack=True`,
                `drop_after=10` (publications of one connection), `packet_limit=1000` (bytes),
                `restart=0.5` (seconds until it is up again; `after=10` messages have passed);
                and `times`, for `refuse`.

        Raises:
            FaultError: The words cannot be understood.
        """
        self.add(make_rule("broker", words))

    def run(self, **words: Any) -> None:
        """Let the process of a task meet something.

        Args:
            **words: One of `kill_after=1.0`, `term_after=1.0` (seconds), `disk_full=True`; and
                `times`.

        Raises:
            FaultError: The words cannot be understood.
        """
        self.add(make_rule("run", words))

    def clear(self) -> None:
        """Let everything go right again."""
        self._rules.clear()

    @contextmanager
    def broker_down(self) -> Iterator[None]:
        """Take the broker down for the duration of a `with` block; it comes back on the same port.

        Raises:
            FaultError: No agent runs.
        """
        if self._switch is None:
            raise FaultError("the broker can be taken down while an agent runs")
        self._switch.down()
        try:
            yield
        finally:
            self._switch.up()

    def message_seen(self, *, counts: bool = True) -> None:
        """Count one message of the broker, and restart it when a rule says so."""
        if self._switch is None:
            return
        for rule in self._rules.of("broker", "restart"):
            left = int(rule.limits.get("after", 0))
            if counts and left:
                rule.limits["after"] = left = left - 1
            if not left and self._rules.use(rule, once=True):
                self._switch.bounce(float(rule.value))

    def next_api_fault(self, method: str, path: str) -> ApiFault | None:
        """Return what goes wrong with this request, and count it."""
        for rule in self._rules.of("api"):
            if rule.matches(method, path) and self._rules.use(rule):
                return _api_fault(rule)
        return None

    def registration_delay(self, seconds: float) -> float:
        """Return the delay of a registration in place of *seconds*; infinite is never."""
        if self._rules.take("registration", "never"):
            return math.inf
        late = self._rules.take("registration", "late")
        return seconds if late is None else float(late)

    def registration_lost_after(self) -> float | None:
        """Return after how many seconds a registration is forgotten."""
        return cast("float | None", self._rules.take("registration", "lost"))

    def terminate_after(self) -> float | None:
        """Return after how many seconds a process gets SIGTERM."""
        return cast("float | None", self._rules.take("run", "term_after"))

    def kill_after(self) -> float | None:
        """Return after how many seconds a process gets SIGKILL."""
        return cast("float | None", self._rules.take("run", "kill_after"))

    def disk_full(self) -> bool:
        """Return whether a process finds no room on any disk."""
        return bool(self._rules.take("run", "disk_full"))

    def refuse(self) -> int | None:
        """Return the CONNACK reason code of a refusal, or None."""
        value = self._rules.take("broker", "refuse")
        return _NOT_AUTHORIZED if value is True else cast("int | None", value)

    def silent(self) -> bool:
        """Return whether the broker says nothing."""
        return bool(self._rules.of("broker", "silence"))

    def acknowledges(self) -> bool:
        """Return whether the broker acknowledges publications."""
        return not self._rules.of("broker", "no_ack")

    def drop_after(self) -> int | None:
        """Return after how many publications a connection is dropped."""
        return next((rule.value for rule in self._rules.of("broker", "drop_after")), None)

    def packet_limit(self) -> int | None:
        """Return the maximum packet size in bytes that stands in for the broker's own."""
        return next((rule.value for rule in self._rules.of("broker", "packet_limit")), None)


def _api_fault(rule: FaultRule) -> ApiFault:
    detail = _API_DETAILS.get(rule.word)
    return ApiFault(cast("Any", rule.word), **({detail: rule.value} if detail else {}))


#: Longer than the broker waits for its clients.
_SWITCH_SECONDS: Final = 10.0


class BrokerSwitch:
    """The switch of one broker; made in the thread of the broker's event loop.

    Args:
        broker: The broker.
    """

    def __init__(self, broker: Broker) -> None:
        """Remember the loop."""
        self._broker = broker
        self._loop = asyncio.get_running_loop()
        self._bounces: set[asyncio.Task[None]] = set()

    def down(self) -> None:
        """Close the port and every connection; return when that is done."""
        self._wait_for(self._broker.go_down())

    def up(self) -> None:
        """Listen on the same port again; return when that is done."""
        self._wait_for(self._broker.start())

    def bounce(self, seconds: float) -> None:
        """Take the broker down, and up again after *seconds*, without waiting for it."""
        self._loop.call_soon_threadsafe(self._begin_bounce, seconds)

    async def stop(self) -> None:
        """Forget the bounces that have not ended."""
        for task in self._bounces:
            task.cancel()
        await asyncio.gather(*self._bounces, return_exceptions=True)

    def _begin_bounce(self, seconds: float) -> None:
        task = self._loop.create_task(self._bounce(seconds))
        self._bounces.add(task)
        task.add_done_callback(self._bounces.discard)

    async def _bounce(self, seconds: float) -> None:
        await self._broker.go_down()
        await asyncio.sleep(seconds)
        await self._broker.start()

    def _wait_for(self, coroutine: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(_SWITCH_SECONDS)
