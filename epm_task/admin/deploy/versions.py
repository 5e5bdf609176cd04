"""Keep whole copies of what was in place, as numbered versions of a bundle, outside `Jobs/`."""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, TypeAlias

from epm_task.admin.deploy.bundle import Bundle
from epm_task.admin.deploy.places import (
    judged,
    make_durable,
    names_in,
    read_document,
    remove_tree,
    rename,
    write_document,
)
from epm_task.admin.deploy.program import copy_program, read_program
from epm_task.admin.errors import BadBundle, NoVersion
from epm_task.contract.fields import DIGEST, check_fields, choice, text, whole
from epm_task.contract.json_text import BadJson, parse_object
from epm_task.job.document import JobDocument
from epm_task.trust import check_folder

if TYPE_CHECKING:
    from pathlib import Path

#: `found` was in place before the first apply, or was changed by hand since.
Origin: TypeAlias = Literal["deployed", "found"]
_FACTS: Final = "version.json"
_POINTER: Final = "current.json"
_PARTIAL: Final = ".partial"
_FIELDS: Final = {
    "made": text(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", "a time in UTC"),
    "origin": choice("deployed", "found"),
    "digest": text(DIGEST, "a SHA-256"),
}
_POINTER_FIELDS: Final = {"current": whole(1), "previous": whole(1).or_absent()}


class Version(NamedTuple):
    """One version, numbered from 1, made at an ISO 8601 time in UTC, with its SHA-256."""

    number: int
    bundle: Bundle
    made: str
    origin: Origin
    digest: str


class VersionStore:
    """The versions of one bundle, in `epm-task/versions/{name}`, which need not exist."""

    def __init__(self, folder: Path) -> None:
        self.name: str = folder.name
        self._folder = folder

    def numbers(self) -> list[int]:
        """Return the numbers of the versions, lowest first."""
        return sorted(int(name) for name in names_in(self._folder) if name.isdecimal())

    def get(self, number: int) -> Version:
        """Return one version, after its files were compared with what was kept.

        Raises:
            NoVersion: There is none of this number, or it is damaged.
        """
        folder = self._folder / str(number)
        try:
            facts = parse_object(read_document(folder / _FACTS))
            check_fields(facts, {**_FIELDS, "number": choice(number)})
            bundle = Bundle(self.name, *_read(folder))
            version = Version(number, bundle, facts["made"], facts["origin"], facts["digest"])
            if digest_of(bundle) != version.digest:
                raise ValueError("it is not what was kept")  # noqa: TRY301  # one of many reasons
        except (ValueError, OSError, BadBundle) as error:
            known = ", ".join(map(str, self.numbers())) or "none"
            raise NoVersion(
                f"version {number} of {self.name} cannot be used",
                str(error),
                f"choose another with --to (the versions are: {known})",
            ) from error
        return version

    def earlier(self, number: int | None) -> Version:
        """Return the version of this number; without one, that before the current one.

        Raises:
            NoVersion: There is none.
        """
        wanted = self.previous if number is None else number
        if wanted is None:
            what = f"{self.name} has no version before number {self.current}"
            why = "there is nothing to go back to"
            raise NoVersion(what, why, "look at the versions with `epm-task deploy status`")
        return self.get(wanted)

    def names(self, number: int) -> tuple[set[str], set[str]]:
        """Return the commands and the ids of one version; nothing for one that is not there."""
        folder = self._folder / str(number) / "Jobs"
        return set(names_in(folder / "bin")), {file.stem for file in _documents_in(folder)}

    def find(self, bundle: Bundle) -> Version | None:
        """Return the newest version that is exactly this bundle."""
        digest = digest_of(bundle)
        for number in reversed(self.numbers()):
            try:
                version = self.get(number)
            except NoVersion:  # a damaged one equals nothing
                continue
            if version.digest == digest:
                return version
        return None

    def next_number(self) -> int:
        """Return a number that no version of this bundle has had."""
        return max([*self.numbers(), *self._pointer().values(), 0]) + 1

    def save(self, bundle: Bundle, number: int, origin: Origin) -> Version:
        """Keep a bundle as a new version and return it; it survives a power cut.

        Raises:
            BadBundle: A file vanished or changed.
            OSError: It cannot be written; then no new version exists.
        """
        with judged():
            check_folder(self._folder, make=0o700)
        partial = self._folder / _PARTIAL
        remove_tree(partial)
        made = datetime.now(UTC).isoformat(timespec="seconds")
        digest = digest_of(bundle)
        try:
            _write(bundle, partial)
            facts = {"number": number, "made": made, "origin": origin, "digest": digest}
            write_document(partial / _FACTS, facts)
            rename(partial, self._folder / str(number))
        except BaseException:
            remove_tree(partial)
            raise
        make_durable(self._folder)
        return self.get(number)

    @property
    def current(self) -> int | None:
        """The number of the version that was put in place last; None before the first apply."""
        return self._pointer().get("current")

    @property
    def previous(self) -> int | None:
        """The number of the one before."""
        return self._pointer().get("previous")

    def point_to(self, number: int, previous: int | None) -> None:
        """Say which version is in place now, and which one was before."""
        pointer = {"current": number} | ({} if previous is None else {"previous": previous})
        write_document(self._folder / _POINTER, pointer)

    def prune(self, keep: int) -> None:
        """Remove the oldest versions, so that *keep* are left beside the current one."""
        remove_tree(self._folder / _PARTIAL)  # of a process that was killed
        current, previous = self.current, self.previous
        others = [number for number in self.numbers() if number not in {current, previous}]
        others += [] if previous is None else [previous]  # the last to go
        for number in others[: max(0, len(others) - keep)]:
            self.remove(number)

    def remove(self, number: int) -> None:
        """Remove a version."""
        partial = self._folder / _PARTIAL
        remove_tree(partial)
        with suppress(FileNotFoundError):
            rename(self._folder / str(number), partial)  # a version is whole or is none
            remove_tree(partial)

    def _pointer(self) -> dict[str, int]:
        path = self._folder / _POINTER
        try:
            found = parse_object(read_document(path))
            check_fields(found, _POINTER_FIELDS)
        except FileNotFoundError:
            return {}
        except BadJson as error:
            fix = f'see which version is in place, and write {{"current": N}} into {path}'
            raise NoVersion(f"{path} cannot be used", str(error), fix) from error
        return found


def digest_of(bundle: Bundle) -> str:
    """Return the SHA-256 over all programs and jobs of a bundle."""
    programs = {command: program.digest for command, program in bundle.programs.items()}
    jobs = {job_id: json.dumps(job, sort_keys=True) for job_id, job in bundle.jobs.items()}
    text = json.dumps([programs, jobs], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _read(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    binaries = folder / "Jobs" / "bin"
    files = _documents_in(folder / "Jobs")
    jobs = {file.stem: JobDocument.parse(read_document(file)).raw for file in files}
    return {name: read_program(binaries / name) for name in names_in(binaries)}, jobs


def _documents_in(folder: Path) -> list[Path]:
    return [folder / name for name in names_in(folder) if name.endswith(".json")]


def _write(bundle: Bundle, folder: Path) -> None:
    binaries = folder / "Jobs" / "bin"
    with judged():
        check_folder(binaries, make=0o700)
    for command, program in bundle.programs.items():
        copy_program(program, binaries / command)
    for job_id, document in bundle.jobs.items():
        write_document(folder / "Jobs" / f"{job_id}.json", document, mode=0o644)
