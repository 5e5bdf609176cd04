"""Tests of the administrator's errors: the drawing of their tree, and what each says."""

from __future__ import annotations

import errno
import re
from pathlib import Path

import pytest

from epm_task.admin import errors

CLASSES = {
    name: kind
    for name, kind in vars(errors).items()
    if isinstance(kind, type) and issubclass(kind, errors.AdminError)
}
DRAWN = dict(re.findall(r"^[├└─ ]*(\w+) +(\d+|\*|74/77)  ", errors.__doc__ or "", re.MULTILINE))


def test_the_drawing_shows_every_class_with_its_exit_code() -> None:
    """A star means the code of the cause."""
    assert set(DRAWN) == set(CLASSES)
    fixed = {name: int(code) for name, code in DRAWN.items() if code.isdecimal()}
    assert {name: int(CLASSES[name].exit_code) for name in fixed} == fixed


CAUSE = errors.AdminUnreachable("https://127.0.0.1:1", "Connection refused")
SAMPLES = [
    errors.JobRefused("POST /api/Jobs", []),
    errors.UnknownJob("GET /api/Jobs/probe", "probe"),
    errors.UnknownJob("GET /health", ""),
    CAUSE,
    errors.OutcomeUnknown("POST /api/Jobs", "https://127.0.0.1:1", "no answer in time"),
    errors.ForeignAnswer("https://127.0.0.1:1", "a redirect"),
    errors.CredentialRefused("GET /api/Jobs", "403", status=403),
    errors.RolledBack(CAUSE, "nothing of probe is in place as before"),
    errors.UndoPending(KeyboardInterrupt(), CAUSE),
    errors.RecoveryPending("probe", "swap", CAUSE),
    errors.NotTidied("probe", 2, OSError(errno.EIO, "Input/output error")),
    errors.WriteRefused(PermissionError(errno.EACCES, "Permission denied"), Path("x")),
    errors.WriteRefused(OSError(errno.ENOSPC, "No space left on device"), Path("x")),
    errors.ApplyUnderWay(Path("x"), ""),
    errors.ProgramInUse(PermissionError(errno.EACCES, "Access is denied"), Path("x")),
]


@pytest.mark.parametrize("error", SAMPLES, ids=lambda error: type(error).__name__)
def test_every_error_says_what_to_do(error: errors.AdminError) -> None:
    """The sentence is one line that ends with it."""
    assert error.fix
    assert str(error).endswith(error.fix)
    assert "\n" not in str(error)


def test_the_exit_code_of_an_undone_apply_is_that_of_its_cause() -> None:
    """Ctrl-C, a refusal of the agent, and of the operating system."""
    assert errors.RolledBack(KeyboardInterrupt(), "").exit_code == 130
    assert errors.RolledBack(CAUSE, "").exit_code == 69
    assert errors.NotTidied("probe", 2, OSError()).exit_code == 74


def test_an_error_can_say_the_same_as_another() -> None:
    """With another class, and so another exit code."""
    same = errors.WrongUse.of(CAUSE)
    assert (str(same), same.fix, same.exit_code) == (str(CAUSE), CAUSE.fix, 64)
