"""Say what an author must know, and the line that mends it: denials, failed runs, wrong names.

Decided by the facts of the agent's decisions, never by their sentences.
"""

from __future__ import annotations

import json
import time
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import unquote

from epm_task.contract.argument_line import command_text
from epm_task.contract.names import PLUGIN_SETTINGS_PATH
from epm_task.contract.record import Record
from epm_task.contract.topic import KEEPER_LOGGER
from epm_task.errors import sentence
from epm_task.job.rules import programs, topics
from epm_task.simulator.console.runs import iso, said
from epm_task.simulator.jobs.history import ended_run

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from epm_task.job.rule import Rule
    from epm_task.simulator.console.runs import SeenRun
    from epm_task.simulator.jobs.run import Run
    from epm_task.simulator.trace import TraceEvent

#: Decisions about jobs that people should see, and that refuse nothing.
_WORTH_A_LOOK: Final = frozenset(
    {"never_due", "not_loaded", "not_written", "merge_refused", "unused", "left_behind"}
)
#: Entries that are kept, the youngest.
_MOST: Final = 200
#: Of the end of stderr, beside records, which the page shows in another place.
_LINES: Final = 3


class Note(NamedTuple):
    """What an entry says; *copy* is for the clipboard."""

    kind: str
    what: str
    why: str = ""
    fix: str = ""
    copy: str = ""
    rule: Rule | None = None

    @classmethod
    def of(cls, kind: str, event: TraceEvent, copy: str = "", rule: Rule | None = None) -> Note:
        """Return what a decision says; its sentence may end with the fix."""
        fix = str(event.facts.get("fix") or "")
        return cls(kind, event.what, event.reason.removesuffix(f": {fix}"), fix, copy or fix, rule)


class Attention:
    """The entries, at most 200; the same thing in one run counts, and makes no other."""

    def __init__(self, root: Path) -> None:
        self._root: Final = root
        self._entries: dict[object, dict[str, Any]] = {}
        self._last = 0

    def entries(self) -> list[dict[str, Any]]:
        """Return the entries, the youngest first."""
        return list(reversed(self._entries.values()))

    def event(self, event: TraceEvent, seen: SeenRun | None) -> dict[str, Any] | None:
        """Take a decision; return the entry that it makes, or that it repeats, if any.

        A 403 of a run that is not registered yet is none: its end says whether it ever was. Nor is
        what follows from the failure of a task, which has an entry of its own.
        """
        note, facts = None, event.facts
        if event.kind == "api" and facts.get("status") == HTTPStatus.NOT_FOUND:
            note = self._unknown_setting(str(facts.get("path")), seen) if seen else None
        elif event.denied and not (event.kind == "api" and seen and not seen.registered):
            note = _denial(event, seen)
        elif event.action in _WORTH_A_LOOK and not facts.get("exit_code"):
            note = Note.of("job", event)
        return self._add(note, seen, facts.get("times")) if note else None

    def end(self, run: Run, seen: SeenRun) -> list[dict[str, Any]]:
        """Take the end of a run; return what it leaves to look at."""
        early = run.denials if run.registration.seconds is None else ()
        notes = [_denial(event, seen) for event in early if event.kind == "api"]
        if run.exit_code:
            notes.append(self._failure(run))
        return [self._add(note, seen) for note in notes]

    def _unknown_setting(self, path: str, seen: SeenRun) -> Note | None:
        name = settings_name(path)
        if name is None:
            return None
        plugin, _, key = name.partition("/")
        line = json.dumps({key or "key": "value"}, ensure_ascii=False)
        asked = f"the setting {key} of {plugin}" if key else f"the settings of {plugin}"
        fix = f"put {line} into {self._root / 'Plugins' / plugin}.json, or correct the name"
        why = "no layer knows them"
        return Note("setting", f"{seen.job_id} asked for {asked}", why, fix, line)

    def _failure(self, run: Run) -> Note:
        failed = next((task for task in run.tasks if task.exit_code), None)
        cause = failed.start_error if failed else None
        lines = failed.stderr_tail.splitlines() if failed else []
        tail = [line for line in lines if line.strip() and Record.from_line(line.encode()) is None]
        words = ("epm-task", "runs", "show", run.run_id, "--agent-root", str(self._root))
        show = command_text(words)
        return Note(
            "failed",
            f"{run.job_id} ended with exit code {ended_run(run).end}",
            sentence(cause.what, cause.why) if cause else run.problem or "\n".join(tail[-_LINES:]),
            cause.fix if cause else show,
            show,
        )

    def _add(self, note: Note, seen: SeenRun | None, times: object = 1) -> dict[str, Any]:
        # Many denials of one topic are summed up in a sentence of their own.
        key = (note.kind, note.copy or note.what, seen.id if seen else None)
        before = self._entries.pop(key, None)
        self._last += before is None
        entry = self._entries[key] = {
            "id": before["id"] if before else str(self._last),
            "at": iso(time.time()),
            "times": (before["times"] if before else 0) + (times if isinstance(times, int) else 1),
            "kind": note.kind,
            "jobId": seen.job_id if seen else None,
            "runId": seen.id if seen else None,
            "what": before["what"] if before else said(note.what),
            "why": said(note.why),
            "fix": said(note.fix) or None,
            "copy": said(note.copy) or None,
            "rule": note.rule.code if note.rule else None,
            "explain": note.rule.page if note.rule else None,
        }
        if len(self._entries) > _MOST:
            self._entries.pop(next(iter(self._entries)))
        return entry


def settings_name(path: str) -> str | None:
    """Return the plugin, or plugin and key, that a request is about; None for other requests."""
    below = f"{PLUGIN_SETTINGS_PATH}/"
    return unquote(path[len(below) :]) if path.casefold().startswith(below.casefold()) else None


def _denial(event: TraceEvent, seen: SeenRun | None) -> Note:
    listed, topic = event.facts.get("listed"), event.facts.get("topic")
    if seen and isinstance(listed, str) and isinstance(topic, str):
        allowed = (seen.job.get("mqttTopics") or {}).get(listed) or []
        line = f"{json.dumps(listed)}: {json.dumps([*allowed, topic], ensure_ascii=False)}"
        return Note.of("topic", event, line, _topic_rule(topic, seen.job))
    if event.kind == "job":
        return Note.of("refused", event, rule=programs.program_of_a_user)
    return Note.of("denied" if event.kind == "api" else "refused", event)


def _topic_rule(topic: str, job: Mapping[str, Any]) -> Rule:
    """Return the rule of the lints whose page explains why a message on *topic* vanished."""
    if topic == KEEPER_LOGGER:
        return topics.keeper_logger_allowed
    if topic == job.get("eventTopic"):
        return topics.event_topic_allowed
    return topics.topics_of_code
