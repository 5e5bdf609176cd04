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

from epm_task.contract.json_text import BadJson, parse_object
from epm_task.errors import EpmTaskError, UnsafeConfiguration
from epm_task.trust import leads_inside, open_below

NAME: Final = "manifest.json"
#: Raised when a reader of an older version could misunderstand the content.
VERSION: Final = 1

_MAX_BYTES: Final = 8 * 1024 * 1024
_EXECUTABLE_BITS: Final = 0o111


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
        if path.stat().st_size > _MAX_BYTES:
            raise ManifestError(f"{path} is larger than 8 MiB")
        manifest = parse_object(path.read_bytes())
    except FileNotFoundError:
        raise ManifestError(f"{path} does not exist") from None
    except (OSError, BadJson) as error:
        raise ManifestError(f"{path} cannot be read", str(error)) from None
    if not isinstance(manifest.get("files"), dict):
        raise ManifestError(f"{path} is not a manifest")
    if manifest.get("manifest") != VERSION:
        raise ManifestError(f"{path} is of another version", fix="use a newer epm-task")
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
    if not isinstance(listed, dict):
        return [f"{name} has no digest in the manifest"]
    for key in ("link", "size", "sha256"):
        if listed.get(key) != present.get(key):
            return [f"{name} was changed ({key})"]
    if os.name == "posix" and listed.get("executable") != present.get("executable"):
        return [f"{name} was changed (executable bit)"]
    return []


def _describe(folder: Path, name: str) -> dict[str, Any]:
    path = folder / name
    if path.is_symlink():
        return {"link": os.readlink(path)}  # noqa: PTH115  # the text itself, not a path
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
