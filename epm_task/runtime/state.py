"""What a task keeps between its runs: one JSON object in a file that only this account can read.

A save is whole or does not happen, also when the process is killed or the disk is full; when it has
returned, it survives a power cut. Two runs at the same time may both save, and the later save
counts: `@task(overlap="skip")` lets one run at a time.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Mapping, MutableMapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from epm_task.contract.json_text import BadJson, parse_object
from epm_task.contract.names import STATE_VARIABLE
from epm_task.errors import DefinitionError, TaskError, UnsafeConfiguration
from epm_task.exit_code import ExitCode
from epm_task.files import naming, patiently, write_atomically
from epm_task.runtime.result import encode_object, first_misfit
from epm_task.runtime.stop import SHIELD

if TYPE_CHECKING:
    from typing import TypeVar

    from pydantic import BaseModel

    Model = TypeVar("Model", bound=BaseModel)

#: A state is read whole at each start; what is larger belongs in a file of the author's own.
MAX_STATE_BYTES: Final = 1024 * 1024
#: With what is around the values: the version.
_MOST_BYTES: Final = MAX_STATE_BYTES + 100
#: Of the file: the version of its values, and the values.
_VERSION: Final = "version"
_VALUES: Final = "values"
#: A process that was killed leaves the file behind that it was writing; none writes for so long.
_LEFTOVER_SECONDS: Final = 3600.0
#: Below the folder of the system or of the user.
_OURS: Final = "epm-task"


class StateUnusable(TaskError):
    """The file of a task's state holds something else, or values that no longer fit."""

    exit_code: int = ExitCode.DATAERR

    def __init__(self, path: Path, why: str, kept: Path) -> None:
        super().__init__(
            f"the state in {path} cannot be used",
            why,
            f"it is now {kept.name}, and the next run begins without a state; to use it again, "
            "correct it and rename it back",
        )


class StateNotSaved(TaskError):
    """The system could not read or write the file of a task's state; the old one is untouched."""

    exit_code: int = ExitCode.IOERR

    def __init__(self, path: Path, error: OSError, what: str = "saved") -> None:
        why = error.strerror or str(error)
        super().__init__(f"the state in {path} was not {what}", why, "give it room and rights")


class StateNotSerializable(TaskError, ValueError):
    """What the handler wants to keep is not JSON, or more than 1 MiB of it."""

    def __init__(self, why: str) -> None:
        super().__init__("the state was not saved", why, "keep texts, numbers, lists and mappings")


class StateFile:
    """Where the state of one task lies, and how it is read and written."""

    def __init__(self, folder: Path, task: str) -> None:
        self.path: Final = folder / f"{task}.json"

    def read(self) -> tuple[dict[str, Any], int] | None:
        """Return the values and their version; None when nothing was ever saved.

        Raises:
            StateUnusable: It is not what `write` wrote.
            StateNotSaved: It cannot be read.
            UnsafeConfiguration: Another user can read it, or write where it lies.
        """
        from epm_task.trust import read_file  # noqa: PLC0415  # not every run has a state

        try:
            data = read_file(self.path, _MOST_BYTES + 1, secret=True)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StateNotSaved(self.path, error, "read") from error
        try:
            return parse_state(data)
        except BadJson as error:
            raise self.unusable(error.why) from None

    def write(self, values: bytes, version: int) -> None:
        """Replace the file.

        Raises:
            StateNotSaved: It cannot be written.
            UnsafeConfiguration: Another user can write where it lies.
        """
        from epm_task.trust import check_folder, entry  # noqa: PLC0415  # as above

        data = b'{"%s":%d,"%s":%b}\n' % (_VERSION.encode(), version, _VALUES.encode(), values)
        try:
            with naming(self.path):
                check_folder(self.path.parent, make=0o700)
                with SHIELD, entry(self.path) as (name, dir_fd):
                    self._remove_leftovers()
                    write_atomically(Path(name), data, dir_fd=dir_fd)
        except OSError as error:
            raise StateNotSaved(self.path, error) from error

    def unusable(self, why: str) -> StateUnusable:
        """Move the file aside, so that the next run can begin without it; return what to raise."""
        from epm_task.trust import entry  # noqa: PLC0415  # as above

        kept = self.path.with_name(f"{self.path.stem}-unusable-{os.urandom(4).hex()}.json")
        try:
            with entry(self.path) as (_, dir_fd):
                names = (self.path, kept) if dir_fd is None else (self.path.name, kept.name)
                patiently(os.replace, *names, src_dir_fd=dir_fd, dst_dir_fd=dir_fd)
        except OSError as error:
            raise StateNotSaved(self.path, error, f"usable ({why}), and not moved aside") from error
        return StateUnusable(self.path, why, kept)

    def _remove_leftovers(self) -> None:
        for path in self.path.parent.glob(f".{self.path.name}.*.tmp"):
            try:
                if time.time() - path.stat().st_mtime > _LEFTOVER_SECONDS:
                    path.unlink()
            except FileNotFoundError:
                continue  # another run has removed it


def parse_state(data: bytes) -> tuple[dict[str, Any], int]:
    """Return the values in a file of a state, and their version.

    Raises:
        BadJson: It holds something else.
    """
    if len(data) > _MOST_BYTES:
        raise BadJson("it is larger than 1 MiB")
    found = parse_object(data)
    version, values = found.get(_VERSION), found.get(_VALUES)
    if type(version) is not int or not isinstance(values, dict):
        raise BadJson("it holds no version and values")
    return values, version


class State(MutableMapping[str, Any]):
    """What a handler keeps between its runs: a mapping of JSON values.

    It is read when it is first used, and written, if it has changed, when the handler returns, or
    by `save()`. A handler that fails has changed nothing, unless it saved before.

    Args:
        file: Where it lies; None keeps it in memory, for tests.
        values: What it holds in memory at first.
    """

    def __init__(self, file: StateFile | None, values: Mapping[str, Any] | None = None) -> None:
        self._file = file
        self._loaded: dict[str, Any] | None = dict(values or {}) if file is None else None
        self._model: BaseModel | None = None
        #: As it was read or saved last.
        self._saved: bytes | None = None

    def typed(self, kind: type[Model]) -> Model:
        """Return the state as a *kind*, which is what will be saved from now on.

        Values of an older `state_version` pass `kind.migrate(values, version)` first.

        Raises:
            StateUnusable: They do not fit.
            TaskError: As for any other use.
        """
        wanted = _version_of(kind)
        values, version = self._read() or ({}, wanted)
        try:
            model = _fitted(kind, values, version)
        except Exception as error:  # the author's `migrate` may raise anything
            if self._file is None:
                raise
            # Of pydantic's error the text shows values.
            cause = None if hasattr(error, "errors") else error
            raise self._file.unusable(_reason(error)) from cause
        self._model, self._loaded = model, None
        self._saved = self._encoded() if version == wanted else None
        return model

    def save(self) -> None:
        """Write what has changed; when this returns, it survives a kill and a power cut.

        Raises:
            StateNotSerializable: It is not JSON, or larger than 1 MiB.
            StateNotSaved: The disk is full, or cannot be written.
            UnsafeConfiguration: Another user can write where it lies.
        """
        if self._loaded is None and self._model is None:
            return  # nobody has used it
        line = self._encoded()
        if len(line) > MAX_STATE_BYTES:
            raise StateNotSerializable(f"it has {len(line)} bytes, and may have {MAX_STATE_BYTES}")
        if line == self._saved:
            return
        if self._file is not None:
            self._file.write(line, _version_of(type(self._model)))
        self._saved = line

    def __getitem__(self, key: str) -> Any:
        """Return a value; a list or mapping may be changed in place."""
        return self._values()[key]

    def __setitem__(self, key: str, value: Any) -> None:
        """Set a value."""
        self._values()[key] = value

    def __delitem__(self, key: str) -> None:
        """Remove a value."""
        del self._values()[key]

    def __iter__(self) -> Iterator[str]:
        """Iterate over the keys."""
        return iter(self._values())

    def __len__(self) -> int:
        """Return how many values it holds."""
        return len(self._values())

    def __repr__(self) -> str:
        """Show the values."""
        return f"State({self._values() if self._model is None else self._model!r})"

    def _values(self) -> dict[str, Any]:
        if self._model is not None:
            raise DefinitionError(
                f"the state of this task is a {type(self._model).__name__}",
                fix="use what is injected; ctx.state.save() saves it",
            )
        if self._loaded is None:
            self._loaded, _ = self._read() or ({}, 0)
            self._saved = self._encoded()
        return self._loaded

    def _read(self) -> tuple[dict[str, Any], int] | None:
        if self._file is None:
            return (self._loaded, 1) if self._loaded else None
        return self._file.read()

    def _encoded(self) -> bytes:
        try:
            return encode_object(self._loaded if self._model is None else self._model)
        except ValueError as error:
            raise StateNotSerializable(str(error)) from None


def state_folder(job_id: str) -> Path:
    """Return where the states of a job's tasks lie; it need not exist.

    The agent of this package names the folder above it, as a real one does not.

    Raises:
        UnsafeConfiguration: That path is relative, or the user has no home.
    """
    if given := os.environ.get(STATE_VARIABLE):
        if not Path(given).is_absolute():
            why = "it would depend on the working folder"
            raise UnsafeConfiguration(f"{STATE_VARIABLE} is {given!r}", why, "give a whole path")
        return Path(given) / job_id
    return system_state_folder() / job_id


def system_state_folder() -> Path:
    """Return where this account keeps states without the agent of this package.

    Raises:
        UnsafeConfiguration: The user has no home.
    """
    from epm_task.trust import is_privileged  # noqa: PLC0415  # not every run has a state

    try:
        if sys.platform == "win32":
            if is_privileged():
                return Path(os.environ.get("PROGRAMDATA", r"C:\ProgramData"), _OURS)
            return Path.home() / "AppData" / "Local" / _OURS
        if sys.platform == "darwin":
            above = Path("/") if is_privileged() else Path.home()
            return above / "Library" / "Application Support" / _OURS
        return Path("/var/lib" if is_privileged() else Path.home() / ".local" / "state") / _OURS
    except RuntimeError as error:
        raise UnsafeConfiguration("the state has no place", str(error), "set HOME") from None


def _version_of(kind: type[object]) -> int:
    version: int = getattr(kind, "state_version", 1)
    return version


def _fitted(kind: type[Model], values: dict[str, Any], version: int) -> Model:
    wanted = _version_of(kind)
    if version > wanted:
        raise ValueError(f"it has version {version}, and this program knows {wanted}")
    if version < wanted:
        values = kind.migrate(values, version)  # type: ignore[attr-defined]  # see handler.py
    return kind.model_validate(values)


def _reason(error: Exception) -> str:
    """Return why a model refused values, without the values."""
    if hasattr(error, "errors"):
        return first_misfit(error)
    return str(error) if isinstance(error, ValueError) else type(error).__name__
