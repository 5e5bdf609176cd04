"""Broker records are what one job's tasks publish, read by an admin subscription."""

from __future__ import annotations

import secrets
import socket
import ssl
import time
from typing import TYPE_CHECKING, Any, Final

from epm_task.admin.errors import AdminUnreachable, CredentialRefused, UnsafeConnection
from epm_task.admin.log_records import read_record
from epm_task.runtime import attestation
from epm_task.runtime.slim_import import slim_import
from epm_task.runtime.tls import attested
from epm_task.runtime.topic import KEEPER_LOGGER

# With PySocks installed paho would obey MQTT_PROXY.
with slim_import(without=("socks", "dns")):
    from paho.mqtt.client import Client, MQTTMessage
    from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
    from paho.mqtt.subscribeoptions import SubscribeOptions

if TYPE_CHECKING:
    from epm_task.admin.credential import Credential

#: On loopback each of connect, CONNACK and SUBACK takes milliseconds.
_STEP_SECONDS: Final = 3.0
#: Reason codes from here on are failures, in CONNACK and SUBACK.
_FIRST_FAILURE: Final = 0x80


class BrokerRecords:
    """A subscription to KeeperLogger; the records of one job are kept.

    Args:
        address: IP address on loopback, and port, of the broker.
        credential: Who subscribes: the broker lets in registered processes, and administrators.
        job_id: The job.

    Raises:
        AdminUnreachable: No broker answers there.
        CredentialRefused: The broker refuses the client or the subscription.
        UnsafeConnection: A file is not safe, or another user's process holds the port.
        WrongUse: A file of the credential is not what it must be.
    """

    def __init__(self, address: tuple[str, int], credential: Credential, job_id: str) -> None:
        self._job_id = job_id
        self._url = f"mqtts://{address[0]}:{address[1]}"
        self._connected: int | None = None
        self._subscribed: int | None = None
        self._records: list[dict[str, Any]] = []
        context = credential.tls_context()
        # No `_`: the broker would take what stands before it for a job id.
        client_id = f"epm-task-admin-{secrets.token_hex(4)}"
        self._client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            protocol=MQTTProtocolVersion.MQTTv5,
            reconnect_on_failure=False,
        )
        self._client.tls_set_context(context)
        self._client.connect_timeout = _STEP_SECONDS
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = self._on_subscribe
        self._client.on_message = self._on_message
        try:
            self._open(address, context)
        except BaseException:
            self.close()
            raise

    def records(self, wait_seconds: float) -> list[dict[str, Any]]:
        """Return the records since the last look, after at most *wait_seconds*.

        Raises:
            AdminUnreachable: The broker has closed the connection.
        """
        if self._client.loop(wait_seconds) != MQTTErrorCode.MQTT_ERR_SUCCESS:
            raise AdminUnreachable(self._url, "the broker closed the connection")
        taken, self._records = self._records, []
        return taken

    def close(self) -> None:
        """Leave the broker."""
        self._client.disconnect()
        opened = self._client.socket()
        if opened is not None:
            opened.close()

    def _open(self, address: tuple[str, int], context: ssl.SSLContext) -> None:
        checked = attested(context)
        try:
            if checked:
                attestation.check_listener(*address)
            _try_tls(address, context)
            self._client.connect(*address)
            if checked:
                attestation.check_peer(self._client.socket())  # type: ignore[arg-type]
        except attestation.Untrusted as error:
            raise UnsafeConnection(str(error).replace("--ca-file", "--cacert")) from error
        except ssl.SSLCertVerificationError as error:
            raise UnsafeConnection(
                f"the certificate of the broker at {self._url} is refused "
                f"({error.verify_message}); --cacert is not the CA of this agent"
            ) from error
        except OSError as error:
            raise AdminUnreachable(self._url, error.strerror or str(error)) from error
        self._await("CONNECT", lambda: self._connected)
        self._client.subscribe(KEEPER_LOGGER, options=SubscribeOptions(qos=1))
        self._await(f"SUBSCRIBE {KEEPER_LOGGER}", lambda: self._subscribed)

    def _await(self, call: str, answer: Any) -> None:
        until = time.monotonic() + _STEP_SECONDS
        while answer() is None:
            ended = self._client.loop(0.05) != MQTTErrorCode.MQTT_ERR_SUCCESS
            if answer() is None and ended:
                raise CredentialRefused(
                    call, "the broker closed the connection instead of answering", status=0
                )
            if time.monotonic() > until:
                raise AdminUnreachable(self._url, f"no answer to {call} in {_STEP_SECONDS:.0f} s")
        if answer() >= _FIRST_FAILURE:
            raise CredentialRefused(call, f"the broker answered 0x{answer():02x}", status=0)

    def _on_connect(self, _client: Client, _userdata: object, _flags: object, *more: Any) -> None:
        self._connected = more[0].value

    def _on_subscribe(self, _client: Client, _userdata: object, _mid: int, *more: Any) -> None:
        self._subscribed = more[0][0].value

    def _on_message(self, _client: Client, _userdata: object, message: MQTTMessage) -> None:
        record = read_record(bytes(message.payload))
        if record and record.get("jobId") == self._job_id:
            self._records.append(record)


def _try_tls(address: tuple[str, int], context: ssl.SSLContext) -> None:
    # paho-mqtt 2.2 does not close the socket of a handshake that fails.
    with (
        socket.create_connection(address, _STEP_SECONDS) as opened,
        context.wrap_socket(opened, server_hostname=address[0]),
    ):
        pass
