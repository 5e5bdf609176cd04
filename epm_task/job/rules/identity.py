"""The rules of identity: ids, names, types of fields."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from epm_task.contract.client_id import usable_job_id
from epm_task.contract.names import is_device
from epm_task.contract.secrets import names_secret_itself, secret_options
from epm_task.job.rule import Hit, rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from epm_task.job.document import Misfit
    from epm_task.job.subject import Subject


#: What other rules say with more words: the schedule, the command of a task.
_SAID_ELSEWHERE: Final = re.compile(r"/schedule/\w+|/tasks/\d+/command", re.ASCII)

#: What no name has on Windows, beside the separators, which another rule looks for.
_NO_NAME: Final = frozenset('<>:"|?*')


@rule("EPM001", "underscore in a job id", "error")
def underscore_in_id(subject: Subject) -> Iterator[Hit]:
    """The broker splits the MQTT client id on `_` to extract the job id.

    A job id that holds an underscore is cut off there. The broker then looks up another job, or
    none, and no message of this job arrives. Nothing says so.

    - wrong: `"id": "key_scanner"`
    - right: `"id": "key-scanner"`, in the file `key-scanner.json`
    """
    job_id = subject.root.text("id")
    if "_" in job_id:
        yield Hit(
            "/id",
            f"the job id {job_id!r} holds an underscore, at which the broker cuts it off",
            f'write "{usable_job_id(job_id)}", and rename the file too',
        )


@rule("EPM002", "id differs from the file name", "error")
def id_is_file_name(subject: Subject) -> Iterator[Hit]:
    """The agent finds a job in `Jobs/{id}.json`, so the id must be the file's name without `.json`.

    A file with another name is not loaded when the agent reads the folder again.

    - wrong: `"id": "key-scanner"` in `scanner.json`
    - right: the same id in `key-scanner.json`
    """
    job_id = subject.root.text("id")
    if subject.file is not None and job_id and subject.file.stem != job_id:
        yield Hit(
            "/id",
            f"the id {job_id!r} is not the name of the file, so the agent does not load it",
            f"rename the file to {job_id}.json, or the id to {subject.file.stem!r}",
        )


@rule("EPM031", "name that Windows or macOS cannot keep", "error")
def kept_by_every_system(subject: Subject) -> Iterator[Hit]:
    """Job ids and commands are names of files, and systems differ in what such a name can be.

    Windows keeps `CON`, `PRN`, `AUX`, `NUL`, `COM1` to `COM9` and `LPT1` to `LPT9` for devices,
    also with an extension, takes dots and blanks away from the end of a name, and has no name with
    one of `< > : " | ? *`. Windows and macOS do not tell `Scan` from `scan`: two ids that differ by
    case only are one file there. Commands are looked at when the job may run on Windows, and the
    other ids in the folder of the file when it may run on either.

    - wrong: `"id": "nul.check"`, or `scan.json` beside `Scan.json`
    - right: `"id": "null-check"`
    """
    job_id = subject.root.text("id")
    if is_device(job_id):
        yield Hit(
            "/id",
            f"the job id {job_id!r} is the name of a device on Windows, where no file can have it",
            f'write "{usable_job_id(job_id)}", and rename the file too',
        )
    if subject.systems & {"windows", "macOS"}:
        for other in sorted(subject.neighbours or ()):
            if other != job_id and other.casefold() == job_id.casefold():
                what = f"the ids {job_id!r} and {other!r} are one file on Windows and macOS"
                yield Hit("/id", what, "rename one of them")
    for task in subject.tasks if "windows" in subject.systems else ():
        command = task.text("command")
        if is_device(command) or command != command.rstrip(". ") or set(command) & _NO_NAME:
            what = f"Windows cannot have a file with the name of the command {command!r}"
            yield Hit(task.at("command"), what, "give the program another name")


@rule("EPM021", "field missing, of the wrong type, or out of range", "error")
def field_shapes(subject: Subject) -> Iterator[Hit]:
    """A required field is missing, or a field has a value that the agent does not take.

    The agent reads JSON strictly: `"5"` is not a number, `"yes"` is not true. `priority` is a whole
    number from 1 to 10. A job needs `id`, `name` and `tasks`, a task needs `id` and `command`.
    `epm-task job --schema` prints the schema of all fields, for your editor.

    - wrong: `"priority": 11`
    - right: `"priority": 5`
    """
    for misfit in subject.document.misfits:
        if not _said_elsewhere(subject, misfit):
            place = f" in {misfit.pointer}" if misfit.missing and misfit.pointer else ""
            yield Hit(
                misfit.pointer,
                f"{misfit.field} {misfit.why}{place}",
                "correct it; `epm-task job --schema` describes every field",
            )


@rule("EPM025", "id or name twice, or unknown alternate job", "error")
def references(subject: Subject) -> Iterator[Hit]:
    """Task ids and parameter names are unique, and `alternateJobId` names a job that exists.

    The agent tells tasks apart by their ids, and parameters by their names, the case of which does
    not count on Windows. When the condition of a
    job is not met, it starts the alternate job; one that does not exist means that nothing runs.
    Whether it exists is looked up in the folder of the file.

    - wrong: two tasks with `"id": "scan"`
    - right: `"id": "scan"` and `"id": "report"`
    """
    for parts, key, kind in (
        (subject.tasks, "id", "task id"),
        (subject.parameters, "name", "parameter"),
    ):
        folds = kind == "parameter" and "windows" in subject.systems
        values = [part.text(key) for part in parts]
        names = [value.casefold() if folds else value for value in values]
        for index, part in enumerate(parts):
            if names[index] and names[index] in names[:index]:
                where = "" if values[index] in values[:index] else " on Windows"
                yield Hit(
                    part.at(key),
                    f"the {kind} {values[index]!r} is used twice{where}, so nobody can tell them "
                    "apart",
                    "give each another one",
                )
    alternate = subject.root.text("alternateJobId")
    if alternate and alternate == subject.root.text("id"):
        yield Hit(
            "/alternateJobId",
            "the job is its own alternate, so nothing runs when the condition is not met",
            "name another job, or remove alternateJobId",
        )
    elif alternate and subject.neighbours is not None and alternate not in subject.neighbours:
        yield Hit(
            "/alternateJobId",
            f"no job {alternate!r} is beside this file, so nothing runs in its place",
            f"add {alternate}.json, or name a job that is there",
        )


def _said_elsewhere(subject: Subject, misfit: Misfit) -> bool:
    if misfit.pointer == "/id" and "_" in subject.root.text("id"):
        return True
    missing_command = misfit.missing and misfit.field == "command"
    return missing_command or bool(_SAID_ELSEWHERE.fullmatch(misfit.pointer))


@rule("EPM000", "not a job document", "error")
def readable(subject: Subject) -> Iterator[Hit]:  # noqa: ARG001  # the linter finds it, on reading
    """The file is not a JSON object in UTF-8, so no other rule can look at it.

    JSON has no comments, no comma after the last entry, no single quotes, no NaN. A name is
    once in an object. Editors on Windows may save UTF-16: choose UTF-8. A byte order mark does no
    harm. A job is at most 1 MiB long and 64 levels deep. This rule cannot be ignored.

    - wrong: `{"id": "scan",}`
    - right: `{"id": "scan"}`
    """
    yield from ()


@rule("EPM022", "secret in the arguments", "error")
def secret_in_arguments(subject: Subject) -> Iterator[Hit]:
    r"""Every local user can read the arguments of every process, so no secret may be there.

    The job document is a file, too, and travels in policies and logs. Let the argument name a file
    that only its owner can read: a parameter of the type `SecretStr` does that in a task of this
    package. Names that end in a word such as `Password`, `Secret`, `Token` or `ApiKey` are taken
    for secrets; `TokenFile` is not.

    - wrong: `"arguments": "--token=\"{Token}\""`
    - right: `"arguments": "--token-file=\"{TokenFile}\""`
    """
    for task in subject.tasks:
        found = [
            f"{{{token.name}}}" for token in subject.tokens(task) if names_secret_itself(token.name)
        ]
        for name in found or secret_options(task.text("arguments")):
            yield Hit(
                task.at("arguments"),
                f"{name} looks like a secret, and every local user can read the arguments",
                "pass the name of a file that only its owner can read, as --token-file does",
            )
