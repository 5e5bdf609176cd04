"""Make and read the vendor's JobUpdate policy, which carries one job to a whole fleet.

The vendor documents `PolicyType`, and of `Extension` the fields `JobId`, `Action` and `JobJson`.
All other fields belong to the policy service; they pass through from a policy that it has made.
"""

from __future__ import annotations

from contextlib import suppress
from types import NoneType
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, TypeAlias, get_args

from epm_task.admin.deploy.plan import Part, field_parts
from epm_task.admin.errors import BadPolicy
from epm_task.contract.client_id import check_job_id
from epm_task.contract.json_text import BadJson, encoded, format_json, write_json
from epm_task.errors import BadJobId
from epm_task.job.document import JobDocument
from epm_task.job.json_source import read_source

if TYPE_CHECKING:
    from collections.abc import Mapping

Action: TypeAlias = Literal["Add", "Update", "Delete"]

_TYPE: Final = "JobUpdate"
_DUMP: Final = "dump one with `epm policy view NAME --format json` of the vendor's command line"
ACTIONS: Final[tuple[Action, ...]] = get_args(Action)


class Policy(NamedTuple):
    """What its `Extension` says, with no document for Delete, and the whole policy as it came."""

    job_id: str
    action: Action
    document: dict[str, Any] | None
    raw: dict[str, Any]

    def text(self) -> str:
        """Return the policy as JSON."""
        return format_json(self.raw)


def make_policy(
    job_id: str,
    action: Action,
    document: Mapping[str, Any] | None,
    base: Mapping[str, Any] | None = None,
) -> Policy:
    """Return the policy that carries a job, with the other fields of *base* in their order.

    *base* is the `raw` of a policy that was read here.

    Raises:
        BadPolicy: The id or the document cannot be used.
    """
    known = dict(base or {})
    extension = known.get("Extension") or {}
    try:
        check_job_id(job_id)
    except BadJobId as error:
        raise BadPolicy.of(error) from None
    carried = None if action == "Delete" else document
    if carried is None and action != "Delete":
        raise BadPolicy(f"a policy with the action {action} carries a job", fix="give its document")
    if carried is not None and carried.get("id") != job_id:
        raise BadPolicy(
            f"the document is that of {carried.get('id')!r}, not of {job_id!r}",
            fix="give the document of this job",
        )
    extension = {**extension, "JobId": job_id, "Action": action}
    extension.pop("JobJson", None)
    if carried is not None:
        extension["JobJson"] = _one_line(carried)
    raw = {**known, "PolicyType": _TYPE, "Extension": extension}
    return Policy(job_id, action, None if carried is None else dict(carried), raw)


def read_policy(data: bytes) -> Policy:
    """Return the policy in *data*.

    Raises:
        BadPolicy: It is not a JobUpdate policy; the message says what is wrong.
    """
    raw = _read_object(data)
    extension = raw.get("Extension")
    if raw.get("PolicyType") != _TYPE or not isinstance(extension, dict):
        raise BadPolicy(
            "it is not a policy", fix=f"write PolicyType {_TYPE!r}, and an object as Extension"
        )
    action, job_id = extension.get("Action"), extension.get("JobId")
    if action not in ACTIONS or not isinstance(job_id, str):
        raise BadPolicy(
            "Extension has no usable JobId and Action",
            fix=f"write JobId as text, and an Action of {', '.join(ACTIONS)}",
        )
    return Policy(job_id, action, _carried(extension), raw)


def read_base(data: bytes) -> Policy:
    """Return the policy that the vendor's command line dumps, of which another one is made.

    Such a dump is the policy itself: PolicyName, PolicyType, Status, Rules, MachineCheck, and so on
    (`epm policy view` of Commander 18). Its job is there when JobJson can be read.

    Raises:
        BadPolicy: It is not a policy of the type JobUpdate.
    """
    raw = _read_object(data)
    kind, extension = raw.get("PolicyType"), raw.get("Extension") or {}
    if kind is None:
        raise BadPolicy("it holds no policy", "it has no PolicyType", _DUMP)
    if kind != _TYPE:
        raise BadPolicy(
            f"it is a policy of the type {str(kind)[:40]!r}, not {_TYPE!r}",
            fix=f"make one in the console's advanced mode, with the PolicyType {_TYPE!r}",
        )
    if not isinstance(extension, dict):
        raise BadPolicy("its Extension is not an object", fix=_DUMP)
    document = None
    with suppress(BadPolicy):  # it is replaced
        document = _job_in(extension)
    return Policy(str(extension.get("JobId") or ""), "Add", document, raw)


def _read_object(data: bytes) -> dict[str, Any]:
    """Return the object in *data*, with the order and the digits that it has."""
    try:
        value = read_source(data).value
    except BadJson as error:
        raise BadPolicy.of(error, "it is not JSON") from None
    if not isinstance(value, dict):
        kind = {list: "a list", NoneType: "null"}.get(type(value), "no object")
        raise BadPolicy(f"it is {kind}, not a policy", "a policy is one JSON object", _DUMP)
    return value


def policy_parts(present: Policy, wanted: Policy) -> list[Part]:
    """Return in what two policies differ: action, id, and the fields of the job."""
    parts = [
        Part("change", f"/Extension/{name}", str(one), str(other))
        for name, one, other in (
            ("JobId", present.job_id, wanted.job_id),
            ("Action", present.action, wanted.action),
        )
        if one != other
    ]
    if present.document is None or wanted.document is None:
        return parts
    return [*parts, *field_parts("", present.document, wanted.document)]


def _carried(extension: Mapping[str, Any]) -> dict[str, Any] | None:
    text = extension.get("JobJson")
    if extension["Action"] == "Delete":
        if text is not None:
            raise BadPolicy("a policy that deletes has no JobJson", fix="leave it out")
        return None
    return _job_in(extension)


def _job_in(extension: Mapping[str, Any]) -> dict[str, Any]:
    text = extension.get("JobJson")
    if not isinstance(text, str):
        raise BadPolicy(
            "Extension.JobJson is not text", fix="write the job document as one JSON text"
        )
    try:
        document = JobDocument.parse(encoded(text)).raw
    except BadJson as error:
        raise BadPolicy.of(error, "Extension.JobJson holds no job document") from None
    if document.get("id") != extension.get("JobId"):
        raise BadPolicy(
            f"JobJson is the job {document.get('id')!r}, and JobId names another",
            fix="correct one of them",
        )
    return document


def _one_line(document: Mapping[str, Any]) -> str:
    # A lone surrogate becomes an escape of the job itself, not of the policy around it.
    text = write_json(document).decode()
    # The line ends of the writer are never inside a text: those are escaped.
    return "".join(line.lstrip(" ") for line in text.split("\n"))
