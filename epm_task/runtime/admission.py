"""When a run may begin: at its machine's turn in the fleet, and while no other run goes on."""

from __future__ import annotations

import os
import socket
import sys
import time
from typing import TYPE_CHECKING, Final

from epm_task.errors import TaskError
from epm_task.exit_code import ExitCode
from epm_task.files import try_own
from epm_task.runtime.state import StateNotSaved, state_folder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from epm_task.runtime.declaration import Declaration
    from epm_task.runtime.invocation import Invocation
    from epm_task.runtime.log.log import Log

#: How often a run that waits looks whether the other one has ended.
_GLANCE_SECONDS: Final = 0.1
#: Of the hash, as many as a float holds exactly.
_HASH_BYTES: Final = 6


class AnotherRun(TaskError):
    """Another run of the task goes on, and `@task(overlap="skip")` wants one at a time."""

    exit_code: int = ExitCode.TEMPFAIL

    def __init__(self, task: str) -> None:
        super().__init__(
            f"this run of {task} was skipped",
            "another run of it goes on",
            'nothing, if that is meant; overlap="wait" runs after it',
        )


def delay_of(declaration: Declaration, invocation: Invocation) -> float:
    """Return the seconds by which this machine runs the job later than its schedule says.

    The same for a machine and a job, and evenly spread over a fleet. None for a run that a person
    or an event started: they do not start a whole fleet at one moment, and expect an answer.
    """
    minutes = declaration.spread_minutes
    if minutes is None or not invocation.spread or invocation.started_by:
        return 0.0
    job_id = invocation.job_id or declaration.job_id
    return spread(machine_id(), job_id) * minutes * 60


def spread(machine: str, job_id: str) -> float:
    """Return a number from 0 up to 1, the same for the same machine and job."""
    from hashlib import sha256  # noqa: PLC0415  # only a spread run pays for it

    digest = sha256(f"{machine}\0{job_id}".encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:_HASH_BYTES], "big") / (1 << 8 * _HASH_BYTES)


def machine_id() -> str:
    """Return what the system calls this machine, for good; its network name when it has no id.

    Machines that were cloned without a new id have the same one, and so have many containers.
    """
    return next((found for found in _machine_ids() if found), "") or socket.gethostname()


if sys.platform == "win32":

    def _machine_ids() -> Iterator[str]:
        import winreg  # noqa: PLC0415  # as above

        view = winreg.KEY_READ | winreg.KEY_WOW64_64KEY
        try:
            place = r"SOFTWARE\Microsoft\Cryptography"
            with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, place, 0, view) as key:
                yield str(winreg.QueryValueEx(key, "MachineGuid")[0]).strip()
        except OSError:
            return

elif sys.platform == "darwin":  # not run

    def _machine_ids() -> Iterator[str]:
        import ctypes  # noqa: PLC0415  # as above

        found = (ctypes.c_ubyte * 16)()
        wait = (ctypes.c_long * 2)(1, 0)  # a timespec: one second
        if ctypes.CDLL(None).gethostuuid(found, wait) == 0:
            yield bytes(found).hex()

else:

    def _machine_ids() -> Iterator[str]:
        for path in ("/etc/machine-id", "/var/lib/dbus/machine-id"):
            try:
                with open(path, encoding="ascii") as file:  # noqa: PTH123  # as short as it gets
                    found = file.read(100).strip()
            except (OSError, UnicodeDecodeError):
                continue
            yield "" if found == "uninitialized" else found  # systemd, before the first boot


def wait_for_turn(seconds: float, log: Log) -> None:
    """Sleep for *seconds*, after a record that says so; a stop interrupts it."""
    log.info("run_delayed", seconds=round(seconds, 1), why="spread_minutes")
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        time.sleep(min(left, 60.0))


def only_run(
    declaration: Declaration, task: str, job_id: str, log: Log
) -> AbstractContextManager[object]:
    """Return what keeps other runs of *task* out until it is closed; wait for one that goes on.

    The lock is the process's own: it ends with it, however it ends, and no child has it.

    Raises:
        AnotherRun: One goes on, and the task says `skip`.
        StateNotSaved: The folder of the lock cannot be used.
        UnsafeConfiguration: Another user can write in it.
    """
    from epm_task.trust import check_folder, open_to_write  # noqa: PLC0415  # few runs need it

    path = state_folder(job_id) / f"{task}.lock"
    try:
        check_folder(path.parent, make=0o700)
        held = os.fdopen(open_to_write(path), "r+b")
    except OSError as error:
        raise StateNotSaved(path, error, "locked") from error
    try:
        _take(held.fileno(), declaration, task, path, log)
    except BaseException:
        held.close()
        raise
    return held


def _take(descriptor: int, declaration: Declaration, task: str, path: Path, log: Log) -> None:
    began = time.monotonic()
    if try_own(descriptor):
        return
    if declaration.overlap == "skip":
        raise AnotherRun(task)
    log.info("waiting_for_other_run", lock=str(path))
    while not try_own(descriptor):
        time.sleep(_GLANCE_SECONDS)
    log.info("other_run_ended", seconds=round(time.monotonic() - began, 1))
