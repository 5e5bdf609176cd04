"""A secret mask hides what a name says to be secret, before it is written into a recording."""

from __future__ import annotations

import re
from typing import Any, Final

#: What stands in the place of a secret.
MASK: Final = "********"

#: A whole word of a name in any spelling: `db.password`, `apiKey`, `CLIENT_SECRET`.
_SECRET_NAME: Final = re.compile(
    r"passw(or)?d|passphrase|pwd|secret|token|credential|api[._-]?key|private[._-]?key"
    r"|access[._-]?key|\bauth(orization)?\b|\bpin\b",
    re.IGNORECASE,
)
#: `password=…`, `token: …` in plain text, with or without quotes.
_SECRET_IN_TEXT: Final = re.compile(
    r"(?P<name>[\w.-]*(?:" + _SECRET_NAME.pattern + r")[\w.-]*[\"']?\s*[:=]\s*)"
    r"(?P<value>\"[^\"]*\"|'[^']*'|\S+)",
    re.IGNORECASE,
)


def is_secret_name(name: str) -> bool:
    """Return whether a setting key or a field with this name holds a secret."""
    return _SECRET_NAME.search(name) is not None


def mask_value(value: Any, *, name: str = "") -> Any:
    """Return *value* with every secret in it masked, however deep it stands.

    Args:
        value: A JSON value.
        name: What it is called where it stands.
    """
    if value is not None and is_secret_name(name):
        return MASK
    if isinstance(value, dict):
        return {key: mask_value(inner, name=str(key)) for key, inner in value.items()}
    if isinstance(value, list):
        return [mask_value(inner) for inner in value]
    return mask_text(value) if isinstance(value, str) else value


def mask_text(text: str) -> str:
    """Return *text* with the values after secret names masked: `password=********`."""
    return _SECRET_IN_TEXT.sub(lambda match: match["name"] + MASK, text)
