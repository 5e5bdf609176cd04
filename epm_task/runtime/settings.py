"""Read one plugin's merged settings, as the agent holds them, into a typed model."""

from __future__ import annotations

import types
from collections.abc import Collection, Mapping
from operator import itemgetter
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    ClassVar,
    Final,
    Self,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from epm_task.contract.json_text import BadJson, parse_json
from epm_task.contract.names import SYSTEM_PLUGIN
from epm_task.errors import SettingsError
from epm_task.runtime.outcome import raised_at
from epm_task.runtime.start_up import slim_import

with slim_import("pydantic_settings"):
    from pydantic import BaseModel, RootModel, SecretBytes, SecretStr, ValidationError
    from pydantic_core.core_schema import ErrorType
    from pydantic_settings import BaseSettings, SettingsConfigDict

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

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

    model_config: ClassVar[SettingsConfigDict] = SettingsConfigDict(
        extra="ignore", frozen=True, hide_input_in_errors=True, env_file=None, defer_build=True
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
        given: dict[str, Any] = {}
        for key, value in document.items():
            kinds = list(types_at(cls, key))
            if any(kind in _TEXTS for kind in kinds):
                given[key] = value
            elif value:  # an empty text is a value for a text field, else "not given"
                given[key] = _decoded(value) if any(map(_is_structure, kinds)) else value
        try:
            return cls(**{**_nested(given), **given})
        except ValidationError as error:
            problems = error.errors(include_input=False, include_url=False, include_context=False)
        except MemoryError:
            raise
        except Exception as error:  # noqa: BLE001  # of the author's validators; it may show a value
            raised = f"is invalid: the settings model raised {raised_at(error)}"
            raise SettingsError(cls.plugin_id, "(any)", raised) from None
        key, why = _explain(problems[0], given)
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise SettingsError(cls.plugin_id, key, why + more)


# The base alone is built when it is used, which is rare; a wrong subclass is told at once.
TaskSettings.model_config["defer_build"] = False


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


def _decoded(value: str) -> Any:
    """Read a list or an object that the agent could only hold as text."""
    if value.lstrip()[:1] not in {"[", "{"}:
        return value
    try:
        return parse_json(value)
    except BadJson:
        return value  # pydantic refuses it


def types_at(kind: Any, key: str) -> Iterator[Any]:
    """Yield the types that a value of type *kind* may have at *key*; at no key, its own."""
    arms = get_args(kind)
    if get_origin(kind) is Annotated:
        yield from (str,) if not key and _reads_json(arms) else types_at(arms[0], key)
    elif get_origin(kind) in (Union, types.UnionType):
        for arm in arms:
            yield from types_at(arm, key)
    elif (meant := _meant_by(kind)) is not None:
        yield from types_at(meant, key)
    elif not key:
        yield kind
    elif len(arms) == 2 and issubclass(get_origin(kind), Mapping):  # key, value
        yield from types_at(arms[1], key.partition(".")[2])
    elif isinstance(kind, type):
        for name, inner in fields_of(kind):
            if key == name or key.startswith(f"{name}."):
                yield from types_at(inner, key[len(name) + 1 :])


def _meant_by(kind: Any) -> Any:
    """Return the type of which a model of one value, an alias or a `NewType` is a name."""
    if isinstance(kind, type):
        return kind.model_fields["root"].annotation if issubclass(kind, RootModel) else None
    return getattr(kind, "__value__", getattr(kind, "__supertype__", None))


def _reads_json(conditions: Iterable[Any]) -> bool:
    return any(getattr(each, "__name__", type(each).__name__) == "Json" for each in conditions)


def fields_of(kind: type) -> Iterator[tuple[str, Any]]:
    """Yield each name in a document and the type of what it names, for models and their like."""
    if not issubclass(kind, BaseModel):
        if hasattr(kind, "__dataclass_fields__") or hasattr(kind, "__total__"):  # a TypedDict
            yield from get_type_hints(kind, include_extras=True).items()
        return
    for name, field in kind.model_fields.items():
        inner = str if _reads_json(field.metadata) else field.annotation
        alias = field.validation_alias
        for each in filter(None, (name, field.alias, *getattr(alias, "choices", (alias,)))):
            path = getattr(each, "path", (each,))  # of an `AliasPath`
            yield ".".join(map(str, path)), inner


def _is_structure(kind: Any) -> bool:
    origin = get_origin(kind) or kind
    if not isinstance(origin, type):
        return False
    return issubclass(origin, (BaseModel, Collection)) or hasattr(origin, "__dataclass_fields__")


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
