"""Recognise what holds a secret: by the name of a setting or an option, or by its type.

No pattern is compiled before it is used: a task process asks for types only.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, get_args, get_type_hints

if TYPE_CHECKING:
    from collections.abc import Iterable

#: What people see in the place of a secret.
MASK: Final = "********"

#: What a name of a secret holds, in any spelling: `db.password`, `apiKey`, `CLIENT_SECRET`.
_WORD: Final = (
    r"(?:passw(?:or)?d|passphrase|pwd|secret|token|credential|(?:api|private|access)[._-]?key)"
)
#: What is masked also: too vague to call an argument wrong for it.
_MASKED: Final = rf"(?:{_WORD}|\bauth(?:orization)?\b|\bpin\b)"
#: `--token=…` or `--token …`, and not `--token-file`.
_OPTION: Final = rf"--?[\w-]*{_WORD}s?(?:=|\s+)"
#: The value after an option, in quotes or not, as JSON writes it; a token in braces is none.
_VALUE: Final = r"(?!\\?\"?\{)(?:\\?\"[^\"]*\"|[^\s\"]+)"
#: `password=…`, `token: …` in plain text, with or without quotes. Each character is looked at a
#: bounded number of times: a name begins where no name goes on, and nothing of it is given back.
_ASSIGNMENT: Final = (
    rf"(?<![\w.-])(?P<name>(?=[\w.-]*?{_MASKED})[\w.-]++[\"']?\s*+[:=]\s*+)"
    r"(?P<value>\"[^\"]*\"|'[^']*'|\S+)"
)


def is_secret_name(name: str) -> bool:
    """Return whether a setting or a field with this name may hold a secret."""
    return re.search(_MASKED, name, re.IGNORECASE) is not None


def names_secret_itself(name: str) -> bool:
    """Return whether an argument with this name is a secret; `TokenFile` only leads to one."""
    return re.search(rf"{_WORD}s?$", name, re.IGNORECASE) is not None


def secret_options(arguments: str) -> list[str]:
    """Return the options in a line of arguments whose value is a secret."""
    found = re.findall(rf"(?<!\S)({_OPTION})(?!-)", arguments, re.IGNORECASE)
    return [option.rstrip("= \t") for option in found]


def hide_options(text: str) -> str:
    """Return the JSON text of arguments with `(hidden)` for the values of secret options."""
    return re.sub(rf"(?<![^\s\"])({_OPTION}){_VALUE}", r"\1(hidden)", text, flags=re.IGNORECASE)


def mask_text(text: str) -> str:
    """Return plain text with the values after secret names masked: `password=********`."""
    return re.sub(_ASSIGNMENT, lambda match: match["name"] + MASK, text, flags=re.IGNORECASE)


def secret_form(kind: object) -> str:
    """Return `text` or `bytes` for pydantic's two types of secrets, and nothing for others.

    The types are known by their names, because most tasks never load pydantic.
    """
    forms = {"SecretStr": "text", "SecretBytes": "bytes"}
    return forms.get(getattr(kind, "__name__", ""), "")


def holds_secret(kind: Any, seen: frozenset[int] = frozenset()) -> bool:
    """Return whether a value of the type has a secret in it, in a field of a field too."""
    if hasattr(kind, "get_secret_value"):
        return True
    if id(kind) in seen:  # a model may hold others of its kind
        return False
    return any(holds_secret(part, seen | {id(kind)}) for part in (*get_args(kind), *_inner(kind)))


def _inner(kind: Any) -> Iterable[Any]:
    """Return the types of a class's fields, or the one that an alias or a `NewType` means."""
    if (meant := getattr(kind, "__value__", getattr(kind, "__supertype__", None))) is not None:
        return (meant,)
    if (fields := getattr(kind, "model_fields", None)) is not None:
        return [field.annotation for field in fields.values()]
    if not any(hasattr(kind, name) for name in ("__dataclass_fields__", "__total__", "_fields")):
        return ()
    try:
        return get_type_hints(kind).values()
    except NameError:
        return ()  # pydantic refuses it, too
