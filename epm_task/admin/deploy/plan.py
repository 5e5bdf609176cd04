"""Find out what deploying a bundle would change, and only read for that."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, TypeAlias

from epm_task.admin.deploy.bundle import Bundle, commands_of
from epm_task.admin.deploy.program import read_installed
from epm_task.admin.errors import WriteRefused
from epm_task.contract.secrets import hide_options, names_secret_itself
from epm_task.job.json_source import child

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from epm_task.admin.client import AdminClient
    from epm_task.admin.deploy.deploy_root import DeployRoot
    from epm_task.admin.deploy.program import FileFact, Program


Action: TypeAlias = Literal["add", "change", "remove"]
Kind: TypeAlias = Literal["program", "job"]
_ABSENT: Final = object()
#: A longer value would hide the others.
_MAX_VALUE: Final = 120


class Part(NamedTuple):
    """One file of a program, by relative path, or one field of a job, by JSON pointer.

    Before and after are SHA-256 and rights, or the value as JSON; empty when there is none.
    """

    action: Action
    place: str
    before: str
    after: str


class Change(NamedTuple):
    """What happens to one program, named by its command, or one job, named by its id."""

    action: Action
    kind: Kind
    name: str
    parts: tuple[Part, ...]


def program_change(name: str, before: Program | None, after: Program | None) -> Change | None:
    """Return what makes *after* out of *before*, None when they are the same."""
    old: Mapping[str, FileFact] = before.files if before else {}
    new: Mapping[str, FileFact] = after.files if after else {}
    parts = tuple(
        Part(_action(name in old, name in new), name, _fact(old.get(name)), _fact(new.get(name)))
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name)
    )
    return _change("program", name, before, after, parts)


def job_change(
    job_id: str, before: Mapping[str, Any] | None, after: Mapping[str, Any] | None
) -> Change | None:
    """Return what makes *after* out of *before*, None when they are the same."""
    old, new = (_ABSENT if document is None else document for document in (before, after))
    return _change("job", job_id, before, after, tuple(field_parts("", old, new)))


def _change(
    kind: Kind, name: str, before: Any, after: Any, parts: tuple[Part, ...]
) -> Change | None:
    there = before is not None, after is not None
    if not any(there) or (all(there) and not parts):
        return None
    return Change(_action(*there), kind, name, parts)


def field_parts(pointer: str, before: Any, after: Any, *, secret: bool = False) -> Iterator[Part]:
    """Yield the fields in which two values differ; whole values that only one of them has."""
    pairs = _pairs(before, after)
    if pairs is None:
        if before is _ABSENT or after is _ABSENT or _json(before) != _json(after):
            action = _action(before is not _ABSENT, after is not _ABSENT)
            yield Part(action, pointer, _value(before, secret), _value(after, secret))
        return
    hidden = secret or _names_a_secret(before) or _names_a_secret(after)
    for key, (old, new) in pairs.items():
        below = hidden or bool(isinstance(key, str) and names_secret_itself(key))
        yield from field_parts(child(pointer, key), old, new, secret=below)


def _pairs(before: Any, after: Any) -> dict[str | int, tuple[Any, Any]] | None:
    """Return the entries of two objects or arrays side by side; None when they are neither."""
    if isinstance(before, dict | list) and after is _ABSENT:
        after = type(before)()
    if isinstance(after, dict | list) and before is _ABSENT:
        before = type(after)()
    old, new = _entries(before), _entries(after)
    if old is None or new is None or type(before) is not type(after):
        return None
    return {key: (old.get(key, _ABSENT), new.get(key, _ABSENT)) for key in {**old, **new}} or None


def _entries(value: Any) -> dict[Any, Any] | None:
    """Return an object by its names, an array by its indexes."""
    if isinstance(value, list):
        return dict(enumerate(value))
    return value if isinstance(value, dict) else None


def _names_a_secret(value: Any) -> bool:
    # A parameter: {"name": "Token", "default": "…"}.
    name = value.get("name") if isinstance(value, dict) else None
    return isinstance(name, str) and names_secret_itself(name)


def _action(before: bool, after: bool) -> Action:  # noqa: FBT001  # a pair, in this order
    return "change" if before and after else "add" if after else "remove"


def _fact(fact: FileFact | None) -> str:
    if fact is None:
        return ""
    facts = [
        fact.digest,
        "executable" if fact.executable else "",
        "others can write it" if fact.loose else "",
    ]
    return ", ".join(filter(None, facts))


def _value(value: Any, secret: bool) -> str:  # noqa: FBT001  # as above
    if value is _ABSENT:
        return ""
    if secret and isinstance(value, str | int | float) and not isinstance(value, bool):
        return "(hidden)"
    text = hide_options(_json(value))
    return text if len(text) <= _MAX_VALUE else f"{text[:_MAX_VALUE]}…"


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True)


class Plan(NamedTuple):
    """What is to be in place, what is there of it and of what goes away, and the difference."""

    bundle: Bundle
    present: Bundle
    changes: tuple[Change, ...]

    @property
    def gone(self) -> tuple[list[str], list[str]]:
        """The commands and the ids that are removed."""
        programs = self.present.programs.keys() - self.bundle.programs.keys()
        jobs = self.present.jobs.keys() - self.bundle.jobs.keys()
        return sorted(programs), sorted(jobs)


def make_plans(root: DeployRoot, admin: AdminClient, bundles: Sequence[Bundle]) -> list[Plan]:
    """Return a plan for each bundle.

    What the current version of a bundle has, and no bundle has any more, is to be removed.

    Raises:
        AdminError: The agent cannot be asked, or a program's place cannot be read.
    """
    commands = {command for bundle in bundles for command in bundle.programs}
    job_ids = {job_id for bundle in bundles for job_id in bundle.jobs}
    plans = []
    for bundle in bundles:
        old_commands, old_ids = _stale(root, admin, bundle, commands, job_ids)
        names = bundle.programs.keys() | old_commands, bundle.jobs.keys() | old_ids
        plans.append(_plan(bundle, _present(root, admin, bundle.name, *names)))
    return plans


def count(plans: Iterable[Plan]) -> dict[str, int]:
    """Return how many programs and jobs are to be added, changed and removed."""
    actions = [change.action for plan in plans for change in plan.changes]
    return {action: actions.count(action) for action in ("add", "change", "remove")}


def _plan(bundle: Bundle, present: Bundle) -> Plan:
    programs = [
        program_change(name, present.programs.get(name), bundle.programs.get(name))
        for name in sorted(bundle.programs.keys() | present.programs.keys())
    ]
    jobs = [
        job_change(job_id, present.jobs.get(job_id), bundle.jobs.get(job_id))
        for job_id in sorted(bundle.jobs.keys() | present.jobs.keys())
    ]
    return Plan(bundle, present, tuple(change for change in (*programs, *jobs) if change))


def _stale(
    root: DeployRoot, admin: AdminClient, bundle: Bundle, commands: set[str], job_ids: set[str]
) -> tuple[set[str], set[str]]:
    """Return the commands and ids that only the current version of the bundle has."""
    store = root.store(bundle.name)
    old_commands, old_ids = store.names(store.current) if store.current else (set(), set())
    stale_commands, stale_ids = old_commands - commands, old_ids - job_ids
    if stale_commands:
        others = [job for job in admin.list_jobs().jobs if job.get("id") not in old_ids | job_ids]
        stale_commands -= {command for job in others for command in commands_of(job)}
    return stale_commands, stale_ids


def _present(
    root: DeployRoot, admin: AdminClient, name: str, commands: set[str], job_ids: set[str]
) -> Bundle:
    try:
        found = {command: read_installed(root.place(command)) for command in sorted(commands)}
    except OSError as error:
        raise WriteRefused(error, root.agent.jobs_bin) from error
    programs = {command: program for command, program in found.items() if program}
    jobs = {job_id: admin.find_job(job_id) for job_id in sorted(job_ids)}
    return Bundle(name, programs, {job_id: job for job_id, job in jobs.items() if job is not None})
