"""Tests of a topic: an exact name, checked when it is declared."""

from __future__ import annotations

import pytest

from epm_task.contract.topic import Topic
from epm_task.errors import DefinitionError


def test_topic_keeps_name_and_payload() -> None:
    """A topic has a name and a type of payload, and shows the call that makes it."""
    topic = Topic("Jobs/key-scanner/findings", payload=dict)
    assert (topic.name, topic.payload) == ("Jobs/key-scanner/findings", dict)
    assert repr(topic) == "Topic('Jobs/key-scanner/findings', payload=dict)"
    assert repr(Topic("a")) == "Topic('a')"


@pytest.mark.parametrize("name", ["", "a/+", "a/#", "a\0b", "$SYS/x", "ä" * 40_000])
def test_wrong_name_is_refused(name: str) -> None:
    """Wildcards, NUL, a leading dollar and a wrong length are refused."""
    with pytest.raises(DefinitionError, match="Topic"):
        Topic(name)
