"""Complete values for the shell: codes of rules, ids of jobs, tasks of a file.

The shell asks at each press of a key, so that no verb is loaded for it, and no file is imported.
"""

from __future__ import annotations

import ast
import re
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from typer.core import TyperCommand

from epm_task.contract.client_id import JOB_ID_PATTERN
from epm_task.contract.layout import PRESETS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

#: Verbs, and verbs of `jobs`, that take what is completed without an option before it.
_WITH_FILE: Final = frozenset({"run", "job", "validate", "freeze", "doctor"})
_WITH_ID: Final = frozenset({"get", "delete", "trigger", "run"})
#: A larger file is not read at the press of a key; as much as 20 000 lines of code.
_LONGEST_FILE: Final = 1 << 20


class Value(NamedTuple):
    """One value, as the shells take it."""

    value: str
    help: str = ""
    type: str = "plain"


_Completer: TypeAlias = "Callable[[Sequence[str], str], Iterator[Value]]"


def completing(verb: str, words: Sequence[str], load: Callable[[str], Any]) -> TyperCommand | None:
    """Return what completes the word after these; None when only the verb knows its options."""
    last = words[-1] if words else ""
    completer: _Completer | None = None
    if last in {"--select", "--ignore"} or (verb == "explain" and not last.startswith("-")):
        completer = _codes
    elif last == "--job" or (verb == "jobs" and last in _WITH_ID):
        completer = _job_ids
    elif verb in _WITH_FILE and not last.startswith("-"):
        completer = _tasks
    return _Completing(verb, words, completer, load) if completer else None


class _Completing(TyperCommand):
    """Stands in for a verb while a value of it is completed."""

    def __init__(
        self, verb: str, words: Sequence[str], completer: _Completer, load: Callable[[str], Any]
    ) -> None:
        any_words = {"ignore_unknown_options": True, "allow_extra_args": True}
        super().__init__(verb, context_settings=any_words)
        self._words = tuple(words)  # the parser empties the list
        self._completer = completer
        self._load = load

    def shell_complete(self, ctx: Any, incomplete: str) -> Any:
        """Return the values; options of the verb, loaded now, when one was begun."""
        if not incomplete.startswith("-"):
            return list(self._completer(self._words, incomplete))
        command, words = self._load(str(self.name)), list(self._words)
        if words and words[0] in getattr(command, "commands", {}):
            command = command.commands[words.pop(0)]
        real = command.make_context(command.name, words, parent=ctx.parent, resilient_parsing=True)
        return command.shell_complete(real, incomplete)


def _codes(_words: Sequence[str], incomplete: str) -> Iterator[Value]:
    from epm_task.job.rules import RULES  # noqa: PLC0415  # for these words only

    before, comma, start = incomplete.rpartition(",")
    for rule in RULES.values():
        if rule.code.startswith(start.upper()):
            yield Value(f"{before}{comma}{rule.code}", rule.title)


def _job_ids(words: Sequence[str], incomplete: str) -> Iterator[Value]:
    """Yield the names of documents in the project and at the agent that a caller may look at."""
    given = [Path(words[at + 1]) for at, word in enumerate(words[:-1]) if word == "--agent-root"]
    roots = given or [Path(root) for root in PRESETS.get(sys.platform, ())]
    names: set[str] = set()
    for folder in (Path(), *roots):
        try:
            names |= {file.stem for file in (folder / "Jobs").iterdir() if file.suffix == ".json"}
        except OSError:
            continue
    for name in sorted(names):
        if name.startswith(incomplete) and re.fullmatch(JOB_ID_PATTERN, name):
            yield Value(name)


def _tasks(words: Sequence[str], incomplete: str) -> Iterator[Value]:
    """Yield `FILE:TASK` when the colon is there; bash takes the colon for a word of its own."""
    file, colon, start = incomplete.rpartition(":")
    if incomplete == ":" and words:
        file, shown = words[-1], ""
    elif words and words[-1] == ":":
        file, shown, start = words[-2] if len(words) > 1 else "", "", incomplete
    else:
        shown = f"{file}{colon}"
    for name in _task_names(Path(file)) if file else ():
        if name.startswith(start.replace("_", "-")):
            yield Value(f"{shown}{name}")


def _task_names(file: Path) -> Iterator[str]:
    """Yield the names of functions with the decorator `task`, in their order."""
    try:
        if not file.is_file() or file.stat().st_size > _LONGEST_FILE:
            return
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they are for who runs the file
            tree = ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            called = (
                each.func if isinstance(each, ast.Call) else each for each in node.decorator_list
            )
            names = {getattr(each, "attr", getattr(each, "id", "")) for each in called}
            if "task" in names:
                yield node.name.replace("_", "-")
