"""Speak to an agent's broker as an administrator: connect, subscribe, publish."""

from __future__ import annotations

import secrets
import ssl
import time
from typing import TYPE_CHECKING, Any, Final, cast

from epm_task.admin.errors import AdminUnreachable, CredentialRefused
from epm_task.admin.exchange import unsafe_peer
from epm_task.runtime.agent.tls import Dialer, readable
from epm_task.runtime.attestation.attestation import Untrusted
from epm_task.runtime.broker.packet import FIRST_FAILURE
from epm_task.runtime.start_up import slim_import

if TYPE_CHECKING:
    from collections.abc import Callable

    from epm_task.admin.credential import Credential

# With PySocks installed paho would obey MQTT_PROXY.
with slim_import("paho"):
    from paho.mqtt.client import Client, MQTTMessage
    from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
    from paho.mqtt.subscribeoptions import SubscribeOptions

#: On loopback each of connect, CONNACK, SUBACK and PUBACK takes milliseconds.
_STEP_SECONDS: Final = 3.0


class AdminBroker:
    """A connection of an administrator to the broker.

    Attributes:
        on_message: Called with the payload of each message that comes.

    Raises:
        AdminUnreachable: No broker answers there.
        CredentialRefused: The broker refuses the client.
        UnsafeConnection: A file is not safe, or another user's process holds the port.
        WrongUse: A file of the credential is not what it must be.
    """

    def __init__(self, address: tuple[str, int], credential: Credential) -> None:
        self.on_message: Callable[[bytes], object] = lambda _payload: None
        self._url = f"mqtts://{address[0]}:{address[1]}"
        self._answers: dict[str, int] = {}
        dialer = Dialer(address, credential.tls_context(), seconds=_STEP_SECONDS)
        # No `_`: the broker would take what comes before it for a job id.
        client_id = f"epm-task-admin-{secrets.token_hex(4)}"
        self._client = client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            protocol=MQTTProtocolVersion.MQTTv5,
            reconnect_on_failure=False,
        )
        client.tls_set_context(cast("ssl.SSLContext", dialer))
        client.connect_timeout = _STEP_SECONDS
        client.on_connect = lambda _c, _u, _f, reason, *_: self._answer("CONNECT", reason)
        client.on_subscribe = lambda _c, _u, _m, reasons, *_: self._answer("SUBSCRIBE", reasons[0])
        client.on_publish = lambda _c, _u, _m, reason, *_: self._answer("PUBLISH", reason)
        client.on_message = self._on_message
        try:
            self._connect(dialer)
        except BaseException:
            self.close()
            raise

    def subscribe(self, topic: str) -> None:
        """Let messages of a topic come.

        Raises:
            AdminUnreachable: No answer in time.
            CredentialRefused: The broker refuses it.
        """
        self._client.subscribe(topic, options=SubscribeOptions(qos=1))
        self._await("SUBSCRIBE", topic)

    def publish(self, topic: str, payload: bytes) -> None:
        """Publish a message at QoS 1; return when the broker has acknowledged it.

        Raises:
            AdminUnreachable: No answer in time.
            CredentialRefused: The broker refuses it.
        """
        self._answers.pop("PUBLISH", None)
        self._client.publish(topic, payload, qos=1)
        self._await("PUBLISH", topic)

    def read(self, seconds: float) -> None:
        """Take what comes in *seconds*, and keep the connection alive.

        Raises:
            AdminUnreachable: The broker has closed the connection.
        """
        if not self._turn(seconds):
            raise AdminUnreachable(self._url, "the broker closed the connection")

    def close(self) -> None:
        """Leave the broker."""
        self._client.disconnect()
        opened = self._client.socket()
        if opened is not None:
            opened.close()

    def _connect(self, dialer: Dialer) -> None:
        try:
            dialer.check_listener()
            self._client.connect(*dialer.address)
        except (Untrusted, ssl.SSLCertVerificationError) as error:
            raise unsafe_peer(self._url, error) from error
        except OSError as error:
            raise AdminUnreachable(self._url, error.strerror or str(error)) from error
        self._await("CONNECT")

    def _await(self, call: str, topic: str = "") -> None:
        what = f"{call} {topic}".rstrip()
        until = time.monotonic() + _STEP_SECONDS
        while (answer := self._answers.get(call)) is None:
            if not self._turn(0.05) and call not in self._answers:
                raise CredentialRefused(
                    what, "the broker closed the connection instead of answering", status=0
                )
            if time.monotonic() > until:
                raise AdminUnreachable(self._url, f"no answer to {what} in {_STEP_SECONDS:.0f} s")
        if answer >= FIRST_FAILURE:
            raise CredentialRefused(what, f"the broker answered 0x{answer:02x}", status=0)

    def _turn(self, seconds: float) -> bool:
        """Read what comes in *seconds*, keep the connection alive; return whether it is open.

        `Client.loop` would make two more sockets, and close them only when it is collected.
        """
        client = self._client
        codes = [client.loop_read()] if readable(client.socket(), seconds) else []
        if client.want_write():
            codes.append(client.loop_write())
        codes.append(client.loop_misc())
        return all(code == MQTTErrorCode.MQTT_ERR_SUCCESS for code in codes)

    def _answer(self, call: str, reason: Any) -> None:
        self._answers[call] = reason.value

    def _on_message(self, _client: Client, _userdata: object, message: MQTTMessage) -> None:
        self.on_message(bytes(message.payload))
