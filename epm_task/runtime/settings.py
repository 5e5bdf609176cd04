"""Read one plugin's merged settings, as the agent holds them, into a typed model."""

from __future__ import annotations

import types
from operator import itemgetter
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, Self, Union, get_args, get_origin

from epm_task.contract.json_text import BadJson, parse_json
from epm_task.contract.names import SYSTEM_PLUGIN
from epm_task.errors import SettingsError
from epm_task.runtime.start_up import slim_import

with slim_import("pydantic_settings"):
    from pydantic import BaseModel, SecretBytes, SecretStr, ValidationError
    from pydantic_core.core_schema import ErrorType
    from pydantic_settings import BaseSettings, SettingsConfigDict

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic_core import ErrorDetails
    from pydantic_settings import PydanticBaseSettingsSource

#: Pydantic's own messages, without those that quote the input, or an exception of the author's.
_PLAIN: Final = frozenset(get_args(ErrorType)) - {
    *("value_error", "assertion_error", "union_tag_invalid", "uuid_parsing"),
    *("mapping_type", "iteration_error", "get_attribute_error"),
}
_TEXTS: Final = (str, bytes, SecretStr, SecretBytes)


class TaskSettings(BaseSettings):
    """Settings of one plugin; a subclass names the plugin and the keys.

    `class ScannerSettings(TaskSettings, plugin="KeyScanner")`; without `plugin` the settings are
    the system's own. A key with a dot, `scan.depth`, is a field `scan` with a field `depth`, or a
    field with that alias. The agent's document is the only source: no environment, no `.env`.
    """

    model_config = SettingsConfigDict(
        extra="ignore", frozen=True, hide_input_in_errors=True, env_file=None
    )
    plugin_id: ClassVar[str] = SYSTEM_PLUGIN

    def __init_subclass__(cls, *, plugin: str | None = None, **kwargs: Any) -> None:
        """Keep the plugin's id, as it is spelled in the agent's registry."""
        super().__init_subclass__(**kwargs)
        if plugin is not None:
            cls.plugin_id = plugin

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read the agent's document only: no environment, no `.env`, no secret files."""
        return (init_settings,)

    @classmethod
    def from_document(cls, document: Mapping[str, str]) -> Self:
        """Return the settings that the agent's flat *document* holds.

        Raises:
            SettingsError: A key is missing or its value invalid; it names the key, never the value.
        """
        given = {
            key: _decoded(cls, key, value)
            for key, value in document.items()
            # An empty text is a value for a text field, and "not given" for every other one.
            if value or _takes_text(_annotation(cls, key))
        }
        try:
            return cls(**{**_nested(given), **given})
        except ValidationError as error:
            problems = error.errors(include_input=False, include_url=False, include_context=False)
        key, why = _explain(problems[0], given)
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise SettingsError(cls.plugin_id, key, why + more)


def _explain(problem: ErrorDetails, given: Mapping[str, object]) -> tuple[str, str]:
    parts = [str(part) for part in problem["loc"]]
    # What is below a key of the document is a part of that key's value.
    places = (".".join(parts[:count]) for count in range(len(parts), 0, -1))
    key = next((place for place in places if place in given), ".".join(parts))
    if problem["type"] == "missing" and key not in given:
        return key, "is missing"
    if problem["type"] in _PLAIN:
        return key, f"is invalid: {problem['msg'][:1].lower()}{problem['msg'][1:]}"
    return key or "(several together)", "is invalid: the settings model refused it"


def _decoded(model: type[BaseModel], key: str, value: str) -> Any:
    """Read a list or an object that the agent could only hold as text."""
    annotation = _annotation(model, key)
    if annotation is None or _takes_text(annotation) or value.lstrip()[:1] not in {"[", "{"}:
        return value
    try:
        return parse_json(value)
    except BadJson:
        return value  # pydantic refuses it


def _annotation(model: type[BaseModel], key: str) -> Any:
    for name, field in model.model_fields.items():
        if key in (name, field.alias, field.validation_alias):
            return field.annotation
    head, _, rest = key.partition(".")
    below = model.model_fields[head].annotation if head in model.model_fields else None
    if isinstance(below, type) and issubclass(below, BaseModel):
        return _annotation(below, rest)
    return None


def _takes_text(annotation: Any) -> bool:
    if get_origin(annotation) is Annotated:
        return _takes_text(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        return any(map(_takes_text, get_args(annotation)))
    return annotation in _TEXTS


def _nested(document: Mapping[str, Any]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for key, value in sorted(document.items(), key=itemgetter(0)):  # `a` before `a.b`
        *folders, leaf = key.split(".")
        place = tree
        for folder in folders:
            below = place.setdefault(folder, {})
            if not isinstance(below, dict):
                break  # `a` is a value and `a.b` another: the flat keys hold both
            place = below
        else:
            place.setdefault(leaf, value)
    return tree
