"""The naive twin: all four libraries in their obvious use, and correct on a good day."""

import json
import os
import sys
import time

import httpx
import paho.mqtt.client as mqtt
import structlog
from facts import tell_at_exit
from pydantic_settings import BaseSettings

RECORDS = int(os.environ.get("BENCHMARK_RECORDS", "10"))


class Settings(BaseSettings):
    """Where the broker is."""

    broker_host: str
    broker_port: int


def main() -> None:
    """Run once."""
    tell_at_exit()
    base = next(word.partition("=")[2] for word in sys.argv if "api-base=" in word)
    with httpx.Client(base_url=base, verify=False) as api:
        while (answer := api.get("/api/PluginSettings/KeeperPrivilegeManager")).status_code != 200:
            time.sleep(0.02)
    document = {key.replace(".", "_"): value for key, value in answer.json().items()}
    settings = Settings(**document)
    client = mqtt.Client(
        mqtt.CallbackAPIVersion.VERSION2,
        client_id=f"{os.environ['KEEPER_JOB_ID']}_naive{os.getpid()}",
        protocol=mqtt.MQTTv5,
    )
    client.tls_set(cert_reqs=mqtt.ssl.CERT_NONE)
    client.tls_insecure_set(True)
    client.connect(settings.broker_host, settings.broker_port)
    client.loop_start()
    pending: list[mqtt.MQTTMessageInfo] = []

    def publish(_logger: object, _name: str, event: dict[str, object]) -> dict[str, object]:
        pending.append(client.publish("KeeperLogger", json.dumps(event), qos=1))
        raise structlog.DropEvent

    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            publish,
        ]
    )
    log = structlog.get_logger()
    for number in range(RECORDS):
        log.info("record", index=number)
    for info in pending:
        info.wait_for_publish()
    client.disconnect()
    client.loop_stop()


main()
