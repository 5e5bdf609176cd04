"""Publish N messages with a subscriber attached, on a raw socket; print messages per second.

python publisher.py PORT QOS COUNT
"""

import socket
import sys
import threading
import time
from collections.abc import Iterator

PORT, QOS, COUNT = (int(word) for word in sys.argv[1:4])
TOPIC = b"benchmark"
PAYLOAD = b"x" * 157
#: Enough in flight to keep any broker busy, below the 65 535 packet ids.
WINDOW = 1000


def frame(kind: int, body: bytes) -> bytes:
    """Return an MQTT packet of less than 16 KiB."""
    low, high = len(body) & 127, len(body) >> 7
    return bytes([kind, low | 128, high] if high else [kind, low]) + body


def connected(client_id: bytes) -> socket.socket:
    """Return a connection with MQTT 3.1.1."""
    opened = socket.create_connection(("127.0.0.1", PORT), timeout=60)
    opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    opened.sendall(frame(0x10, b"\0\4MQTT\4\2\0\0" + len(client_id).to_bytes(2, "big") + client_id))
    opened.recv(4)
    return opened


def packets(opened: socket.socket) -> Iterator[tuple[int, bytes]]:
    """Yield kind and body of every packet that arrives."""
    buffer = bytearray()
    while data := opened.recv(262_144):
        buffer += data
        at = 0
        while len(buffer) - at >= 2:
            head = 3 if buffer[at + 1] & 128 else 2
            if len(buffer) - at < head:
                break
            size = buffer[at + 1] & 127 | (buffer[at + 2] << 7 if head == 3 else 0)
            if len(buffer) - at < head + size:
                break
            yield buffer[at] >> 4, bytes(buffer[at + head : at + head + size])
            at += head + size
        del buffer[:at]


def receive(opened: socket.socket) -> None:
    """Take all messages, with the acknowledgements that their QoS asks for."""
    got = 0
    for kind, body in packets(opened):
        packet_id = body[2 + len(TOPIC) : 4 + len(TOPIC)]
        if kind == 3:
            got += 1
            if QOS:
                opened.sendall(frame(0x40 if QOS == 1 else 0x50, packet_id))
        elif kind == 6:
            opened.sendall(frame(0x70, body[:2]))
        if got == COUNT and (QOS < 2 or kind == 6):
            return


def publish(opened: socket.socket) -> None:
    """Send all messages, at most a window ahead of the acknowledgements."""
    head = len(TOPIC).to_bytes(2, "big") + TOPIC
    acknowledged = sent = 0
    incoming = packets(opened) if QOS else iter(())
    while acknowledged < COUNT:
        batch = range(sent, min(COUNT, acknowledged + WINDOW))
        ids = [(number % 65_000 + 1).to_bytes(2, "big") if QOS else b"" for number in batch]
        opened.sendall(b"".join(frame(0x30 | QOS << 1, head + i + PAYLOAD) for i in ids))
        sent += len(batch)
        if not QOS:
            acknowledged = sent
            continue
        while acknowledged + WINDOW // 2 < sent or (sent == COUNT and acknowledged < COUNT):
            kind, body = next(incoming)
            if kind == 5:
                opened.sendall(frame(0x62, body[:2]))
            else:
                acknowledged += 1


def main() -> None:
    """Measure once."""
    subscriber = connected(b"subscriber")
    subscriber.sendall(frame(0x82, b"\0\1" + len(TOPIC).to_bytes(2, "big") + TOPIC + bytes([QOS])))
    subscriber.recv(5)
    receiver = threading.Thread(target=receive, args=(subscriber,))
    receiver.start()
    publisher = connected(b"publisher")
    started = time.perf_counter()
    publish(publisher)
    receiver.join()
    print(COUNT / (time.perf_counter() - started))


main()
