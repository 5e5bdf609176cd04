"""The topics that a task declares before it publishes on them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from epm_task.errors import DefinitionError

if TYPE_CHECKING:
    from collections.abc import Mapping

#: The topic to which the agent's log subscribes.
KEEPER_LOGGER: Final = "KeeperLogger"

#: MQTT writes a topic's length in two bytes.
_MAX_BYTES: Final = 65_535

Payload = TypeVar("Payload")


class Topic(Generic[Payload]):
    """An MQTT topic with the type of its payload.

    Args:
        name: Exact name, as in `mqttTopics.allowedPublications`; no wildcards.
        payload: Type of the payload: a mapping, a dataclass or a pydantic model.

    Raises:
        DefinitionError: The name is empty, too long, or holds `+`, `#`, NUL or a leading `$`.
    """

    __slots__ = ("name", "payload")

    def __init__(self, name: str, payload: type[Payload] | None = None) -> None:
        """Check the name."""
        if not name or len(name.encode("utf-8", "surrogatepass")) > _MAX_BYTES:
            what = f"Topic({name[:40]!r}): a topic name has 1 to {_MAX_BYTES} bytes"
            raise DefinitionError(what, fix="give another name")
        if name.startswith("$") or any(character in name for character in "+#\0"):
            what = f"Topic({name!r}): the agent allows exact names"
            raise DefinitionError(what, fix="remove '+', '#', NUL or the '$'")
        self.name: Final = name
        self.payload: Final = payload

    def __repr__(self) -> str:
        """Return the call that makes this topic."""
        payload = f", payload={self.payload.__name__}" if self.payload else ""
        return f"Topic({self.name!r}{payload})"


def allowed_publications(document: Mapping[str, Any]) -> list[str]:
    """Return the topics on which a job document lets its tasks publish, whatever it holds."""
    topics = document.get("mqttTopics")
    names = topics.get("allowedPublications") if isinstance(topics, dict) else None
    return [name for name in names if isinstance(name, str)] if isinstance(names, list) else []
