"""A mosquitto is a real broker, run as a process with TLS, with an observer of its topics."""

from __future__ import annotations

import getpass
import shutil
import socket
import subprocess
import threading
import time
from typing import TYPE_CHECKING, Self

from peers.patience import PATIENCE
from peers.task_process import closed_port
from peers.tls import server_pem

if TYPE_CHECKING:
    from pathlib import Path

#: Debian puts the broker where only root's PATH leads.
PROGRAM = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")
OBSERVER = shutil.which("mosquitto_sub")


class Mosquitto:
    """A context manager around one mosquitto on 127.0.0.1; it may be killed and started again."""

    def __init__(self, folder: Path, *, denied: str = "", options: str = "") -> None:
        """Write the configuration; publications on the topic *denied* are refused."""
        self.port = closed_port()
        self._certificate = folder / "server.pem"
        self._certificate.write_bytes(server_pem())
        acl, self._configuration = folder / "acl", folder / "mosquitto.conf"
        acl.write_text("topic readwrite #\n" + (f"topic deny {denied}\n" if denied else ""))
        acl.chmod(0o600)
        # By default a broker started by root changes to another user, who would be an impostor.
        self._configuration.write_text(
            f"listener {self.port} 127.0.0.1\ncertfile {self._certificate}\n"
            f"keyfile {self._certificate}\nallow_anonymous true\nacl_file {acl}\n"
            f"user {getpass.getuser()}\nmax_queued_messages 1000000\n{options}\n"
        )
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def running(self) -> bool:
        """Whether it was started, and not ended since."""
        return self._process is not None

    @property
    def pid(self) -> int:
        """The process id of the running broker."""
        assert self._process
        return self._process.pid

    def start(self) -> None:
        """Start the broker, and return when it listens."""
        assert PROGRAM
        self._process = subprocess.Popen(
            [PROGRAM, "-c", self._configuration],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        until = time.monotonic() + PATIENCE
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
            except OSError:
                assert time.monotonic() < until, "mosquitto does not listen"
                time.sleep(0.01)
            else:
                return

    def kill(self) -> None:
        """End the broker at once."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            self._process = None

    def terminate(self) -> None:
        """End the broker with SIGTERM, so that it may save what it keeps."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(10)
            self._process = None

    def observe(self, topic: str, *options: str) -> Observer:
        """Return a context manager around a subscriber of *topic*; see `mosquitto_sub --help`."""
        return Observer(self.port, self._certificate, topic, *options)


class Observer:
    """A process of mosquitto_sub, and the lines that it prints."""

    def __init__(self, port: int, ca_file: Path, topic: str, *options: str) -> None:
        """Take where the broker is, and options of mosquitto_sub."""
        assert OBSERVER
        self._command = [OBSERVER, "-h", "127.0.0.1", "-p", str(port), "--cafile", str(ca_file)]
        self._command += ["-t", topic, "-t", "ready", "-q", "1", *options]
        self._publish = [OBSERVER.replace("_sub", "_pub"), *self._command[1:7]]
        self._seen = threading.Event()
        self.lines: list[bytes] = []

    def __enter__(self) -> Self:
        self._start()
        self._await()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(10)
        self._reader.join(10)

    def complete(self) -> list[bytes]:
        """Return all lines, once what was published before this call has arrived."""
        self._await()
        return self.lines

    def _start(self) -> None:
        self._process = subprocess.Popen(
            self._command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _await(self) -> None:
        self._seen.clear()
        until = time.monotonic() + PATIENCE
        while not self._seen.is_set():
            assert time.monotonic() < until, "the observer sees nothing"
            if self._process.poll() is not None:  # a failed handshake ends it, unlike a refusal
                self._reader.join(10)
                self._start()
            subprocess.run([*self._publish, "-t", "ready", "-m", "ready", "-q", "1"], check=True)
            self._seen.wait(0.2)

    def _read(self) -> None:
        assert self._process.stdout
        with self._process.stdout as stream:
            for line in stream:
                if line == b"ready\n":
                    self._seen.set()
                elif line.strip():
                    self.lines.append(line)
