"""The last run of the job tells most, when the agent writes a run history."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from epm_task.admin.doctor.finding import Finding, fault, note, ok, unknown
from epm_task.admin.run_history import EndedRun, last_run
from epm_task.exit_code import ExitCode, describe

if TYPE_CHECKING:
    from collections.abc import Iterator

    from epm_task.admin.doctor.case import Case

_NAME: Final = "last run"

#: What to do about each exit code of a task of this package; and about those of a shell.
FIXES: Final = {
    1: "the handler said why in its last record and on stderr",
    ExitCode.USAGE: "compare the job's arguments and parameters with `python FILE --help`",
    ExitCode.DATAERR: "correct the setting that stderr names, in the policy or the plugin's JSON",
    ExitCode.NOINPUT: "deploy the plugin, or correct plugin= of the settings: names match exactly",
    ExitCode.UNAVAILABLE: "see the port and the broker above and below",
    ExitCode.SOFTWARE: "the traceback stands in the last record",
    ExitCode.IOERR: "see the topics and the broker; the records stand on stderr",
    ExitCode.TEMPFAIL: "run it again later",
    ExitCode.PROTOCOL: "another program answers at the base URL that the job passes",
    ExitCode.NOPERM: "no wrapper, no one-file executable; or a longer --registration-timeout",
    ExitCode.CONFIG: "stderr names what was not safe; nothing was sent",
    ExitCode.DEADLINE: "raise timeout_seconds and timeoutSeconds, or do less in one run",
    ExitCode.FORCED: "let the handler return when ctx.stopping is set",
    126: "chmod 755 the program; a script needs a #! line",
    127: "put the program in its place",
    -9: "the agent killed it, at its timeoutSeconds or at its own end; or memory was short",
}


def check_last_run(case: Case) -> Iterator[Finding]:
    """Explain how the last run ended."""
    if case.job_id is None:
        return
    if case.root is None or not case.root.run_history.exists():
        yield unknown(
            _NAME,
            "no run history can be read: the vendor documents none, and only this package's agent "
            "writes one",
            f"look into the agent's log, or see a run: epm-task jobs trigger {case.job_id} --wait",
        )
        return
    try:
        run = last_run(case.root.run_history, case.job_id)
    except OSError as error:
        yield unknown(_NAME, f"{case.root.run_history}: {error.strerror}", "run this as root")
        return
    if run is None:
        yield note(_NAME, f"{case.job_id} has not run yet", f"epm-task jobs trigger {case.job_id}")
        return
    yield _judge(run)
    for denial in run.denials:
        yield fault(
            _NAME, f"the agent refused, unseen by the task: {denial}", "see tiers and topics above"
        )


def _judge(run: EndedRun) -> Finding:
    when = f"at {run.ended[:19]}" if run.ended else ""
    if why := run.skipped or run.problem:
        return fault(_NAME, f"{when}: {why}", FIXES.get(run.exit_code, "correct the job"))
    late = ", ended by the agent at its timeoutSeconds" if run.timed_out else ""
    what = f"exit {run.exit_code} ({_meaning(run.exit_code)}){late} {when}".rstrip()
    if run.exit_code == 0:
        return ok(_NAME, what)
    return fault(_NAME, what, FIXES.get(run.exit_code, "the task's author knows this code"))


def _meaning(code: int) -> str:
    member = next((each for each in ExitCode if each == code), None)
    return f"{member.name}: {member.meaning}" if member else describe(code)
