"""Tests of the secret mask."""

from __future__ import annotations

import pytest

from epm_task.simulator.secret_mask import MASK, is_secret_name, mask_text, mask_value


@pytest.mark.parametrize(
    "name",
    [
        "db.password",
        "PASSWD",
        "clientSecret",
        "api_key",
        "ApiKey",
        "private-key",
        "auth",
        "user.token",
    ],
)
def test_secret_names(name: str):
    """Names in any spelling are recognised."""
    assert is_secret_name(name)


@pytest.mark.parametrize("name", ["broker.host", "author", "max_bytes", "spinner", "keyboard"])
def test_other_names(name: str):
    """A part of another word is no secret."""
    assert not is_secret_name(name)


def test_values_are_masked_however_deep():
    """Lists and objects are searched; null tells nothing and stays."""
    value = {"a": [{"password": "x", "token": {"deep": 1}, "secret": None}], "text": "pwd=abc ok"}
    assert mask_value(value) == {
        "a": [{"password": MASK, "token": MASK, "secret": None}],
        "text": f"pwd={MASK} ok",
    }


def test_text():
    """What follows a secret name is masked, quoted or not."""
    text = "password: \"a b\" api_key=x1; user=me 'token'='t'"
    masked = mask_text(text)
    assert "a b" not in masked
    assert "x1" not in masked
    assert "'t'" not in masked
    assert "user=me" in masked
