"""An error is one situation that ends a run; it knows its exit code and says what to do.

TaskError                          70  root; never raised itself
├── TaskFailed                   1-63  raised by the handler: the work could not be done
├── TemporaryFailure               75  raised by the handler: a later run may succeed
├── DeadlineExceeded              124  the task's own deadline has passed
├── DefinitionError                70  a task or topic is declared in a way that cannot work
├── HandlerCrashed                 70  the handler, or a thread of it, let an exception escape
├── ResultNotSerializable          70  the returned value is no JSON object of at most 64 KiB
├── TopicNotDeclared               70  the handler published on a topic that it did not declare
├── HandlerUnresponsive           125  the handler did not stop and was ended
├── RecordsUndelivered             74  strict logs, and the broker did not acknowledge all records
├── UnsafeConfiguration            78  the surroundings of the process cannot be trusted
├── InvocationError                64  the command line or the environment
│   ├── UnknownOption
│   ├── MissingArgument
│   ├── InvalidArgument
│   ├── UnsubstitutedToken
│   ├── BadJobId
│   ├── BadClientIdTemplate
│   └── NoAgent                        no --keeper-api-base: not started by an agent
├── SettingsError                  65  a setting is missing or invalid
├── AgentError                     69  the agent's local HTTPS API
│   ├── AgentUnreachable           69
│   ├── UnknownSetting             66  404
│   ├── AgentProtocolError         76  the answer is not that of the API
│   ├── NotRegistered              77  403 for the whole window
│   └── UnsafeAgent                78  off loopback, no TLS, or an impostor on the port
└── BrokerError                    69  the agent's MQTT broker
    ├── BrokerUnreachable          69
    ├── BrokerRefused              69  the broker refused the connection
    └── UnsafeBroker               78  off loopback, or an impostor on the port

Each class takes facts and builds one sentence from them: what happened, why, what to do. The values
of settings and secrets are no facts: they never enter a message.
"""

from __future__ import annotations

from epm_task.errors.agent import (
    AgentError,
    AgentProtocolError,
    AgentUnreachable,
    BrokerError,
    BrokerRefused,
    BrokerUnreachable,
    NotRegistered,
    SettingsError,
    UnknownSetting,
    UnsafeAgent,
    UnsafeBroker,
)
from epm_task.errors.handler import (
    DeadlineExceeded,
    DefinitionError,
    HandlerCrashed,
    HandlerUnresponsive,
    RecordsUndelivered,
    ResultNotSerializable,
    TaskError,
    TaskFailed,
    TemporaryFailure,
    TopicNotDeclared,
    UnsafeConfiguration,
)
from epm_task.errors.invocation import (
    BadClientIdTemplate,
    BadJobId,
    InvalidArgument,
    InvocationError,
    MissingArgument,
    NoAgent,
    UnknownOption,
    UnsubstitutedToken,
)

__all__ = [
    "AgentError",
    "AgentProtocolError",
    "AgentUnreachable",
    "BadClientIdTemplate",
    "BadJobId",
    "BrokerError",
    "BrokerRefused",
    "BrokerUnreachable",
    "DeadlineExceeded",
    "DefinitionError",
    "HandlerCrashed",
    "HandlerUnresponsive",
    "InvalidArgument",
    "InvocationError",
    "MissingArgument",
    "NoAgent",
    "NotRegistered",
    "RecordsUndelivered",
    "ResultNotSerializable",
    "SettingsError",
    "TaskError",
    "TaskFailed",
    "TemporaryFailure",
    "TopicNotDeclared",
    "UnknownOption",
    "UnknownSetting",
    "UnsafeAgent",
    "UnsafeBroker",
    "UnsafeConfiguration",
    "UnsubstitutedToken",
]
