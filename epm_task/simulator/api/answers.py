"""An answer is the JSON that the API gives; a refusal is one that ends a handler early."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Sequence


def answer(payload: object, *, status: int = HTTPStatus.OK) -> web.Response:
    """Return *payload* as a JSON answer."""
    return web.json_response(payload, status=status)


class Refusal(Exception):
    """A request that is not served.

    Args:
        status: The HTTP status.
        reason: Why, for the trace; it does not reach the client.
        errors: What the client is told, in the `errors` array.
        headers: Further headers of the answer.
        close: Whether the connection ends, because the rest of the body was not read.
    """

    def __init__(
        self,
        status: HTTPStatus,
        reason: str,
        *,
        errors: Sequence[str] | None = None,
        headers: dict[str, str] | None = None,
        close: bool = False,
    ) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self._errors = errors
        self._headers = headers
        self._close = close

    def response(self) -> web.Response:
        """Return the answer; its `error` is the standard phrase of the status, never the reason."""
        payload: dict[str, object] = {"error": self.status.phrase}
        if self._errors is not None:
            payload["errors"] = list(self._errors)
        response = web.json_response(payload, status=self.status, headers=self._headers)
        if self._close:
            response.force_close()
        return response


def invalid(errors: Sequence[str]) -> Refusal:
    """Return the refusal of a request whose content is wrong: 400 with `errors`."""
    return Refusal(HTTPStatus.BAD_REQUEST, "; ".join(errors), errors=errors)


def absent(reason: str) -> Refusal:
    """Return the refusal of a name that does not exist: 404."""
    return Refusal(HTTPStatus.NOT_FOUND, reason)
