"""The stdlib floor: one whole run with ssl, http.client, hand-made MQTT packets, json, logging.

It does what a task must do, and nothing to do it well: no reconnect, no bound, no guarantee.
"""

import http.client
import json
import logging
import os
import socket
import ssl
import sys
import time
from urllib.parse import urlsplit

from facts import tell_at_exit

RECORDS = int(os.environ.get("BENCHMARK_RECORDS", "10"))


def packet(kind: int, body: bytes) -> bytes:
    """Return an MQTT packet with its length."""
    length, size = b"", len(body)
    while True:
        size, low = divmod(size, 128)
        length += bytes([low | (128 if size else 0)])
        if not size:
            return bytes([kind]) + length + body


def text(value: str) -> bytes:
    """Return a string as MQTT writes it."""
    return len(value).to_bytes(2, "big") + value.encode()


def main() -> None:
    """Run once."""
    tell_at_exit()
    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    url = urlsplit(next(word.partition("=")[2] for word in sys.argv if "api-base=" in word))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
    api = http.client.HTTPSConnection(url.hostname or "", url.port, context=tls, timeout=10)
    while True:
        api.request("GET", "/api/PluginSettings/KeeperPrivilegeManager")
        answer = api.getresponse()
        body = answer.read()
        if answer.status == 200:
            break
        time.sleep(0.02)
    settings = json.loads(body)
    address = settings["broker.host"], int(settings["broker.port"])
    broker = tls.wrap_socket(socket.create_connection(address))
    client_id = f"{os.environ['KEEPER_JOB_ID']}_floor{os.getpid()}"
    broker.sendall(packet(0x10, text("MQTT") + b"\4\2\0\x0f" + text(client_id)))
    broker.recv(4)
    for number in range(1, RECORDS + 1):
        record = json.dumps({"level": "Information", "message": "record", "index": number})
        head = text("KeeperLogger") + number.to_bytes(2, "big")
        broker.sendall(packet(0x32, head + record.encode()))
    acknowledged = b""
    while len(acknowledged) < 4 * RECORDS:
        acknowledged += broker.recv(65536)
    broker.sendall(b"\xe0\x00")
    broker.close()


main()
