"""The exit codes, by which the agent learns how a run ended."""

from __future__ import annotations

from enum import IntEnum
from typing import Self


class ExitCode(IntEnum):
    """What the exit code of a task means; 2 to 63 are free for the task's author.

    The values from 64 to 78 are those of BSD `sysexits.h`, 124 and 125 those of GNU `timeout`,
    130, 143 and 149 are 128 plus the number of the signal (SIGBREAK is 21 on Windows).
    """

    meaning: str

    def __new__(cls, value: int, meaning: str) -> Self:
        """Attach the meaning, one line of plain text, to the number."""
        member = int.__new__(cls, value)
        member._value_ = value
        member.meaning = meaning
        return member

    OK = 0, "the handler returned"
    FAILED = 1, "the handler raised TaskFailed"
    USAGE = 64, "an argument is wrong, still holds a {Token}, or the job id is not usable"
    DATAERR = 65, "a setting, or what the task keeps between runs, is there and not usable"
    NOINPUT = 66, "the plugin or the setting is unknown to the agent (404)"
    UNAVAILABLE = 69, "the agent or its broker cannot be reached"
    SOFTWARE = 70, "the handler crashed, or returned what cannot be written as JSON"
    OSERR = 71, "the system has no descriptor, thread or memory left for the run"
    IOERR = 74, "records, the result or the state were not taken, or strict logs not acknowledged"
    TEMPFAIL = 75, "a temporary failure, or another run goes on; a later run may succeed"
    PROTOCOL = 76, "the agent answered with something that is not its API"
    NOPERM = 77, "the agent never registered this process (403 for the whole window)"
    CONFIG = 78, "the configuration is unsafe; nothing was sent"
    DEADLINE = 124, "the task reached its own deadline"
    FORCED = 125, "the handler did not stop when it was asked to, and was ended"
    SIGINT = 130, "stopped by SIGINT"
    SIGTERM = 143, "stopped by SIGTERM"
    SIGBREAK = 149, "stopped by CTRL_BREAK"


#: The exit codes that a task's author may choose: `TaskFailed("…", exit_code=3)`.
AUTHOR_CODES = range(1, 64)


def describe(code: int) -> str:
    """Return the name of *code* for people: `NOPERM`, `the author's own`, `signal 9`."""
    if code in {member.value for member in ExitCode}:  # `in ExitCode` needs Python 3.12
        return next(member.name for member in ExitCode if member == code)
    if code in AUTHOR_CODES:
        return "the author's own"
    return f"signal {-code}" if code < 0 else "not one of ours"
