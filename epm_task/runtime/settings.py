"""Task settings are a typed view of one plugin's merged settings, as the agent holds them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, ClassVar, Self, get_args

from pydantic import SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from epm_task.errors import SettingsError
from epm_task.runtime.system_settings import SYSTEM_PLUGIN

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import ValidationInfo
    from pydantic_settings import PydanticBaseSettingsSource

#: The messages of these errors are written by authors, or quote the input.
_QUOTING = frozenset({"value_error", "assertion_error", "union_tag_invalid"})


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
    def settings_customise_sources(  # noqa: D102  # pydantic-settings defines it
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)

    @classmethod
    def from_document(cls, document: Mapping[str, str]) -> Self:
        """Return the settings that the agent's flat *document* holds.

        Raises:
            SettingsError: A key is missing or its value invalid; it names the key, never the value.
        """
        given = {key: value for key, value in document.items() if value or cls._is_text(key)}
        try:
            return cls(**{**_nested(given), **given})
        except ValidationError as error:
            problems = error.errors(include_input=False, include_url=False, include_context=False)
        first, more = problems[0], len(problems) - 1
        key = ".".join(map(str, first["loc"]))
        why = f"is invalid: {first['msg'].lower()}"
        if first["type"] == "missing":
            why = "is missing"
        elif first["type"] in _QUOTING:
            why = "is invalid: the settings model refused it"
        raise SettingsError(cls.plugin_id, key, why + (f" (and {more} more)" if more else ""))

    @field_validator("*", mode="before")
    @classmethod
    def _decode(cls, value: Any, info: ValidationInfo) -> Any:
        """Read a list or an object that the agent could only hold as text."""
        looks_structured = isinstance(value, str) and value.lstrip()[:1] in {"[", "{"}
        if not looks_structured or cls._is_text(info.field_name or ""):
            return value
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value  # pydantic refuses it and names the key

    @classmethod
    def _is_text(cls, key: str) -> bool:
        # An empty text is a value for a text field, and "not given" for every other one.
        fields = cls.model_fields
        found = fields.get(key) or next((f for f in fields.values() if f.alias == key), None)
        kinds = set(get_args(found.annotation)) | {found.annotation} if found else set()
        return bool(kinds & {str, SecretStr})


def _nested(document: Mapping[str, str]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for key, value in document.items():
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
