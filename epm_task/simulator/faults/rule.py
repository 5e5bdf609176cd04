"""One fault: what goes wrong, how often, and for which requests; read from text or from options."""

from __future__ import annotations

import difflib
import fnmatch
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from epm_task.contract.fields import Field, either, flag, number, text, whole
from epm_task.contract.names import PLUGIN_SETTINGS_PATH
from epm_task.errors import EpmTaskError

if TYPE_CHECKING:
    from collections.abc import Mapping


_FLAG: Final = flag()
_WHOLE: Final = whole()
#: A day is longer than any run.
_SECONDS: Final = number(0, 86_400)
_TIMES: Final = whole(1)

#: What can go wrong in each kind of fault, with its value; the names are the same in
#: TOML, in Python and on the command line. A rule has exactly one of them.
EFFECTS: Final[Mapping[str, Mapping[str, Field]]] = {
    "api": {
        "status": whole(200, 599),
        "delay": _SECONDS,
        "drip": _SECONDS,
        "redirect": text(r"[^\x00-\x1f\x7f]+", "a URL"),
        "oversize": _WHOLE,
        "reset": _FLAG,
        "garbage": _FLAG,
    },
    "registration": {"never": _FLAG, "late": _SECONDS, "lost": _SECONDS},
    "broker": {
        "refuse": either(_FLAG, whole(0, 255)),
        "silence": _FLAG,
        "no_ack": _FLAG,
        "drop_after": _WHOLE,
        "packet_limit": _WHOLE,
        "restart": _SECONDS,
    },
    "run": {"kill_after": _SECONDS, "term_after": _SECONDS, "disk_full": _FLAG},
}

#: The options that say when a rule holds.
_LIMITS: Final[Mapping[str, Mapping[str, Field]]] = {
    "api": {"times": _TIMES, "path": text(), "method": text()},
    "registration": {"times": _TIMES},
    "broker": {"times": _TIMES, "after": _WHOLE},
    "run": {"times": _TIMES},
}

#: Tasks call nothing else; the live view of a user must not use a fault up.
_TASK_PATHS: Final = f"{PLUGIN_SETTINGS_PATH}/*"


class FaultError(EpmTaskError, ValueError):
    """The description of a fault cannot be understood, or no agent runs that could meet it."""


@dataclass(slots=True)
class FaultRule:
    """One fault."""

    kind: str  #: `api`, `registration`, `broker` or `run`.
    what: str  #: What goes wrong, one of the names in `EFFECTS`.
    value: Any  #: How: a status, seconds, bytes, …
    times: int | None = None  #: How often it still happens; None is for ever.
    limits: dict[str, Any] = field(default_factory=dict)  #: The other options.
    #: How often it has happened, and whether it goes on; `Faults` counts.
    fired: int = field(default=0, compare=False)
    on: bool = field(default=True, compare=False)
    typed: str = field(default="", compare=False)  #: Its text when it was made.
    _given: tuple[int | None, dict[str, Any]] = field(default=(None, {}), compare=False)

    def __post_init__(self) -> None:
        """Keep what changes while it happens."""
        self.typed = str(self)
        self._given = self.times, dict(self.limits)

    def renew(self) -> None:
        """Be as when it was made."""
        self.times, self.limits = self._given[0], dict(self._given[1])

    @property
    def effect(self) -> str:
        """What goes wrong and how, as one types it: `status=403`."""
        return f"{self.what}={_shown(self.value)}"

    def matches(self, method: str, path: str) -> bool:
        """Return whether a request is one of those that go wrong; `*` matches anything."""
        wanted = str(self.limits.get("method", "*")).upper()
        pattern = str(self.limits.get("path", _TASK_PATHS)).casefold()
        return fnmatch.fnmatchcase(method.upper(), wanted) and fnmatch.fnmatchcase(
            path.casefold(), pattern
        )

    def __str__(self) -> str:
        """Return the rule as one types it on the command line."""
        times = {} if self.times is None else {"times": self.times}
        rest = (f" {name}={_shown(value)}" for name, value in (times | self.limits).items())
        return f"{self.kind} {self.effect}{''.join(rest)}"


def make_rule(kind: str, options: Mapping[str, Any]) -> FaultRule:
    """Return the rule that *options* describe; one that is None or False is not there.

    Raises:
        FaultError: An option is unknown, a value is of the wrong type, or not exactly one option
            says what goes wrong.
    """
    if kind not in EFFECTS:
        raise FaultError(f"{kind!r} is not a kind of fault", fix=_near(kind, EFFECTS))
    given = {
        name: value for name, value in options.items() if value is not None and value is not False
    }
    types = {**EFFECTS[kind], **_LIMITS[kind]}
    for name, value in given.items():
        if name not in types:
            raise FaultError(f"{kind} has no fault {name!r}", fix=_near(name, types))
        if not types[name].fits(value):
            what = f"{kind} {name}={value!r} cannot be understood"
            raise FaultError(what, fix=f"the value must be {types[name].wanted}")
    effects = [name for name in given if name in EFFECTS[kind]]
    if len(effects) != 1:
        choice = ", ".join(EFFECTS[kind])
        raise FaultError(f"{kind}: {len(effects)} faults in one", fix=f"name one of {choice}")
    limits = {name: value for name, value in given.items() if name not in {effects[0], "times"}}
    return FaultRule(kind, effects[0], given[effects[0]], given.get("times"), limits)


def parse_rule(typed: str) -> FaultRule:
    """Return the rule of a line such as `api status=403 times=3`; raises what `make_rule` does."""
    kind, *arguments = typed.split() or [""]
    options = {}
    for argument in arguments:
        name, equals, value = argument.partition("=")
        options[name] = _value(value) if equals else True
    return make_rule(kind, options)


def _value(typed: str) -> Any:
    import tomllib  # noqa: PLC0415  # few commands read any

    try:
        return tomllib.loads(f"value = {typed}")["value"]
    except (tomllib.TOMLDecodeError, RecursionError):
        return typed


def _near(name: str, known: Mapping[str, Any]) -> str:
    near = difflib.get_close_matches(name, list(known), n=1)
    return f"did you mean {near[0]}?" if near else f"choose one of {', '.join(known)}"


def _shown(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
