"""A parameter is one named, typed value that the agent passes on the command line."""

from __future__ import annotations

import types
from inspect import Parameter as _Signature
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Union, get_args, get_origin

from epm_task.errors import InvalidArgument
from epm_task.runtime.parse_text import parser_for

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Stands for "no default": the parameter is required.
REQUIRED: Final = _Signature.empty

_TRUE: Final = frozenset({"true", "1", "yes", "on"})
_FALSE: Final = frozenset({"false", "0", "no", "off"})


class Parameter(NamedTuple):
    """One parameter of a handler, or one of the runtime's own arguments.

    Attributes:
        name: Name in the function's signature.
        kind: Type, freed of `| None` and `list[…]`.
        default: Value when it is not given; `REQUIRED` when it must be.
        repeated: The option may stand several times and yields a list.
        help: One line for `--help`.
        raw: The text is taken as it is, braces included.
    """

    name: str
    kind: Any
    default: Any = REQUIRED
    repeated: bool = False
    help: str = ""
    raw: bool = False

    @property
    def required(self) -> bool:
        """Whether a run without it is refused."""
        return self.default is REQUIRED

    @property
    def secret(self) -> bool:
        """Whether the value comes from a file, because argv can be read by every local user."""
        return getattr(self.kind, "__name__", "") in {"SecretStr", "SecretBytes"}

    @property
    def flag(self) -> bool:
        """Whether the option may stand without a value."""
        return self.kind is bool and not self.repeated

    @property
    def option(self) -> str:
        """The option's spelling: `--max-bytes`, `--token-file` for a secret."""
        return f"--{self.name.replace('_', '-')}{'-file' if self.secret else ''}"

    @property
    def token(self) -> str:
        """The name of the job's parameter for it: `MaxBytes`, `TokenFile` for a secret."""
        name = f"{self.name}_file" if self.secret else self.name
        return "".join(word[:1].upper() + word[1:] for word in name.split("_"))

    def given(self, texts: Sequence[str]) -> list[str]:
        """Return those of *texts* that are values, as the agent cannot leave an argument out.

        An empty text is none, unless it can be a text itself: that of a `str` without a default or
        with one that is text, or one of several in a list.
        """
        if self.kind is str and (len(texts) > 1 or not (self.repeated or self.default is None)):
            return list(texts)
        return [text for text in texts if text]

    def parse(self, text: str) -> Any:
        """Return the value that *text* stands for.

        Raises:
            InvalidArgument: The text is no value of the type; secrets are never repeated in it.
        """
        try:
            return parse_bool(text) if self.kind is bool else parser_for(self.kind)(text)
        except ValueError as error:
            raise InvalidArgument(self.option, str(error)) from None


def parse_bool(text: str) -> bool:
    """Return the truth that *text* names, whatever its case.

    Raises:
        ValueError: It is none of true, false, 1, 0, yes, no, on, off.
    """
    word = text.strip().lower()
    if word not in _TRUE | _FALSE:
        raise ValueError(f"{text[:40]!r} is neither true nor false (true, false, 1, 0, yes, no)")
    return word in _TRUE


def make_parameter(name: str, annotation: Any, default: Any) -> Parameter:
    """Return the parameter that a signature's entry declares."""
    annotation, optional = _without_none(annotation)
    if optional and default is REQUIRED:
        default = None
    if annotation is list or get_origin(annotation) is list:
        kind = (get_args(annotation) or (str,))[0]
        return Parameter(name, kind, default, repeated=True)
    return Parameter(name, str if annotation is REQUIRED else annotation, default)


def _without_none(annotation: Any) -> tuple[Any, bool]:
    if get_origin(annotation) not in {Union, types.UnionType}:
        return annotation, False
    rest = tuple(arm for arm in get_args(annotation) if arm is not type(None))
    optional = len(rest) < len(get_args(annotation))
    kind = rest[0] if len(rest) == 1 else Union[rest]  # noqa: UP007  # built at run time
    return kind, optional
