"""Every option hawork knows: Flink's names and defaults, then hawork's own.

Source: Flink 1.20.5's ``HighAvailabilityOptions``, ``KubernetesHighAvailabilityOptions``,
``KubernetesConfigOptions``, ``JobResultStoreOptions``, ``CleanupOptions``,
``HeartbeatManagerOptions``, ``RestartStrategyOptions``, ``CheckpointingOptions``,
``RestOptions`` and ``SecurityOptions``. Durations are in seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from hawork.core.configuration import (
    Configuration,
    Option,
    boolean,
    choice,
    duration,
    integer,
    location,
    mapping,
    number,
    ports,
    size,
    text,
)
from hawork.core.errors import ConfigurationError

_HA = "high-availability"
_ZK = f"{_HA}.zookeeper"
_ZK_CLIENT = f"{_ZK}.client"
_K8S_LEASE = f"{_HA}.kubernetes.leader-election"
_EMBEDDED = f"{_HA}.embedded"
INFINITE = 2**31 - 1
LEAST_WATCHDOG = 1.0

# --- high availability -----------------------------------------------------------------
HA_TYPE = choice(
    f"{_HA}.type", "NONE", "embedded, zookeeper, kubernetes or NONE",
    {
        "embedded": "embedded", "zookeeper": "zookeeper", "kubernetes": "kubernetes",
        "none": "NONE", "standalone": "NONE",
        # Source: HighAvailabilityMode; the one factory that Flink 1.20 brings along.
        "org.apache.flink.kubernetes.highavailability.kuberneteshaservicesfactory": "kubernetes",
    },
    deprecated=("recovery.mode", _HA),
)  # fmt: skip
CLUSTER_ID = text(
    f"{_HA}.cluster-id", "/default", "separates clusters in the HA store and in storageDir",
    deprecated=(f"{_ZK}.path.namespace", "recovery.zookeeper.path.namespace"),
)  # fmt: skip
STORAGE_DIR = location(
    f"{_HA}.storageDir", "URL of the directory for the bytes that pointers point to",
    deprecated=(f"{_ZK}.storageDir", "recovery.zookeeper.storageDir"),
)  # fmt: skip
HA_JOBMANAGER_PORT = text(
    f"{_HA}.jobmanager.port", "0", "Flink only; no effect here",
    deprecated=("recovery.jobmanager.port",), effective=False,
)  # fmt: skip
HA_JOB_DELAY = duration(
    f"{_HA}.job.delay", None, "no effect any more", deprecated=("recovery.job.delay",),
    effective=False,
)  # fmt: skip

# --- ZooKeeper -------------------------------------------------------------------------
ZK_QUORUM = text(
    f"{_ZK}.quorum", None, "host:port,host:port of the ensemble",
    deprecated=("recovery.zookeeper.quorum",),
)  # fmt: skip
ZK_ROOT = text(
    f"{_ZK}.path.root", "/flink", "root znode of all clusters",
    deprecated=("recovery.zookeeper.path.root",),
)  # fmt: skip
ZK_JOBGRAPHS = text(
    f"{_ZK}.path.jobgraphs", "/jobgraphs", "znode of the job graph pointers",
    deprecated=("recovery.zookeeper.path.jobgraphs",),
)  # fmt: skip
ZK_RUNNING_REGISTRY = text(
    f"{_ZK}.path.running-registry", "/running_job_registry/", "no effect any more",
    effective=False,
)  # fmt: skip
ZK_SESSION_TIMEOUT = duration(
    f"{_ZK_CLIENT}.session-timeout", 60.0, "session timeout; the server may shorten it",
    deprecated=("recovery.zookeeper.client.session-timeout",),
)  # fmt: skip
ZK_CONNECTION_TIMEOUT = duration(
    f"{_ZK_CLIENT}.connection-timeout", 15.0, "how long to wait for a connection",
    deprecated=("recovery.zookeeper.client.connection-timeout",),
)  # fmt: skip
ZK_RETRY_WAIT = duration(
    f"{_ZK_CLIENT}.retry-wait", 5.0,
    "how long a read waits for the connection before it is tried again; doubles",
    deprecated=("recovery.zookeeper.client.retry-wait",),
)  # fmt: skip
ZK_MAX_RETRIES = integer(
    f"{_ZK_CLIENT}.max-retry-attempts", 3, "how often a read is tried again",
    deprecated=("recovery.zookeeper.client.max-retry-attempts",),
)  # fmt: skip
ZK_ACL = choice(
    f"{_ZK_CLIENT}.acl", "open", "who may read and write our znodes: open or creator",
    {"open": "open", "creator": "creator"},
)  # fmt: skip
ZK_TOLERATE_SUSPENDED = boolean(
    f"{_ZK_CLIENT}.tolerate-suspended-connections", False,
    "whether leadership outlives a suspended connection until the session is lost",
)  # fmt: skip
ZK_ENSEMBLE_TRACKER = boolean(
    f"{_ZK_CLIENT}.ensemble-tracker", True, "whether to follow changes of the ensemble"
)
ZK_AUTHORIZATION = mapping(f"{_ZK_CLIENT}.authorization", "scheme:auth pairs added to the session")
ZK_MAX_CLOSE_WAIT = duration(f"{_ZK_CLIENT}.max-close-wait", None, "how long closing may take")
ZK_SIMULATED_EXPIRATION = integer(
    f"{_ZK_CLIENT}.simulated-session-expiration-percent", None,
    "after which share of the session timeout without contact the session counts as lost",
    most=100,
)  # fmt: skip
ZK_SSL_ENABLED = boolean(f"{_ZK}.ssl.enabled", False, "whether to speak TLS to the servers")
ZK_SSL_CA_FILE = text(
    f"{_ZK}.ssl.ca-file", None, "PEM file of the authorities that sign the servers' certificates"
)
ZK_SSL_CERT_FILE = text(f"{_ZK}.ssl.cert-file", None, "PEM file of our own certificate")
ZK_SSL_KEY_FILE = text(f"{_ZK}.ssl.key-file", None, "PEM file of our own private key")
ZK_SSL_KEY_PASSWORD = text(f"{_ZK}.ssl.key-password", None, "password of our own private key")
ZK_SSL_VERIFY_HOSTNAME = boolean(
    f"{_ZK}.ssl.verify-hostname", True, "whether a server's certificate must name its host"
)
ZK_SASL_MECHANISM = choice(
    f"{_ZK}.sasl.mechanism", "none", "how SASL authenticates: none, digest-md5 or gssapi",
    {"none": "none", "digest-md5": "DIGEST-MD5", "gssapi": "GSSAPI"},
)  # fmt: skip
ZK_SASL_USERNAME = text(f"{_ZK}.sasl.username", None, "user of SASL digest-md5")
ZK_SASL_PASSWORD = text(f"{_ZK}.sasl.password", None, "password of SASL digest-md5")
SASL_DISABLE = boolean("zookeeper.sasl.disable", False, "whether SASL is switched off")
SASL_SERVICE_NAME = text("zookeeper.sasl.service-name", "zookeeper", "service name of the servers")
SASL_LOGIN_CONTEXT = text("zookeeper.sasl.login-context-name", "Client", "login context name")
KERBEROS_CONTEXTS = text(
    "security.kerberos.login.contexts", None,
    "Client among them asks for Kerberos towards ZooKeeper, and needs sasl.mechanism: gssapi",
)  # fmt: skip

# --- Kubernetes ------------------------------------------------------------------------
K8S_CLUSTER_ID = text("kubernetes.cluster-id", None, "prefix of the names of our ConfigMaps")
K8S_NAMESPACE = text("kubernetes.namespace", "default", "namespace of our ConfigMaps")
K8S_CONTEXT = text("kubernetes.context", None, "context of the kubeconfig file")
K8S_CONFIG_FILE = text("kubernetes.config.file", None, "path of the kubeconfig file")
K8S_LEASE_DURATION = duration(f"{_K8S_LEASE}.lease-duration", 15.0, "length of a lease")
K8S_RENEW_DEADLINE = duration(f"{_K8S_LEASE}.renew-deadline", 15.0, "belief without renewal")
K8S_RETRY_PERIOD = duration(f"{_K8S_LEASE}.retry-period", 5.0, "pause between tries")
K8S_MAX_RETRIES = integer(
    "kubernetes.transactional-operation.max-retries", 15, "tries of one guarded update"
)
K8S_INITIAL_RETRY_DELAY = duration(
    "kubernetes.transactional-operation.initial-retry-delay", 0.05, "Flink only; no effect here",
    effective=False,
)  # fmt: skip
K8S_MAX_RETRY_DELAY = duration(
    "kubernetes.transactional-operation.max-retry-delay", 60.0, "Flink only; no effect here",
    effective=False,
)  # fmt: skip

# --- embedded --------------------------------------------------------------------------
EMBEDDED_DIRECTORY = location(
    f"{_EMBEDDED}.directory",
    "directory of the SQLite file; <storageDir>/<cluster-id>/ha when storageDir is local",
)  # fmt: skip
EMBEDDED_LEASE_DURATION = duration(
    f"{_EMBEDDED}.leader-election.lease-duration", 15.0, "length of a lease"
)
EMBEDDED_RENEW_DEADLINE = duration(
    f"{_EMBEDDED}.leader-election.renew-deadline", 15.0, "belief without renewal"
)
EMBEDDED_RETRY_PERIOD = duration(
    f"{_EMBEDDED}.leader-election.retry-period", 5.0, "pause between renewals"
)
EMBEDDED_CRASH_DETECTION = boolean(
    f"{_EMBEDDED}.crash-detection", True,
    "whether standbys notice by the leader's file lock that its process is dead",
)  # fmt: skip
EMBEDDED_BUSY_TIMEOUT = duration(
    f"{_EMBEDDED}.busy-timeout", 5.0, "how long a transaction waits for another one"
)

# --- job results and cleanup -----------------------------------------------------------
JOB_RESULT_STORAGE_PATH = location(
    "job-result-store.storage-path", "{storageDir}/job-result-store/{cluster-id} if not set"
)
JOB_RESULT_DELETE_ON_COMMIT = boolean(
    "job-result-store.delete-on-commit", True, "whether a clean result is deleted, not kept"
)
JOB_RESULT_EXPIRATION = duration(
    "hawork.job-result-store.expiration-time", 6 * 3600.0,
    "how long at least a repeated submission of an ended job is answered with its end, whether its "
    "result is kept or not; counted by each leader's own stopwatch; 0 forgets it at once",
)  # fmt: skip
CLEANUP_STRATEGY = choice(
    "cleanup-strategy.type", "exponential-delay", "how a failed cleanup is tried again",
    {
        "none": "none", "disable": "none", "off": "none",
        "fixed-delay": "fixed-delay", "fixeddelay": "fixed-delay",
        "exponential-delay": "exponential-delay", "exponentialdelay": "exponential-delay",
    },
    deprecated=("cleanup-strategy",),
)  # fmt: skip
CLEANUP_FIXED_ATTEMPTS = integer(
    "cleanup-strategy.fixed-delay.attempts", INFINITE, "retries", least=1
)
CLEANUP_FIXED_DELAY = duration("cleanup-strategy.fixed-delay.delay", 60.0, "pause")
CLEANUP_INITIAL_BACKOFF = duration(
    "cleanup-strategy.exponential-delay.initial-backoff", 1.0, "first pause; doubles"
)
CLEANUP_MAX_BACKOFF = duration(
    "cleanup-strategy.exponential-delay.max-backoff", 3600.0, "longest pause"
)
CLEANUP_EXPONENTIAL_ATTEMPTS = integer(
    "cleanup-strategy.exponential-delay.attempts", INFINITE, "retries", least=1
)

# --- runtime ---------------------------------------------------------------------------
HEARTBEAT_INTERVAL = duration("heartbeat.interval", 10.0, "pause between heartbeats")
HEARTBEAT_TIMEOUT = duration("heartbeat.timeout", 50.0, "silence after which a peer counts as lost")
SLOTS = integer("taskmanager.numberOfTaskSlots", 1, "slots of a TaskManager", least=1, most=1024)
PARALLELISM = integer("parallelism.default", 1, "subtasks of a job", least=1, most=32768)
SLOT_REQUEST_TIMEOUT = duration("slot.request.timeout", 300.0, "how long a job waits for slots")
CHECKPOINT_INTERVAL = duration(
    "execution.checkpointing.interval", None, "pause between checkpoints; none if not set"
)
CHECKPOINT_TIMEOUT = duration("execution.checkpointing.timeout", 600.0, "longest checkpoint")
RETAINED_CHECKPOINTS = integer(
    "execution.checkpointing.num-retained", 1, "completed checkpoints kept", least=1,
    deprecated=("state.checkpoints.num-retained",),
)  # fmt: skip
MEMORY_THRESHOLD = size(
    "execution.checkpointing.data-inline-threshold", 20 << 10,
    "state up to this size stays in the checkpoint",
    deprecated=("state.storage.fs.memory-threshold", "state.backend.fs.memory-threshold"),
)  # fmt: skip
RESTART_STRATEGY = choice(
    "restart-strategy.type", "exponential-delay", "what happens after a task failed",
    {
        "none": "none", "disable": "none", "off": "none",
        "fixed-delay": "fixed-delay", "fixeddelay": "fixed-delay",
        "exponential-delay": "exponential-delay", "exponentialdelay": "exponential-delay",
    },
    deprecated=("restart-strategy",),
)  # fmt: skip
RESTART_FIXED_ATTEMPTS = integer("restart-strategy.fixed-delay.attempts", 1, "restarts")
RESTART_FIXED_DELAY = duration("restart-strategy.fixed-delay.delay", 1.0, "pause")
_RESTART_EXP = "restart-strategy.exponential-delay"
RESTART_INITIAL_BACKOFF = duration(f"{_RESTART_EXP}.initial-backoff", 1.0, "first pause")
RESTART_MAX_BACKOFF = duration(f"{_RESTART_EXP}.max-backoff", 60.0, "longest pause")
RESTART_MULTIPLIER = number(f"{_RESTART_EXP}.backoff-multiplier", 1.5, "growth", least=1.0)
RESTART_RESET = duration(
    f"{_RESTART_EXP}.reset-backoff-threshold",
    3600.0,
    "quiet time after which pauses are short again",
)
RESTART_JITTER = number(f"{_RESTART_EXP}.jitter-factor", 0.1, "random share of each pause")
RESTART_EXP_ATTEMPTS = integer(
    f"{_RESTART_EXP}.attempts-before-reset-backoff", INFINITE, "restarts before the job fails"
)
REST_ADDRESS = text(
    "rest.address", "127.0.0.1", "host name that is published for REST",
    deprecated=("jobmanager.rpc.address",),
)  # fmt: skip
REST_BIND_ADDRESS = text(
    "rest.bind-address", "127.0.0.1", "address that REST listens on",
    deprecated=("web.address", "jobmanager.web.address"),
)  # fmt: skip
REST_PORT = integer(
    "rest.port", 0, "port of REST; 0 picks a free one", most=65535, deprecated=("web.port",)
)
REST_BIND_PORT = ports(
    "rest.bind-port", (0,), "ports to try for REST, such as 8081,9000-9010",
    deprecated=("rest.port", "web.port", "jobmanager.web.port"),
)  # fmt: skip
_SSL = "security.ssl"
SSL_REST_ENABLED = boolean(
    f"{_SSL}.rest.enabled", False, "whether REST speaks TLS", deprecated=(f"{_SSL}.enabled",)
)
SSL_REST_AUTHENTICATION = boolean(
    f"{_SSL}.rest.authentication-enabled", False, "whether clients of REST show a certificate, too"
)
SSL_REST_KEYSTORE = text(
    f"{_SSL}.rest.keystore", None, "file of our certificate and private key: PEM or PKCS12",
    deprecated=(f"{_SSL}.keystore",),
)  # fmt: skip
SSL_REST_KEYSTORE_PASSWORD = text(
    f"{_SSL}.rest.keystore-password", None, "password of that file",
    deprecated=(f"{_SSL}.keystore-password",),
)  # fmt: skip
SSL_REST_KEY_PASSWORD = text(
    f"{_SSL}.rest.key-password", None, "password of the key, if it differs from the file's",
    deprecated=(f"{_SSL}.key-password",),
)  # fmt: skip
SSL_REST_TRUSTSTORE = text(
    f"{_SSL}.rest.truststore", None,
    "file of the certificates that are trusted: PEM, JKS or PKCS12; the system's if not set",
    deprecated=(f"{_SSL}.truststore",),
)  # fmt: skip
SSL_REST_TRUSTSTORE_PASSWORD = text(
    f"{_SSL}.rest.truststore-password", None, "password of that file",
    deprecated=(f"{_SSL}.truststore-password",),
)  # fmt: skip
SSL_VERIFY_HOSTNAME = boolean(
    f"{_SSL}.verify-hostname", True, "whether the certificate of REST must name its host"
)
REST_MAX_CONTENT_LENGTH = integer(
    "rest.server.max-content-length", 104857600, "largest request in bytes", least=1024
)
REST_AWAIT_LEADER = duration("rest.await-leader-timeout", 30.0, "how long a client waits")
REST_CONNECTION_TIMEOUT = duration("rest.connection-timeout", 15.0, "how long connecting may take")
REST_RETRY_ATTEMPTS = integer(
    "rest.retry.max-attempts", 20, "Flink only; no effect here", effective=False
)
REST_RETRY_DELAY = duration("rest.retry.delay", 3.0, "Flink only; no effect here", effective=False)

# --- hawork's own ----------------------------------------------------------------------
RUN_DIRECTORY = location("hawork.run-directory", "where events and armed steps are kept")
REST_TOKEN_FILE = location("hawork.rest.token-file", "file with the token of every REST call")
REST_WITHOUT_TOKEN = choice(
    "hawork.rest.without-token", "none",
    "what programs on the same machine may do without the token, such as Flink's own client: "
    "none, read (list and look at jobs) or cancel (and cancel them)",
    {word: word for word in ("none", "read", "cancel")},
)  # fmt: skip
SUPERVISOR = boolean(
    "hawork.supervisor", True,
    "whether the leadership of a JobManager whose process died is given up in its name",
)  # fmt: skip
SUPERVISOR_WATCHDOG = duration(
    "hawork.supervisor.watchdog", 60.0,
    "after how long the supervisor kills a JobManager whose leadership thread or event loop does "
    "not answer, and gives its leadership up; at least 1 s, 0 switches it off",
)  # fmt: skip
STORAGE_SHARED = boolean(
    "hawork.storage.shared", False,
    "whether other users may own a local storageDir or write to it: they can then exchange what is "
    "stored, and remove it",
)  # fmt: skip
ARTIFACT_MAX_SIZE = size("hawork.artifact.max-size", 64 << 20, "largest artifact, unpacked")
STARTUP_TIMEOUT = duration(
    "hawork.startup.timeout", 300.0,
    "how long a JobManager or TaskManager that starts waits for an HA store or storageDir that is "
    "away; 0 ends it at once",
)  # fmt: skip
STORAGE_TIMEOUT = duration(
    "hawork.storage.timeout", 60.0,
    "how long one access to storageDir may take before a leader gives its leadership up",
)  # fmt: skip
IO_THREADS = integer(
    "hawork.io-threads", 4, "threads that read and write HA data", least=1, most=64
)

NAMESPACES = (f"{_HA}.", "job-result-store.", "cleanup-strategy.", "restart-strategy.", "hawork.")
"""Namespaces in which an unknown key is an error."""

_FOREIGN = (
    # Flink's own keys in our namespaces that only its engine uses; accepted, without effect.
    text("restart-strategy.failure-rate.max-failures-per-interval", None, "Flink only"),
    text("restart-strategy.failure-rate.failure-rate-interval", None, "Flink only"),
    text("restart-strategy.failure-rate.delay", None, "Flink only"),
)


def _collect() -> Mapping[str, Option[Any]]:
    options = [*(each for each in globals().values() if isinstance(each, Option)), *_FOREIGN]
    older = {key: option for option in options for key in option.deprecated}
    return MappingProxyType(older | {option.key: option for option in options})


ALL_OPTIONS = _collect()
"""Every accepted key, the deprecated ones included, and its option."""


def checked(values: Mapping[str, Any]) -> Configuration:
    """A configuration whose keys, values and relations are right.

    ``ConfigurationError`` names the key, the value and the fix otherwise.
    """
    config = values if isinstance(values, Configuration) else Configuration(values)
    config.check(ALL_OPTIONS, NAMESPACES)
    for lease, renew, retry in (
        (EMBEDDED_LEASE_DURATION, EMBEDDED_RENEW_DEADLINE, EMBEDDED_RETRY_PERIOD),
        (K8S_LEASE_DURATION, K8S_RENEW_DEADLINE, K8S_RETRY_PERIOD),
    ):
        _check_order(config, lease, renew, strict=False)
        _check_order(config, renew, retry, strict=True)
        _check_positive(config, retry)
    _check_order(config, HEARTBEAT_TIMEOUT, HEARTBEAT_INTERVAL, strict=True)
    _check_positive(config, HEARTBEAT_INTERVAL)
    _check_positive(config, ZK_SESSION_TIMEOUT)
    watchdog = config.get_option(SUPERVISOR_WATCHDOG)
    if 0 < watchdog < LEAST_WATCHDOG:
        raise ConfigurationError(
            f"option {SUPERVISOR_WATCHDOG.key} is {SUPERVISOR_WATCHDOG.show(watchdog)}, in which a "
            "process that is well does not always answer: write at least 1 s, or 0 for no watchdog"
        )
    if config.contains(CHECKPOINT_INTERVAL):
        _check_positive(config, CHECKPOINT_INTERVAL)
    return config


def _check_order(
    config: Configuration, longer: Option[float], shorter: Option[float], *, strict: bool
) -> None:
    long, short = config.get_option(longer), config.get_option(shorter)
    if long < short or (strict and long == short):
        relation = "longer than" if strict else "at least as long as"
        raise ConfigurationError(
            f"option {longer.key} ({longer.show(long)}) must be {relation} "
            f"{shorter.key} ({shorter.show(short)}): lengthen the first or shorten the second"
        )


def _check_positive(config: Configuration, option: Option[Any]) -> None:
    if config.get_option(option) <= 0:
        raise ConfigurationError(f"option {option.key} is 0: write a duration above zero")
