"""The fault rules are those that hold at the moment; a rule that is used up is gone."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from epm_task.simulator.fault_rule import FaultRule


class FaultRules:
    """A list of rules that any thread may change and ask."""

    def __init__(self) -> None:
        """Hold no rule."""
        self._rules: list[FaultRule] = []
        self._lock = Lock()

    def add(self, rule: FaultRule) -> None:
        """Let *rule* hold."""
        with self._lock:
            self._rules.append(rule)

    def clear(self) -> None:
        """Let no rule hold."""
        with self._lock:
            self._rules.clear()

    def of(self, kind: str | None = None, word: str | None = None) -> Sequence[FaultRule]:
        """Return the rules of a kind, or of one word of it, the oldest first."""
        if not self._rules:  # asked for every message of the broker
            return ()
        with self._lock:
            return [r for r in self._rules if kind in {None, r.kind} and word in {None, r.word}]

    def use(self, rule: FaultRule, *, once: bool = False) -> bool:
        """Count one use of *rule*; return False when another thread used it up."""
        with self._lock:
            if rule not in self._rules:
                return False
            if rule.times is not None:
                rule.times -= 1
            if once or rule.times == 0:
                self._rules.remove(rule)
        return True

    def take(self, kind: str, word: str) -> Any:
        """Use the oldest rule of a word and return its value, or None when there is none."""
        return next((rule.value for rule in self.of(kind, word) if self.use(rule)), None)
