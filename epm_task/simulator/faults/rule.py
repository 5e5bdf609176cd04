"""A fault rule is one thing that goes wrong on purpose, how often, and for which requests."""

from __future__ import annotations

import difflib
import fnmatch
import tomllib
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

from epm_task.contract.names import PLUGIN_SETTINGS_PATH

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


#: The words of each kind of fault with the type of their value; the same in TOML, Python and on
#: the command line. Exactly one word of a rule says what goes wrong.
WORDS: Final[Mapping[str, Mapping[str, tuple[type, ...]]]] = {
    "api": {
        "status": (int,),
        "delay": (int, float),
        "drip": (int, float),
        "redirect": (str,),
        "oversize": (int,),
        "reset": (bool,),
        "garbage": (bool,),
    },
    "registration": {"never": (bool,), "late": (int, float), "lost": (int, float)},
    "broker": {
        "refuse": (bool, int),
        "silence": (bool,),
        "no_ack": (bool,),
        "drop_after": (int,),
        "packet_limit": (int,),
        "restart": (int, float),
    },
    "run": {"kill_after": (int, float), "term_after": (int, float), "disk_full": (bool,)},
}

#: Words that say when a rule holds.
_LIMITS: Final[Mapping[str, Mapping[str, tuple[type, ...]]]] = {
    "api": {"times": (int,), "path": (str,), "method": (str,)},
    "registration": {"times": (int,)},
    "broker": {"times": (int,), "after": (int,)},
    "run": {"times": (int,)},
}

#: Tasks call nothing else; the live view of a user must not use a fault up.
_TASK_PATHS: Final = f"{PLUGIN_SETTINGS_PATH}/*"


class FaultError(ValueError):
    """The description of a fault cannot be understood."""


@dataclass(slots=True)
class FaultRule:
    """One fault.

    Attributes:
        kind: `api`, `registration`, `broker` or `run`.
        word: What goes wrong.
        value: How: a status, seconds, bytes, …
        times: How often it still happens; None is for ever.
        limits: The other words.
    """

    kind: str
    word: str
    value: Any
    times: int | None = None
    limits: dict[str, Any] = field(default_factory=dict)

    def matches(self, method: str, path: str) -> bool:
        """Return whether a request is one of those that go wrong; `*` stands for anything."""
        wanted = str(self.limits.get("method", "*")).upper()
        pattern = str(self.limits.get("path", _TASK_PATHS)).casefold()
        return fnmatch.fnmatchcase(method.upper(), wanted) and fnmatch.fnmatchcase(
            path.casefold(), pattern
        )

    def __str__(self) -> str:
        """Return the rule in the words of the command line."""
        words = {self.word: self.value, "times": self.times} | self.limits
        listed = (f"{word}={_shown(value)}" for word, value in words.items() if value is not None)
        return f"{self.kind} {' '.join(listed)}"


def make_rule(kind: str, words: Mapping[str, Any]) -> FaultRule:
    """Return the rule that *words* describe; a word that is None or False is not there.

    Raises:
        FaultError: A word is unknown, a value is of the wrong type, or not exactly one word says
            what goes wrong.
    """
    if kind not in WORDS:
        raise FaultError(f"there are no faults of kind {kind!r}{_near(kind, WORDS)}")
    given = {
        word: value for word, value in words.items() if value is not None and value is not False
    }
    types = {**WORDS[kind], **_LIMITS[kind]}
    for word, value in given.items():
        if word not in types:
            raise FaultError(f"{kind} has no fault {word!r}{_near(word, types)}")
        if not _fits(value, types[word]):
            names = " or ".join(kind_of.__name__ for kind_of in types[word])
            raise FaultError(
                f"{kind} {word}={value!r}: the value must be {names}, and not negative"
            )
    what = [word for word in given if word in WORDS[kind]]
    if len(what) != 1:
        raise FaultError(f"{kind}: name exactly one of {', '.join(WORDS[kind])}")
    limits = {word: value for word, value in given.items() if word not in {what[0], "times"}}
    return FaultRule(kind, what[0], given[what[0]], given.get("times"), limits)


def parse_rule(text: str) -> FaultRule:
    """Return the rule of a command line such as `api status=403 times=3`.

    Raises:
        FaultError: As `make_rule`.
    """
    kind, *parts = text.split() or [""]
    words = {}
    for part in parts:
        word, equals, value = part.partition("=")
        words[word] = _value(value) if equals else True
    return make_rule(kind, words)


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _fits(value: Any, types: tuple[type, ...]) -> bool:
    if isinstance(value, bool):
        return bool in types
    if isinstance(value, int | float) and value < 0:
        return False
    return isinstance(value, types)


def _near(word: str, known: Mapping[str, Any]) -> str:
    near = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean {near[0]}?" if near else f"; there are {', '.join(known)}"


def _shown(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


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
