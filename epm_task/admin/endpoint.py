"""An endpoint is a function that makes a call, bound to a client as one of its methods.

The function is written once. On an `AdminClient` the method returns the result, on an
`AsyncAdminClient` what is awaited for it; type checkers know which.
"""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, Self, TypeVar, overload

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from epm_task.admin.async_client import AsyncAdminClient
    from epm_task.admin.call import Call
    from epm_task.admin.client import AdminClient

P = ParamSpec("P")
T = TypeVar("T")


class Endpoint(Generic[P, T]):
    """A descriptor; the class attribute of a client.

    Args:
        make: Returns the call for the arguments of the method.
    """

    def __init__(self, make: Callable[P, Call[T]]) -> None:
        self._make = make
        self.__doc__ = make.__doc__

    @overload
    def __get__(self, client: None, owner: type) -> Self: ...
    @overload
    def __get__(self, client: AdminClient, owner: type) -> Callable[P, T]: ...
    @overload
    def __get__(self, client: AsyncAdminClient, owner: type) -> Callable[P, Awaitable[T]]: ...
    def __get__(self, client: Any, owner: type) -> Any:
        """Return the method of *client*."""
        if client is None:
            return self

        @wraps(self._make)
        def method(*args: P.args, **kwargs: P.kwargs) -> Any:
            return client.send(self._make(*args, **kwargs))

        return method
