"""List the files of a built program with their digests, and compare them with such a list.

`epm-task freeze` writes the manifest beside the executable; `--selftest` and `verify-install` read
it. It does not protect against somebody who may write the folder, and so the manifest too:
signatures do, and the rights of the folder.
"""

from __future__ import annotations

import hashlib
import os
import stat
import sys
from pathlib import Path
from typing import Any, Final

from epm_task.below import leads_inside, link_below, open_below
from epm_task.contract.fields import (
    DIGEST,
    FILE_BELOW,
    FILE_NAME,
    check_fields,
    choice,
    either,
    flag,
    list_of,
    record,
    table_of,
    text,
    whole,
)
from epm_task.contract.json_text import BadJson, parse_object
from epm_task.errors import EpmTaskError, UnsafeConfiguration
from epm_task.trust import open_regular

NAME: Final = "manifest.json"
#: Raised when a reader of an older version could misunderstand the content.
VERSION: Final = 1

_MAX_BYTES: Final = 8 * 1024 * 1024
_EXECUTABLE_BITS: Final = 0o111
_LINK: Final = record({"link": text(wanted="the target of a link")})
_FILE: Final = record({"sha256": text(DIGEST, "a SHA-256"), "size": whole(), "executable": flag()})
_TASK: Final = {
    "name": text(),
    "job_id": text().or_null().or_absent(),
    "publishes": list_of(text()).or_absent(),
    "subscribes": list_of(text()).or_absent(),
    "spread": flag().or_absent(),
    "plugin": text().or_null().or_absent(),
    "required": table_of(r".+", choice("path", "value")).or_absent(),
}
#: Of a version of the format; what only people read is not among them.
_FIELDS: Final = {
    "manifest": choice(VERSION),
    "command": text(FILE_NAME, "a file name").or_absent(),
    "executable": text(FILE_NAME, "a file name").or_absent(),
    "tasks": list_of(record(_TASK, others=True)).or_absent(),
    "files": table_of(FILE_BELOW, either(_LINK, _FILE)),
}


class ManifestError(EpmTaskError):
    """A manifest is missing or cannot be used."""

    def __init__(self, what: str, why: str = "", fix: str = "build the program again") -> None:
        super().__init__(what, why, fix)


def describe_files(folder: Path) -> dict[str, dict[str, Any]]:
    """Return what the manifest says of every file below *folder*, by relative path.

    Raises:
        UnsafeConfiguration: One is neither a file nor a link.
        OSError: A file cannot be read.
    """
    return {name: _describe(folder, name) for name in sorted(_names(folder)) if name != NAME}


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return the manifest of the program in *folder*.

    Raises:
        ManifestError: It is missing, or not one of ours.
    """
    path = folder / NAME
    try:
        with open_regular(path) as file:
            data = file.read(_MAX_BYTES + 1)
        if len(data) > _MAX_BYTES:
            raise ManifestError(f"{path} is larger than 8 MiB")
        manifest = parse_object(data)
    except FileNotFoundError:
        raise ManifestError(f"{path} does not exist") from None
    except (OSError, BadJson, UnsafeConfiguration) as error:
        raise ManifestError(f"{path} cannot be read", str(error)) from None
    if manifest.get("manifest", VERSION) != VERSION:
        raise ManifestError(f"{path} is of another version", fix="use a newer epm-task")
    try:
        check_fields(manifest, _FIELDS, others=True)
    except BadJson as error:
        raise ManifestError(f"{path} is not a manifest", error.why) from None
    return manifest


def differences(folder: Path, manifest: dict[str, Any]) -> list[str]:
    """Return one sentence for each file that is missing, changed or not in the manifest."""
    listed: dict[str, Any] = manifest["files"]
    present = set(_names(folder)) - {NAME}
    found = [f"{name} is missing" for name in sorted(set(listed) - present)]
    found += [f"{name} is not in the manifest" for name in sorted(present - set(listed))]
    for name in sorted(present & set(listed)):
        try:
            described = _describe(folder, name)
        except OSError as error:
            found.append(f"{name} cannot be read: {error.strerror}")
            continue
        except UnsafeConfiguration as error:
            found.append(f"{name} cannot be read: {error.why}")
            continue
        changes = _changes(name, listed[name], described)
        if not changes and "link" in described and not leads_inside(folder / name, folder):
            changes = [f"{name} is a link that leaves the program"]
        found += changes
    return found


def program_folder() -> Path | None:
    """Return the folder of the built program that this process runs; None when it is a source."""
    if getattr(sys, "frozen", False):
        return Path(sys.executable).resolve().parent
    started = Path(sys.argv[0]).absolute()  # in a zip program: …/Hello/Hello.pyz/hello.pyc
    archives = [path for path in (started, *started.parents) if path.suffix == ".pyz"]
    return archives[0].parent if archives else None


def _changes(name: str, listed: Any, present: dict[str, Any]) -> list[str]:
    for key in ("link", "size", "sha256"):
        if listed.get(key) != present.get(key):
            return [f"{name} was changed ({key})"]
    if os.name == "posix" and listed.get("executable") != present.get("executable"):
        return [f"{name} was changed (executable bit)"]
    return []


def _describe(folder: Path, name: str) -> dict[str, Any]:
    path = folder / name
    if path.is_symlink():
        return {"link": link_below(folder, name)}
    with open_below(folder, name) as file:
        found = os.fstat(file.fileno())
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    executable = bool(stat.S_IMODE(found.st_mode) & _EXECUTABLE_BITS)
    return {"sha256": digest, "size": found.st_size, "executable": executable}


def _names(folder: Path) -> list[str]:
    names = []
    for above, folders, files in os.walk(folder):
        links = [name for name in folders if Path(above, name).is_symlink()]
        names += [Path(above, name).relative_to(folder).as_posix() for name in (*files, *links)]
    return names
