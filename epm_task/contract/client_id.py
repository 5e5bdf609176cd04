"""Make the MQTT client id of a run, and refuse a job id that a broker could not read out of it.

The vendor states one fact: the broker splits the client id on `_` to extract the job id. The exact
pattern is not public. Our assumption is the template below, and it is only here.
"""

from __future__ import annotations

import re
from typing import Final

from epm_task.contract.names import is_device
from epm_task.errors import BadClientIdTemplate, BadJobId

#: The job id is the first segment; the run id keeps two overlapping runs apart.
DEFAULT_TEMPLATE: Final = "{job_id}_{run_id}"

#: File name, folder name and URL segment at once: no separator, no `_`, no dot at either end, which
#: Windows takes away from the end of a name.
JOB_ID_PATTERN: Final = r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,126}[A-Za-z0-9-])?"
_PLACEHOLDER: Final = r"\{(\w+)\}"
_FOREIGN: Final = r"[^A-Za-z0-9.-]"
#: MQTT counts the bytes of a text in 16 bits.
_MAX_BYTES: Final = 65_535


def check_job_id(job_id: str) -> str:
    """Return *job_id* when the broker and the API can carry it.

    Raises:
        BadJobId: It holds `_`, or another character that is not a letter, digit, `.` or `-`; or
            Windows could not keep its file.
    """
    if re.fullmatch(JOB_ID_PATTERN, job_id) and not is_device(job_id):
        return job_id
    why = (
        "is not made of letters, digits, '.' and '-' (at most 128, no '-' first, no '.' at an end)"
    )
    if "_" in job_id:
        why = "holds an underscore, and the broker splits client ids on _ to find the job id"
    elif is_device(job_id):
        why = "is the name of a device on Windows, where no file can have it"
    raise BadJobId(job_id, why, usable_job_id(job_id))


def usable_job_id(text: str, *, otherwise: str = "my-job") -> str:
    """Return the job id that is nearest to *text*, or *otherwise* when nothing of it is left."""
    found = re.sub(_FOREIGN, "-", text).strip(".-")[:128].rstrip(".") or otherwise
    return f"job-{found}"[:128].rstrip(".") if is_device(found) else found


def make_client_id(
    job_id: str, run_id: str, *, job_name: str = "", template: str = DEFAULT_TEMPLATE
) -> str:
    """Return the client id of one run; only the template's own `_` separate its segments.

    Raises:
        BadJobId: The job id is not usable.
        BadClientIdTemplate: The job id is not a segment of its own, a placeholder is unknown, or
            the result is no text that MQTT can carry.
    """
    _job_id_segment(template)
    values = {"job_id": check_job_id(job_id), "run_id": run_id, "job_name": job_name}
    made = re.sub(_PLACEHOLDER, lambda match: re.sub(_FOREIGN, "-", values[match[1]]), template)
    if not made.isprintable() or len(made.encode()) > _MAX_BYTES:
        why = f"it has characters that are not printable, or more than {_MAX_BYTES} bytes"
        raise BadClientIdTemplate(template, why, DEFAULT_TEMPLATE)
    return made


def job_id_of(client_id: str, *, template: str = DEFAULT_TEMPLATE) -> str | None:
    """Return the job id that a broker reads out of *client_id*, or None when there is none."""
    segments = client_id.split("_")
    index = _job_id_segment(template)
    return segments[index] or None if index < len(segments) else None


def _job_id_segment(template: str) -> int:
    # `{job_id}` itself holds an underscore: placeholders are freed of it before the split.
    names = set(re.findall(_PLACEHOLDER, template))
    if unknown := sorted(names - {"job_id", "job_name", "run_id"}):
        why = f"{{{unknown[0]}}} is not a placeholder"
        raise BadClientIdTemplate(template, why, DEFAULT_TEMPLATE)
    segments = re.sub(_PLACEHOLDER, lambda m: "\0" + m[1].replace("_", ""), template).split("_")
    if segments.count("\0jobid") != 1:
        why = "{job_id} must be one whole segment between `_`"
        raise BadClientIdTemplate(template, why, DEFAULT_TEMPLATE)
    return segments.index("\0jobid")
