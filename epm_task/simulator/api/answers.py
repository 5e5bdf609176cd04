"""Read a request's JSON, answer with JSON, or refuse."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from epm_task.contract.json_text import BadJson, parse_object
from epm_task.simulator.web.exchange import BodyLost, json_response

if TYPE_CHECKING:
    from collections.abc import Sequence

    from epm_task.simulator.web.exchange import Request, Response

#: The media types that ASP.NET reads as JSON.
_JSON: Final = re.compile(r"(application|text)/json|application/[\w.-]+\+json")


class Refusal(Exception):
    """A request that is not served; *errors* go to the client, *reason* and *fix* to the trace."""

    def __init__(
        self,
        status: HTTPStatus,
        reason: str,
        *,
        errors: Sequence[str] | None = None,
        headers: dict[str, str] | None = None,
        fix: str = "",
    ) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.fix = fix
        self._errors = errors
        self._headers = headers

    def response(self) -> Response:
        """Return the answer; its `error` is the standard phrase of the status, never the reason."""
        payload: dict[str, object] = {"error": self.status.phrase}
        if self._errors is not None:
            payload["errors"] = list(self._errors)
        return json_response(payload, self.status, self._headers)


def invalid(errors: Sequence[str]) -> Refusal:
    """Return the refusal of a request whose content is wrong: 400 with `errors`."""
    return Refusal(HTTPStatus.BAD_REQUEST, "; ".join(errors), errors=errors)


def absent(reason: str) -> Refusal:
    """Return the refusal of a name that does not exist: 404."""
    return Refusal(HTTPStatus.NOT_FOUND, reason)


async def read_object(request: Request, *, optional: bool = False) -> dict[str, Any]:
    """Return the JSON object of a request's body; *optional* takes an empty body for an empty one.

    Raises:
        Refusal: 400 not a JSON object, 415 not declared as JSON.
        HttpError: 413: The body has more bytes than the server takes.
    """
    data = b""
    if request.has_body:
        _check_declaration(request)
        try:
            data = await request.read()
        except BodyLost as error:
            why = f"the body did not arrive: {error}"
            raise Refusal(HTTPStatus.BAD_REQUEST, why) from error
    if not data.strip():
        if optional:
            return {}
        raise invalid(["the body is empty; a JSON object is needed"])
    try:
        return parse_object(data)
    except BadJson as error:
        raise invalid([f"malformed JSON: {error}"]) from error


def _check_declaration(request: Request) -> None:
    if request.headers.get("Content-Encoding", "identity").casefold() != "identity":
        raise Refusal(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "a compressed body is not read")
    if not _JSON.fullmatch(request.media_type):
        why = f"the body is declared as {request.media_type}, not as application/json"
        raise Refusal(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, why)
