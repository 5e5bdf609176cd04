"""Scanner settings are a settings model with fields of every kind, as an author may write it."""

from __future__ import annotations

from datetime import date, timedelta
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import (
    UUID4,
    BaseModel,
    Field,
    SecretBytes,
    SecretStr,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from epm_task.runtime.settings import TaskSettings

if TYPE_CHECKING:
    from typing import Self

SECRET = "hunter2-secret"


class Color(Enum):
    """An enum."""

    RED = "red"


class Scan(BaseModel):
    """Settings below `scan`."""

    depth: int = 1
    label: str = "none"
    tags: list[str] = []


class Cat(BaseModel):
    """One of two kinds."""

    kind: Literal["cat"]


class Dog(BaseModel):
    """The other of two kinds."""

    kind: Literal["dog"]


class Settings(TaskSettings, plugin="KeyScanner"):
    """Fields of many types, all optional."""

    number: int = 0
    maybe: int | None = None
    text: str = "none"
    maybe_text: Annotated[str, Field(max_length=20)] | None = None
    flag: bool = False
    numbers: list[int] = Field([])
    texts: list[str] = Field([])
    limits: dict[str, int] = Field({})
    either: int | str = 0
    period: timedelta = timedelta(0)
    day: date | None = None
    color: Color = Color.RED
    account: Literal["Service", "User"] = "Service"
    place: Path = Path()
    token: SecretStr = SecretStr("none")
    key: SecretBytes = SecretBytes(b"none")
    tokens: list[SecretStr] = Field([])
    identity: UUID4 | None = None
    scan: Scan = Scan()
    port: int = Field(0, alias="broker.port")
    host: str = Field("", validation_alias="broker.host")
    pet: Annotated[Cat | Dog, Field(discriminator="kind")] | None = None
    even: int = 0
    custom: int = 0

    @field_validator("even")
    @classmethod
    def _check_even(cls, value: int) -> int:
        if value % 2:
            raise ValueError(f"{value} is odd, {SECRET}")
        return value

    @field_validator("custom")
    @classmethod
    def _check_custom(cls, value: int) -> int:
        if value == 1:
            raise PydanticCustomError("own", "own text {value}", {"value": SECRET})
        assert value != 2, SECRET
        return value

    @model_validator(mode="after")
    def _check_all(self) -> Self:
        if self.number > self.even + 1000:
            raise ValueError(SECRET)
        return self


class Required(TaskSettings, plugin="KeyScanner"):
    """Fields without a default."""

    number: int
    scan: Scan
    login: SecretStr


class System(TaskSettings):
    """Settings of the agent itself."""

    port: int = Field(alias="broker.port")
