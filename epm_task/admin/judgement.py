"""A judgement turns an answer into the call's result, or into the error that its status means."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from epm_task.admin.answers import text, texts
from epm_task.admin.errors import (
    AdminError,
    AdminUnreachable,
    CredentialRefused,
    ForeignAnswer,
    JobRefused,
    OutcomeUnknown,
    UnknownJob,
)
from epm_task.runtime.json_object import decode_object

if TYPE_CHECKING:
    from epm_task.admin.call import Call
    from epm_task.runtime.wire import httpx

T = TypeVar("T")


def judge(call: Call[T], response: httpx.Response, url: str, *, certified: bool) -> T:
    """Return the result of *call*.

    Args:
        call: What was sent.
        response: The answer, with its whole body.
        url: The agent's base URL.
        certified: Whether a client certificate was shown.

    Raises:
        AdminError: The answer is no success, or not that of the API.
    """
    if not response.is_success:
        raise _refusal(call, response, url, certified=certified)
    try:
        # A deletion may be answered with nothing at all.
        return call.read(decode_object(response.content) if response.content else {})
    except ValueError as error:
        raise ForeignAnswer(url + call.path, str(error)) from error


def _refusal(call: Call[T], response: httpx.Response, url: str, *, certified: bool) -> AdminError:
    status = response.status_code
    if response.is_redirect:
        target = urlsplit(response.headers.get("Location", "")).netloc or "another path"
        return ForeignAnswer(url + call.path, f"a redirect ({status}) to {target}, not followed")
    if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        return CredentialRefused(
            str(call), _why_refused(status, certified=certified), status=status
        )
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        why = f"it answered {status}"
        return OutcomeUnknown(str(call), url, why) if call.changes else AdminUnreachable(url, why)
    return _spoken(call, status, response.content, url)


def _spoken(call: Call[T], status: int, body: bytes, url: str) -> AdminError:
    """Return the error that the agent explains in JSON."""
    found = _object(body)
    if found is None:
        return ForeignAnswer(url + call.path, f"an answer {status} that is no JSON object")
    if status == HTTPStatus.BAD_REQUEST:
        return JobRefused(str(call), texts(found, "errors") or (_message(found),))
    if status == HTTPStatus.NOT_FOUND:
        return UnknownJob(str(call), call.job_id)
    return ForeignAnswer(url + call.path, f"an answer {status}")


def _why_refused(status: int, *, certified: bool) -> str:
    shown = (
        "the client certificate that was shown does not have it"
        if certified
        else "no client certificate was shown"
    )
    return (
        f"{status}, over a TLS connection that works, so neither the network nor the agent's "
        f"certificate is the cause: the call needs the Admin tier, and {shown}"
    )


def _object(body: bytes) -> dict[str, Any] | None:
    try:
        return decode_object(body) if body else {}
    except ValueError:
        return None


def _message(found: dict[str, Any]) -> str:
    return text(found, "message") or text(found, "error") or "it gave no reason"
