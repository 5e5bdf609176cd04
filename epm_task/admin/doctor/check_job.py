"""The job must be at the agent, enabled, meant for this system, and equal to the code."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from epm_task.admin.client import same_document
from epm_task.admin.doctor.check_agent import find_listener
from epm_task.admin.doctor.finding import Finding, fault, note, of_error, ok, unknown
from epm_task.admin.errors import AdminError, CredentialRefused, UnknownJob
from epm_task.admin.records import BrokerRecords
from epm_task.admin.run_history import last_run
from epm_task.contract.json_text import read_object
from epm_task.contract.names import (
    BROKER_HOST,
    BROKER_PORT,
    MQTT_PORT,
    SYSTEM_PLUGIN,
    allowed_systems,
    os_name,
)
from epm_task.contract.topic import KEEPER_LOGGER
from epm_task.exit_code import ExitCode, describe
from epm_task.job.merge import merge
from epm_task.runtime.tls import loopback_ip

if TYPE_CHECKING:
    from collections.abc import Iterator

    from epm_task.admin.answers import Document
    from epm_task.admin.doctor.finding import Case
    from epm_task.contract.layout import AgentRoot
    from epm_task.contract.run_history import EndedRun


_NAME: Final = "job"
#: More differences than these do not help to see the first.
_SHOWN: Final = 5


def check_job(case: Case) -> Iterator[Finding]:
    """Find the document at the agent, else in its folder, and look at it."""
    if case.job_id is None:
        return
    found = _ask_agent(case) or _look_into_folder(case)
    if isinstance(found, Finding):
        yield found
        return
    case.document = found
    if found.get("enabled", True) is False:
        yield fault(
            _NAME,
            f"{case.job_id} is disabled: neither schedule nor trigger starts it",
            'set "enabled": true and apply the document',
        )
    elif os_name() not in allowed_systems(found):
        yield note(_NAME, f"the osFilter of {case.job_id} excludes this system, {os_name()}")
    else:
        yield ok(_NAME, f"{case.job_id} is there and enabled")


def check_drift(case: Case) -> Iterator[Finding]:
    """Compare the document with the one that the code makes; what people added is no drift."""
    if case.built is None or case.document is None:
        return
    wanted = merge(case.document, case.built)
    if same_document(wanted, case.document):
        yield ok("drift", "the agent's document says what the code says")
        return
    places = list(differences(case.document, wanted))
    more = f" and {len(places) - _SHOWN} more" if len(places) > _SHOWN else ""
    yield fault(
        "drift",
        f"the agent's document is not what the code makes: {', '.join(places[:_SHOWN])}{more}",
        "epm-task job FILE -o FILE.json, then epm-task jobs apply FILE.json",
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


def _ask_agent(case: Case) -> Document | Finding | None:
    """Return the document, what is wrong, or None when the folder must tell."""
    if not case.answers or case.settings.credential.certificate is None:
        return None
    try:
        with case.client(certified=True) as client:
            return client.get_job(case.job_id or "")
    except UnknownJob:
        return fault(
            _NAME,
            f"the agent has no job {case.job_id}",
            f"epm-task jobs apply {case.job_id}.json; an id must match exactly",
        )
    except CredentialRefused:  # check_admin_tier has told it
        return None
    except AdminError as error:
        return of_error(_NAME, error)


def _look_into_folder(case: Case) -> Document | Finding:
    if case.root is None:
        return unknown(
            _NAME,
            f"nobody can be asked about {case.job_id}",
            "give a client certificate, or --agent-root",
        )
    file = case.root.jobs / f"{case.job_id}.json"
    if not file.exists():
        return fault(
            _NAME, f"there is no {file}", f"epm-task jobs apply {case.job_id}.json registers it"
        )
    try:
        return read_object(file)
    except ValueError as error:
        return fault(_NAME, f"{file}: {error}", "write it anew: epm-task job FILE -o")


def _short(value: Any) -> str:
    text = "absent" if value is None else json.dumps(value)
    return text if len(text) <= 40 else f"{text[:37]}…"


_NAME_CHECK_TOPICS: Final = "topics"


def check_topics(case: Case) -> Iterator[Finding]:
    """Compare what is published with what is allowed."""
    if case.document is None:
        return
    allowed = allowed_publications(case.document)
    if not allowed:
        yield fault(
            _NAME_CHECK_TOPICS,
            "the job allows no topics, so its tasks get no KEEPER_JOB_ID and cannot log",
            f'"mqttTopics": {{"allowedPublications": ["{KEEPER_LOGGER}"]}}',
        )
        return
    wanted = [KEEPER_LOGGER, *allowed_publications(case.built or {})]
    if event_topic := case.document.get("eventTopic"):
        wanted.append(str(event_topic))
    missing = [topic for topic in dict.fromkeys(wanted) if topic not in allowed]
    if missing:
        yield fault(
            _NAME_CHECK_TOPICS,
            f"{' and '.join(missing)} is not allowed: the agent drops what is published there, "
            "and the task cannot see it",
            "add it to mqttTopics.allowedPublications of the job, and apply the document",
        )
    else:
        yield ok(_NAME_CHECK_TOPICS, f"allowed: {', '.join(allowed)}")


def allowed_publications(document: dict[str, Any]) -> list[str]:
    """Return the topics on which the job's tasks may publish."""
    topics = document.get("mqttTopics")
    names = topics.get("allowedPublications") if isinstance(topics, dict) else None
    return [str(name) for name in names] if isinstance(names, list) else []


_NAME_CHECK_LAST_RUN: Final = "last run"

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
            _NAME_CHECK_LAST_RUN,
            "no run history can be read: the vendor documents none, and only this package's agent "
            "writes one",
            f"look into the agent's log, or see a run: epm-task jobs trigger {case.job_id} --wait",
        )
        return
    try:
        run = last_run(case.root.run_history, case.job_id)
    except OSError as error:
        yield unknown(
            _NAME_CHECK_LAST_RUN, f"{case.root.run_history}: {error.strerror}", "run this as root"
        )
        return
    if run is None:
        yield note(
            _NAME_CHECK_LAST_RUN,
            f"{case.job_id} has not run yet",
            f"epm-task jobs trigger {case.job_id}",
        )
        return
    yield _judge(run)
    for denial in run.denials:
        yield fault(
            _NAME_CHECK_LAST_RUN,
            f"the agent refused, unseen by the task: {denial}",
            "see tiers and topics above",
        )


def _judge(run: EndedRun) -> Finding:
    when = f"at {run.ended[:19]}" if run.ended else ""
    if why := run.skipped or run.problem:
        return fault(
            _NAME_CHECK_LAST_RUN, f"{when}: {why}", FIXES.get(run.exit_code, "correct the job")
        )
    late = ", ended by the agent at its timeoutSeconds" if run.timed_out else ""
    what = f"exit {run.exit_code} ({_meaning(run.exit_code)}){late} {when}".rstrip()
    if run.exit_code == 0:
        return ok(_NAME_CHECK_LAST_RUN, what)
    return fault(
        _NAME_CHECK_LAST_RUN, what, FIXES.get(run.exit_code, "the task's author knows this code")
    )


def _meaning(code: int) -> str:
    member = next((each for each in ExitCode if each == code), None)
    return f"{member.name}: {member.meaning}" if member else describe(code)


_NAME_CHECK_BROKER: Final = "broker"
#: The vendor's default; the agent's settings decide, and only tasks may read them.
_DEFAULT: Final = ("127.0.0.1", MQTT_PORT)


def check_broker(case: Case) -> Iterator[Finding]:
    """Connect as an administrator, where the broker is said to be."""
    known = case.broker or (_on_disk(case.root) if case.root else None)
    host, port = known or _DEFAULT
    try:
        found = find_listener(host, port)
    except OSError:
        found = None
    if found is None and known is None:
        yield unknown(
            _NAME_CHECK_BROKER,
            f"where the broker is only tasks may ask, and nobody listens on {host}:{port}, the "
            "usual place",
            "give --broker HOST:PORT",
        )
    elif found is None:
        yield fault(
            _NAME_CHECK_BROKER, f"nobody listens on {host}:{port}", "restart the agent's service"
        )
    elif not found.trusted:
        yield fault(
            _NAME_CHECK_BROKER,
            f"{host}:{port} is held by {found.who}: it may pose as the broker",
            "stop that process, then restart the agent's service",
        )
    else:
        yield _connect((host, port), case)


def _connect(address: tuple[str, int], case: Case) -> Finding:
    place = f"{address[0]}:{address[1]}"
    try:
        BrokerRecords(address, case.settings.credential, case.job_id or "").close()
    except CredentialRefused:
        return note(
            _NAME_CHECK_BROKER,
            f"{place} answers over TLS, and lets in neither this process nor its certificate",
            "tasks that the agent starts are let in by their process, not by a certificate",
        )
    except AdminError as error:
        return of_error(_NAME_CHECK_BROKER, error)
    return ok(
        _NAME_CHECK_BROKER, f"{place} answers over TLS, and lets an administrator read KeeperLogger"
    )


def _on_disk(root: AgentRoot) -> tuple[str, int] | None:
    """Return what the plugin's JSON says; a policy may have changed it since."""
    try:
        settings = read_object(root.plugins / f"{SYSTEM_PLUGIN}.json")
    except ValueError:
        return None
    host = loopback_ip(str(settings.get(BROKER_HOST, "127.0.0.1")))
    port = str(settings.get(BROKER_PORT, ""))
    return (host, int(port)) if host and port.isdecimal() and 0 < int(port) < 65_536 else None
