"""The faults of one agent: added by tests or the command line, asked by API, broker and runner."""

from __future__ import annotations

import asyncio
import math
from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING, Any, Final, cast

from epm_task.simulator.faults.rule import FaultError, FaultRule, make_rule, parse_rule

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator, Sequence
    from pathlib import Path

    _Switch = Callable[[], Coroutine[Any, Any, None]]


#: CONNACK reason code "Not authorized": what a broker tells a client that it does not trust.
_NOT_AUTHORIZED: Final = 0x87

#: Longer than the broker waits for its clients when it is taken down.
_SWITCH_SECONDS: Final = 10.0


class Faults:
    """What goes wrong, and how often; may be changed from any thread while the agent runs.

    `api`, `registration`, `broker`, `run` and `add` raise FaultError when what they get cannot be
    understood.
    """

    def __init__(self) -> None:
        self._rules: list[FaultRule] = []
        self._all: list[FaultRule] = []
        self._lock = Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._bounces: set[asyncio.Task[None]] = set()

    @classmethod
    def from_toml(cls, path: Path) -> Faults:
        """Return the faults of a TOML file, for example `[[api]]` with `status = 403`, `times = 3`.

        Raises:
            FaultError: The file cannot be read, or a fault in it cannot be understood.
        """
        import tomllib  # noqa: PLC0415  # few commands read any

        faults = cls()
        try:
            document = tomllib.loads(path.read_text("utf-8-sig"))
        except (OSError, ValueError, RecursionError) as error:
            fix = "correct the file, or give the path of another one"
            raise FaultError(f"the faults of {path} cannot be read", str(error), fix) from error
        for kind, tables in document.items():
            for table in tables if isinstance(tables, list) else [tables]:
                if not isinstance(table, dict):
                    raise FaultError(f"{path}: {kind} must be a table", fix=f"write [[{kind}]]")
                try:
                    faults.add(make_rule(kind, table))
                except FaultError as error:
                    raise FaultError(f"{path}: {error.what}", error.why, error.fix) from error
        return faults

    def attach(
        self, stop_broker: _Switch, start_broker: _Switch, on_add: Callable[[FaultRule], object]
    ) -> None:
        """Bind the faults to a running agent, in the thread of its event loop.

        *start_broker* listens on the same port again; *on_add* is told of each rule, also of those
        that are already there.
        """
        self._stop_broker, self._start_broker, self._on_add = stop_broker, start_broker, on_add
        self._loop = asyncio.get_running_loop()
        for rule in self._of():
            on_add(rule)
        self.message_seen(counts=False)

    async def detach(self) -> None:
        """Let go of the agent, which stops; a broker that is down stays down."""
        self._loop = None
        for task in self._bounces:
            task.cancel()
        await asyncio.gather(*self._bounces, return_exceptions=True)

    def add(self, rule: FaultRule | str) -> None:
        """Let something go wrong; text is read as on the command line: `api status=403 times=3`."""
        rule = parse_rule(rule) if isinstance(rule, str) else rule
        with self._lock:
            self._rules.append(rule)
            self._all.append(rule)
        self._announce(rule)

    def rules(self) -> list[FaultRule]:
        """Return every rule in the order in which they were added, those that are over too."""
        with self._lock:
            return list(self._all)

    def switch(self, rule: FaultRule, *, on: bool) -> None:
        """Let one of `rules` happen no longer, or again, as often as at first."""
        with self._lock:
            if rule.on == on or not any(rule is each for each in self._all):
                return
            rule.on = on
            if not on:
                self._drop(rule)
                return
            rule.renew()
            self._rules.append(rule)
        self._announce(rule)

    def renew(self) -> None:
        """Let everything happen as often as at first, but for what was switched off."""
        for rule in self.rules():
            if rule.on or rule.times == 0:
                self.switch(rule, on=False)
                self.switch(rule, on=True)

    def _announce(self, rule: FaultRule) -> None:
        if self._loop is not None:
            self._on_add(rule)
            self.message_seen(counts=False)

    def api(self, **options: Any) -> None:
        """Let requests go wrong.

        One of `status=403`, `delay=2.0` (seconds), `drip=0.1` (seconds per byte),
        `redirect="https://…"`, `oversize=50_000_000` (bytes), `reset=True`, `garbage=True`; and
        `times`, `path="/api/PluginSettings/*"`, `method="*"`.
        """
        self.add(make_rule("api", options))

    def registration(self, **options: Any) -> None:
        """Let the registration of processes go wrong.

        One of `never=True`, `late=2.0`, `lost=2.0` (seconds after the start of the process); and
        `times`.
        """
        self.add(make_rule("registration", options))

    def broker(self, **options: Any) -> None:
        """Let the broker go wrong.

        One of `refuse=True` (or a CONNACK reason code), `silence=True`, `no_ack=True`,
        `drop_after=10` (publications of one connection), `packet_limit=1000` (bytes), `restart=0.5`
        (seconds until it is up again; `after=10` messages have passed); and `times`, for `refuse`.
        """
        self.add(make_rule("broker", options))

    def run(self, **options: Any) -> None:
        """Let the process of a task meet something.

        One of `kill_after=1.0`, `term_after=1.0` (seconds), `disk_full=True`; and `times`.
        """
        self.add(make_rule("run", options))

    def clear(self) -> None:
        """Let everything go right again."""
        with self._lock:
            self._rules.clear()
            self._all.clear()

    @contextmanager
    def broker_down(self) -> Iterator[None]:
        """Take the broker down for the duration of a `with` block; it comes back on the same port.

        Raises:
            FaultError: No agent runs.
        """
        if self._loop is None:
            raise FaultError("no agent runs whose broker could be taken down", fix="start one")
        self._wait_for(self._stop_broker)
        try:
            yield
        finally:
            self._wait_for(self._start_broker)

    def message_seen(self, *, counts: bool = True) -> None:
        """Count one message of the broker, and restart it when a rule says so."""
        if self._loop is None:
            return
        for rule in self._of("broker", "restart"):
            left = int(rule.limits.get("after", 0))
            if counts and left:
                rule.limits["after"] = left = left - 1
            if not left and self._use(rule, once=True):
                self._loop.call_soon_threadsafe(self._begin_bounce, float(rule.value))

    def next_api_fault(self, method: str, path: str) -> FaultRule | None:
        """Return what goes wrong with this request, and count it."""
        for rule in self._of("api"):
            if rule.matches(method, path) and self._use(rule):
                return rule
        return None

    def registration_delay(self, seconds: float) -> float:
        """Return the delay of a registration in place of *seconds*; infinite is never."""
        if self.take("registration", "never"):
            return math.inf
        late = self.take("registration", "late")
        return seconds if late is None else float(late)

    def refuse(self) -> int | None:
        """Return the CONNACK reason code of a refusal; 0 hangs up without one, None accepts."""
        value = self.take("broker", "refuse")
        return _NOT_AUTHORIZED if value is True else cast("int | None", value)

    def take(self, kind: str, what: str) -> Any:
        """Use the oldest rule of an effect and return its value, or None when there is none."""
        return next((rule.value for rule in self._of(kind, what) if self._use(rule)), None)

    def value(self, kind: str, what: str) -> Any:
        """Return the value of the oldest rule of an effect, or None when there is none."""
        if not self._rules:  # asked for every message of the broker
            return None
        return next((rule.value for rule in self._of(kind, what)), None)

    def _of(self, kind: str | None = None, what: str | None = None) -> Sequence[FaultRule]:
        """Return the rules of a kind, or of one effect of it, the oldest first."""
        with self._lock:
            return [r for r in self._rules if kind in {None, r.kind} and what in {None, r.what}]

    def _use(self, rule: FaultRule, *, once: bool = False) -> bool:
        """Count one use of *rule*; return False when another thread used it up."""
        with self._lock:
            if not any(rule is each for each in self._rules):
                return False
            rule.fired += 1
            if rule.times is not None:
                rule.times -= 1
            if once or rule.times == 0:
                rule.on = False
                self._drop(rule)
        return True

    def _drop(self, rule: FaultRule) -> None:
        self._rules = [each for each in self._rules if each is not rule]

    def _wait_for(self, switch: _Switch) -> None:
        if self._loop is not None:
            asyncio.run_coroutine_threadsafe(switch(), self._loop).result(_SWITCH_SECONDS)

    def _begin_bounce(self, seconds: float) -> None:
        task = asyncio.create_task(self._bounce(seconds))
        self._bounces.add(task)
        task.add_done_callback(self._bounces.discard)

    async def _bounce(self, seconds: float) -> None:
        await self._stop_broker()
        await asyncio.sleep(seconds)
        await self._start_broker()
