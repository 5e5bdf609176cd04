"""Check the job: its document, its topics, the plugins that it needs, and its last run."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from epm_task.admin.client import same_document
from epm_task.admin.doctor.finding import (
    Finding,
    is_there,
    ok,
    problem,
    read_there,
    unknown,
    warning,
)
from epm_task.admin.errors import CredentialRefused, UnknownJob
from epm_task.admin.log_files import JobLines, files_of, recent_lines, recent_runs
from epm_task.contract.json_text import BadJson
from epm_task.contract.names import SYSTEM_PLUGIN, allowed_systems, os_name
from epm_task.contract.record import LEVEL, MESSAGE, RUN_ID, TIMESTAMP
from epm_task.contract.topic import KEEPER_LOGGER, allowed_publications
from epm_task.exit_code import ExitCode, describe
from epm_task.job.merge import merge

if TYPE_CHECKING:
    from collections.abc import Iterator

    from epm_task.admin.answers import Document
    from epm_task.admin.doctor.finding import Setup
    from epm_task.contract.run_history import EndedRun

#: More differences than these do not help to see the first.
_SHOWN: Final = 5

#: What to do about each exit code of a task of this package; and about those of a shell.
FIXES: Final[dict[int, str]] = {
    1: "the handler said why in its last record and on stderr",
    ExitCode.USAGE: "compare the job's arguments and parameters with `python FILE --help`",
    ExitCode.DATAERR: "correct the setting that stderr names, in the policy or the plugin's JSON",
    ExitCode.NOINPUT: "deploy the plugin, or correct plugin= of the settings: names match exactly",
    ExitCode.UNAVAILABLE: "see the port and the broker above and below",
    ExitCode.SOFTWARE: "the traceback is in the last record",
    ExitCode.OSERR: "raise the limits of the agent's processes, or end what uses them up",
    ExitCode.IOERR: "see the topics and the broker, and that stderr and stdout are read",
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


def check_job(setup: Setup) -> Iterator[Finding]:
    """Find the document at the agent, else in its folder, and look at it."""
    if setup.job_id is None:
        return
    found = _ask_agent(setup, setup.job_id) or _look_into_folder(setup, setup.job_id)
    if isinstance(found, Finding):
        yield found
        return
    setup.document = found
    if found.get("enabled", True) is False:
        yield problem(
            "job",
            f"{setup.job_id} is disabled",
            "neither schedule nor trigger starts it",
            fix='set "enabled": true and apply the document',
        )
    elif os_name() not in allowed_systems(found):
        yield warning("job", f"the osFilter of {setup.job_id} excludes this system, {os_name()}")
    else:
        yield ok("job", f"{setup.job_id} is there and enabled")


def _ask_agent(setup: Setup, job_id: str) -> Document | Finding | None:
    """Return the document, what is wrong, or None when the folder must tell."""
    if not setup.answers or setup.settings.credential.certificate is None:
        return None
    try:
        with setup.client(certified=True) as client:
            return client.get_job(job_id)
    except UnknownJob:
        fix = f"epm-task jobs apply {job_id}.json; an id must match exactly"
        return problem("job", f"the agent has no job {job_id}", fix=fix)
    except CredentialRefused:  # check_admin_tier has told it
        return None


def _look_into_folder(setup: Setup, job_id: str) -> Document | Finding:
    if setup.root is None:
        fix = "give a client certificate, or --agent-root"
        return unknown("job", f"nobody can be asked about {job_id}", fix=fix)
    file = setup.root.jobs / f"{job_id}.json"
    try:
        document = read_there(file)
    except BadJson as error:
        fix = "write it anew: epm-task job FILE -o"
        return problem("job", f"{file}: {error.what}", error.why, fix=fix)
    if document is None:
        fix = f"register it: epm-task jobs apply {job_id}.json"
        return problem("job", f"{file} does not exist", fix=fix)
    return document


def check_drift(setup: Setup) -> Iterator[Finding]:
    """Compare the document with the one that the code makes; what people added is fine."""
    if setup.built is None or setup.document is None:
        return
    wanted = merge(setup.document, setup.built)
    if same_document(wanted, setup.document):
        yield ok("drift", "the agent's document says what the code says")
        return
    places = list(differences(setup.document, wanted))
    more = f" and {len(places) - _SHOWN} more" if len(places) > _SHOWN else ""
    yield problem(
        "drift",
        "the agent's document is not what the code makes",
        f"{', '.join(places[:_SHOWN])}{more}",
        fix="epm-task job FILE -o FILE.json, then epm-task jobs apply FILE.json",
    )


def differences(one: Any, other: Any, pointer: str = "") -> Iterator[str]:
    """Yield the JSON pointers at which two values differ, with both values."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in {**one, **other}:
            yield from differences(one.get(key), other.get(key), f"{pointer}/{key}")
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for index, pair in enumerate(zip(one, other, strict=True)):
            yield from differences(*pair, f"{pointer}/{index}")
    elif json.dumps(one) != json.dumps(other):
        yield f"{pointer} is {_short(one)}, in the code {_short(other)}"


def _short(value: Any) -> str:
    text = "absent" if value is None else json.dumps(value)
    return text if len(text) <= 40 else f"{text[:37]}…"


def check_topics(setup: Setup) -> Iterator[Finding]:
    """Compare what is published with what is allowed."""
    if setup.document is None:
        return
    allowed = allowed_publications(setup.document)
    if not allowed:
        yield problem(
            "topics",
            "the job allows no topics",
            "so its tasks get no KEEPER_JOB_ID and cannot log",
            fix=f'"mqttTopics": {{"allowedPublications": ["{KEEPER_LOGGER}"]}}',
        )
        return
    wanted = [KEEPER_LOGGER, *allowed_publications(setup.built or {})]
    if event_topic := setup.document.get("eventTopic"):
        wanted.append(str(event_topic))
    if missing := [topic for topic in dict.fromkeys(wanted) if topic not in allowed]:
        yield problem(
            "topics",
            f"{' and '.join(missing)} is not allowed",
            "the agent drops what is published there, and the task cannot see it",
            fix="add it to mqttTopics.allowedPublications of the job, and apply the document",
        )
    else:
        yield ok("topics", f"allowed: {', '.join(allowed)}")


def check_plugins(setup: Setup) -> Iterator[Finding]:
    """Look for the JSON of each plugin in the agent's folder."""
    for plugin in setup.plugins:
        if plugin == SYSTEM_PLUGIN:
            continue
        if setup.root is None:
            yield unknown("plugin", f"whether the agent knows {plugin} only its folder tells")
            continue
        file = setup.root.plugins / f"{plugin}.json"
        try:
            settings = read_there(file)
        except BadJson as error:
            fix = "correct the file, then revert the plugin's settings"
            yield problem("plugin", f"{file}: {error.what}", error.why, fix=fix)
            continue
        if settings is None and _last_run_is_ok(setup):
            yield ok("plugin", f"the last run has read the settings of {plugin}")
        elif settings is None:
            yield _unregistered(plugin, f"{file} does not exist")
        else:
            yield ok("plugin", f"{plugin} has its settings in {file}")


def _last_run_is_ok(setup: Setup) -> bool:
    history = setup.root.run_history if setup.root else None
    if history is None or setup.job_id is None or not is_there(history):
        return False
    runs = recent_runs(history, setup.job_id)
    return bool(runs) and runs[-1].exit_code == 0 and not runs[-1].skipped


def _unregistered(plugin: str, what: str) -> Finding:
    return unknown(
        "plugin",
        what,
        f"unless a policy or the agent itself defines {plugin}, it is not registered, and a task "
        "that asks for its settings ends with exit code 66",
        fix=f"deploy the plugin {plugin}, or correct plugin= of the task's settings",
    )


def check_last_run(setup: Setup) -> Iterator[Finding]:
    """Explain how the last run ended."""
    if setup.job_id is None:
        return
    history = setup.root.run_history if setup.root else None
    if history is None or not is_there(history):
        yield unknown(
            "last run",
            "no run history can be read",
            "the vendor documents none, and only this package's agent writes one",
            fix="look into the agent's log, or see a run: "
            f"epm-task jobs trigger {setup.job_id} --wait",
        )
        return
    runs = recent_runs(history, setup.job_id)
    if not runs:
        fix = f"epm-task jobs trigger {setup.job_id}"
        yield warning("last run", f"{setup.job_id} has not run yet", fix=fix)
        return
    run = runs[-1]
    yield _judge(run)
    for task in run.failures:
        if lines := task.stderr_lines:
            yield warning("last run", task.heading, "\n".join(lines))
    for denial in run.denials:
        fix = "see tiers and topics above"
        yield problem("last run", "the agent refused, unseen by the task", denial, fix=fix)


def _judge(run: EndedRun) -> Finding:
    when = f" at {run.ended[:19]}" if run.ended else ""
    if why := run.skipped or run.problem:
        cause = next((task.start_error for task in run.failures if task.start_error), None)
        if cause:
            return problem("last run", f"{cause.what}{when}", cause.why, fix=cause.fix)
        fix = FIXES.get(run.exit_code, "correct the job")
        return problem("last run", f"it could not run{when}", why, fix=fix)
    late = ", ended by the agent at its timeoutSeconds" if run.timed_out else ""
    what = f"exit {run.exit_code} ({_meaning(run.exit_code)}){late}{when}"
    if run.exit_code == 0:
        return ok("last run", what)
    return problem(
        "last run", what, fix=FIXES.get(run.exit_code, "the task's author knows this code")
    )


def check_log(setup: Setup) -> Iterator[Finding]:
    """Look for the job's records in the agent's log, and for an error among the last run's."""
    if setup.root is None:
        fix = "give --agent-root"
        yield unknown("log", "the agent's log is in its folder, which is not known", fix=fix)
        return
    logs = setup.root.all_logs()
    files = sorted(file for log in logs for file in files_of(log))
    if not files:
        fix = "log.file.path of Plugins/KeeperLogger.json says where the agent writes it"
        yield unknown("log", f"no log is at {' or '.join(map(str, logs))}", fix=fix)
        return
    lines, place = recent_lines(logs), f"the log, {files[-1].path}"
    if setup.job_id is None:
        yield ok("log", f"{place} can be read")
        return
    records = JobLines(setup.job_id).records(lines)
    last = [each for each in records if each.get(RUN_ID) == records[-1].get(RUN_ID)]
    errors = [each for each in last if each.get(LEVEL) in {"Error", "Critical"}]
    if errors:
        what = f"{setup.job_id} logged {errors[-1].get(LEVEL)} in its last run"
        yield warning("log", what, f"{errors[-1].get(TIMESTAMP)} {errors[-1].get(MESSAGE)}")
    elif records:
        yield ok("log", f"{place}, has records of {setup.job_id}, and no error of its last run")
    else:
        why = (
            "it has not run, its topics are not allowed, or the agent keeps Warning and above only"
        )
        yield warning("log", f"{place}, has no record of {setup.job_id}", why)


def _meaning(code: int) -> str:
    member = next((each for each in ExitCode if each == code), None)
    return f"{member.name}: {member.meaning}" if member else describe(code)
