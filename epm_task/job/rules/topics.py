"""The rules of topics: what the broker drops without a word."""

from __future__ import annotations

from typing import TYPE_CHECKING

from epm_task.contract.topic import KEEPER_LOGGER
from epm_task.job.json_source import child
from epm_task.job.rule import Hit, rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from epm_task.job.subject import Subject


@rule("EPM003", "KeeperLogger is not allowed", "error")
def keeper_logger_allowed(subject: Subject) -> Iterator[Hit]:
    """The log is a topic like any other: without `KeeperLogger` in the list every record vanishes.

    The broker checks each message against `mqttTopics.allowedPublications`. It drops what is not
    there, keeps the connection, and tells nobody.

    - wrong: `"allowedPublications": ["Jobs/scan/findings"]`
    - right: `"allowedPublications": ["KeeperLogger", "Jobs/scan/findings"]`
    """
    topics = subject.mqtt_topics
    if any(topics.fields.values()) and KEEPER_LOGGER not in subject.allowed_publications:
        yield Hit(
            topics.at("allowedPublications"),
            f"mqttTopics.allowedPublications lacks {KEEPER_LOGGER}, so log records vanish",
            f'add "{KEEPER_LOGGER}" to the list',
        )


@rule("EPM004", "no mqttTopics, so no KEEPER_JOB_ID", "error")
def topics_present(subject: Subject) -> Iterator[Hit]:
    """The agent gives `KEEPER_JOB_ID` and `KEEPER_JOB_NAME` only to jobs with an entry here.

    Without them a process cannot form its MQTT client id, so it cannot use the broker: no record
    reaches the agent's log.

    - wrong: no `mqttTopics`, or two empty lists
    - right: `"mqttTopics": {"allowedPublications": ["KeeperLogger"], "allowedSubscriptions": []}`
    """
    topics = subject.mqtt_topics
    if not any(topics.fields.values()):
        yield Hit(
            topics.pointer,
            "mqttTopics has no entry, so the task gets no KEEPER_JOB_ID and cannot use the broker",
            f'add "mqttTopics": {{"allowedPublications": ["{KEEPER_LOGGER}"]}} to the job',
        )


@rule("EPM005", "eventTopic is not allowed", "error")
def event_topic_allowed(subject: Subject) -> Iterator[Hit]:
    """`eventTopic` names a topic; it does not allow it.

    Its messages vanish unless the same name is in `mqttTopics.allowedPublications`. That is
    easily forgotten when only one of the two is changed.

    - wrong: `"eventTopic": "Jobs/scan/done"` with `"allowedPublications": ["KeeperLogger"]`
    - right: `"allowedPublications": ["KeeperLogger", "Jobs/scan/done"]`
    """
    topic = subject.root.text("eventTopic")
    if topic and topic not in subject.allowed_publications:
        yield Hit(
            "/eventTopic",
            f"eventTopic {topic} is not in mqttTopics.allowedPublications, so its messages vanish",
            f'add "{topic}" to mqttTopics.allowedPublications',
        )


@rule("EPM015", "mqttTopics inside a task", "error")
def topics_at_root(subject: Subject) -> Iterator[Hit]:
    """`mqttTopics` belongs to the root of the document; inside a task the agent does not look.

    - wrong: `"tasks": [{"id": "scan", "mqttTopics": {…}}]`
    - right: `"mqttTopics": {…}, "tasks": [{"id": "scan"}]`
    """
    for task in subject.tasks:
        if "mqttTopics" in task.fields:
            yield Hit(
                task.at("mqttTopics"),
                "mqttTopics belongs to the job, not to a task; here it has no effect",
                "move it to the root of the document",
                of_key=True,
            )


@rule("EPM019", "wildcard in an allowed topic", "error")
def exact_topics(subject: Subject) -> Iterator[Hit]:
    """The agent compares topics exactly, so `+` and `#` match nothing but themselves.

    - wrong: `"allowedPublications": ["KeeperLogger", "Jobs/scan/#"]`
    - right: `"allowedPublications": ["KeeperLogger", "Jobs/scan/findings"]`
    """
    for key in ("allowedPublications", "allowedSubscriptions"):
        for index, topic in enumerate(subject.mqtt_topics.listed(key)):
            if isinstance(topic, str) and any(wildcard in topic for wildcard in "+#"):
                yield Hit(
                    child(child("/mqttTopics", key), index),
                    f"{topic!r} holds a wildcard, and topics are compared exactly",
                    "list each topic by its whole name",
                )


@rule("EPM026", "a topic of the code is not allowed", "error")
def topics_of_code(subject: Subject) -> Iterator[Hit]:
    """The code publishes on a topic that the document does not allow, so its messages vanish.

    The topics of the code are those that `@task(publishes=[…])` declares. The document was written
    before the last of them was added. The rule looks at the code that is named together with the
    document (`epm-task validate tasks.py Jobs/`) or by `tasks = ["tasks.py"]` in `[tool.epm-task]`.

    - wrong: `@task(publishes=[FINDINGS])`, and a document without `Jobs/scan/findings`
    - right: the document that `epm-task job tasks.py -o Jobs/scan.json` writes
    """
    if subject.job is None or not any(subject.mqtt_topics.fields.values()):
        return
    for topic in subject.job.publications:
        if topic not in subject.allowed_publications and topic != KEEPER_LOGGER:
            yield Hit(
                subject.mqtt_topics.at("allowedPublications"),
                f"the code publishes on {topic}, which is not allowed, so its messages vanish",
                "write the document anew with `epm-task job FILE -o`",
            )
