"""Tests of secret texts: found in everything that arguments and settings are made of."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from pydantic import BaseModel, Secret, SecretBytes, SecretStr

from epm_task.runtime.secret_text import secret_texts


class Login(BaseModel):
    """A model with a secret."""

    user: str = "root"
    password: SecretStr = SecretStr("in-model")


@dataclass
class Key:
    """A dataclass with a secret."""

    data: SecretBytes
    size: int = 0


class Nested(BaseModel):
    """A model with models."""

    login: Login = Login()
    others: list[Login] = [Login(password=SecretStr("in-list"))]
    extra: dict[str, SecretStr] = {"a": SecretStr("in-mapping")}


@pytest.mark.parametrize(
    ("value", "texts"),
    [
        (None, []),
        ("plain", []),
        (SecretStr, []),
        (Login, []),
        (Key, []),
        (SecretStr("one"), ["one"]),
        (SecretBytes(b"two\xff\r\n"), ["two\\xff"]),
        (Secret[int](3), []),
        ([SecretStr("a"), SecretStr("b")], ["a", "b"]),
        ((SecretStr("a"),), ["a"]),
        ({SecretStr("a")}, ["a"]),
        ({"x": {"y": SecretStr("deep")}, "z": 1}, ["deep"]),
        (Key(SecretBytes(b"key")), ["key"]),
        (Nested(), ["in-model", "in-list", "in-mapping"]),
    ],
)
def test_secrets_are_found(value: object, texts: list[str]) -> None:
    """Every secret in a value is found, at any depth; what is not secret is passed over."""
    assert list(secret_texts(value)) == texts
