"""`epm-task publish`: publish a message on the broker of an agent, as its administrator."""

from __future__ import annotations

from contextlib import closing
from typing import Annotated

import typer

from epm_task.cli.inputs import broker_address
from epm_task.cli.options import AsJson, Connection, connected
from epm_task.cli.output import Failure, show_json
from epm_task.contract.json_text import BadJson, parse_object
from epm_task.contract.names import MQTT_PORT
from epm_task.contract.record import printable
from epm_task.contract.topic import Topic
from epm_task.errors import DefinitionError

_Topic = Annotated[str, typer.Argument(metavar="TOPIC", show_default=False)]
_Payload = Annotated[
    str, typer.Argument(metavar="JSON", help="The payload, an object.", show_default=False)
]
_Broker = Annotated[str, typer.Option(metavar="HOST:PORT", help="The broker, on loopback.")]


@connected
def publish(
    connection: Connection,
    topic: _Topic,
    payload: _Payload,
    *,
    broker: _Broker = f"127.0.0.1:{MQTT_PORT}",
    as_json: AsJson = False,
) -> None:
    """Publish one message at QoS 1; return when the broker has acknowledged it.

    A task reads it with `ctx.messages`. On the `eventTopic` of a job, an object with `eventType`
    starts every job that names the event.

    Example: epm-task publish Commands/scanner '{"path": "/etc"}' --cert admin.pem
    """
    try:
        Topic(topic)
        parse_object(payload.encode("utf-8", "surrogatepass"))
    except DefinitionError as error:
        raise Failure(f"{topic!r} is not a topic", error.what, error.fix) from None
    except BadJson as error:
        raise Failure("JSON is not usable", str(error), "write an object, in braces") from None
    # paho-mqtt: 30 ms, for who publishes
    from epm_task.admin.broker import AdminBroker  # noqa: PLC0415

    address = broker_address(broker)
    with closing(AdminBroker(address, connection.settings().credential)) as opened:
        opened.publish(topic, payload.encode())
    if as_json:
        show_json({"topic": topic, "broker": f"{address[0]}:{address[1]}"})
    else:
        typer.echo(printable(f"published on {topic}"))
