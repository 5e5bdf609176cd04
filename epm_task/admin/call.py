"""A call is one request of the API together with what its answer means."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """What is sent, and how its answer is read.

    Attributes:
        method: The HTTP method.
        path: The whole path, quoted.
        read: Makes the result of the answer's JSON object; it raises ValueError when it cannot.
        body: What is sent as JSON; None sends none.
        job_id: The job that the path names.
        changes: Whether the agent may have changed something when no answer comes.
    """

    method: str
    path: str
    read: Callable[[dict[str, Any]], T]
    body: Mapping[str, Any] | None = None
    job_id: str = ""
    changes: bool = False

    def __str__(self) -> str:
        """Return `POST /api/Jobs`."""
        return f"{self.method} {self.path}"
