"""The rules of programs: what a task starts, as whom, and where."""

from __future__ import annotations

from pathlib import PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING, Final

from epm_task.contract.layout import program_name
from epm_task.contract.names import NON_ADMIN_TYPES, SERVICE, execution_type_of
from epm_task.job.rule import Hit, rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from epm_task.job.subject import Subject

#: Endings of files that a system starts. Others, as in `python3.11`, are part of the name.
_EXTENSIONS: Final = (".exe", ".com", ".cmd", ".bat", ".ps1", ".sh", ".py", ".msi", ".app")


@rule("EPM013", "command missing, or with path or extension", "error")
def command_is_name(subject: Subject) -> Iterator[Hit]:
    """`command` is the name of the executable alone, and is required beside `executablePath` too.

    The agent looks for `Jobs/bin/{command}/{command}`, with `.exe` on Windows, and then on PATH.
    So the same job works on every system.

    - wrong: `"command": "bin/key-scanner.exe"`
    - right: `"command": "key-scanner"`
    """
    for task in subject.tasks:
        command = task.fields.get("command")
        if not isinstance(command, str) or not command:
            yield Hit(
                task.at("command"),
                "command is missing, or no text; it is required even with executablePath",
                "give the executable's name without path and extension",
            )
        elif any(separator in command for separator in "/\\") or command in {".", ".."}:
            yield Hit(
                task.at("command"),
                f"command {command!r} holds a path, and must be a name",
                f"write {PureWindowsPath(command).stem!r}, and the path in executablePath",
            )
        elif command.casefold().endswith(_EXTENSIONS):
            yield Hit(
                task.at("command"),
                f"command {command!r} must be without extension, which the agent adds",
                f"write {PureWindowsPath(command).stem!r}",
            )


@rule("EPM014", "executablePath relative, or of another system", "error")
def executable_path(subject: Subject) -> Iterator[Hit]:
    """`executablePath` is absolute, and fits every system on which the job runs.

    The agent's working folder is not stated, so a relative path leads anywhere. A path fits one
    system only: with `osFilter` the rule compares the two. Leave the field out where you can: the
    layout `Jobs/bin/{command}/` works everywhere.

    - wrong: `"executablePath": "/opt/scan/scan.exe"` with `"osFilter": {"windows": false}`
    - right: `"executablePath": "/opt/scan/scan"`
    """
    for task in subject.tasks:
        path = task.text("executablePath")
        if not path:
            continue
        windows, posix = PureWindowsPath(path).is_absolute(), PurePosixPath(path).is_absolute()
        if not windows and not posix:
            yield Hit(
                task.at("executablePath"),
                f"executablePath {path!r} is relative, and the agent's folder is not stated",
                "write the absolute path, or leave it out",
            )
        elif subject.names_systems and (misfits := _misfits(path, subject.systems)):
            yield Hit(
                task.at("executablePath"),
                f"executablePath {path!r} does not fit {misfits}, where the job runs too",
                "exclude it in osFilter, or leave executablePath out",
            )


@rule("EPM018", "MergeStdoutJsonIntoContext without Service")
def merge_needs_service(subject: Subject) -> Iterator[Hit]:
    """The agent reads stdout of tasks that run as `Service` only.

    With another execution type the option has no effect, and the tasks after it lack the values.

    - wrong: `"ExecutionType": "User", "MergeStdoutJsonIntoContext": true`
    - right: `"ExecutionType": "Service", "MergeStdoutJsonIntoContext": true`
    """
    for task in subject.tasks:
        kind = execution_type_of(task.fields)
        if task.fields.get("MergeStdoutJsonIntoContext") is True and kind != SERVICE:
            yield Hit(
                task.at("MergeStdoutJsonIntoContext"),
                f"MergeStdoutJsonIntoContext works with ExecutionType Service only, not {kind}",
                "remove it, or run the task as Service",
                of_key=True,
            )


@rule("EPM023", "no system is left")
def some_system(subject: Subject) -> Iterator[Hit]:
    """`osFilter` excludes every system, so the job never runs; the agent accepts it all the same.

    To switch a job off, write `"enabled": false`, which people see in a list of jobs.

    - wrong: `"osFilter": {"windows": false, "linux": false, "macOS": false}`
    - right: `"osFilter": {"windows": false, "linux": true, "macOS": false}`
    """
    if not subject.systems:
        yield Hit("/osFilter", "osFilter excludes every system", 'allow one, or "enabled": false')


@rule("EPM030", "program that the agent must list", "info")
def program_of_a_user(subject: Subject) -> Iterator[Hit]:
    """In the session of a user who is not an administrator the agent lets in listed programs only.

    The list is `AllowedNonAdminExecutables`, in `Settings` of `appsettings.json` on each machine:
    base names, without path and `.exe`. A `User` or `UserDesktop` task whose program is not in it
    gets 403 and no broker. Only a machine can tell whether it is there, and `epm-task doctor --job
    ID` does. Ignore this rule when the list is taken care of.

    - wrong: `"ExecutionType": "User", "command": "probe"`
    - right: `"ExecutionType": "Service", "command": "probe"`
    """
    for task in subject.tasks:
        kind, name = execution_type_of(task.fields), program_name(task.fields)
        if kind in NON_ADMIN_TYPES and name:
            key = "ExecutionType" if "ExecutionType" in task.fields else "executionType"
            yield Hit(
                task.at(key),
                f"as {kind} the program {name!r} gets 403, unless the agent lists it",
                f'add "{name}" to AllowedNonAdminExecutables in Settings of appsettings.json on '
                "each machine, or run the task as Service",
            )


def _misfits(path: str, systems: frozenset[str]) -> str:
    for_windows = PureWindowsPath(path).is_absolute() or path.casefold().endswith(".exe")
    wrong = systems - {"windows"} if for_windows else systems & {"windows"}
    return " and ".join(sorted(wrong))
