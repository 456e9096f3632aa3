"""A real control plane of Kubernetes on this machine: etcd and kube-apiserver, nothing else.

As envtest has it, with RBAC on and a token per user. It stores objects and decides who may
change them; nothing runs pods here. Takes about 300 MB of memory and 130 MB of disk.
"""

from __future__ import annotations

import base64
import contextlib
import csv
import io
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from hawork.backends.kubernetes.rights import RBAC, role, role_binding
from hawork.client.waiting import POLL
from hawork.core.errors import LabError
from hawork.core.private_files import private_directory, write_private
from hawork.servers.kubernetes.api import KubernetesApi, etcd_call
from hawork.servers.kubernetes.audit import POLICY, AuditedRequest, audited_requests
from hawork.servers.kubernetes.kubeconfig import write_kubeconfig
from hawork.servers.kubernetes.program import KubernetesPrograms
from hawork.servers.local_servers import LocalServers
from hawork.servers.machine import HOST, free_ports
from hawork.servers.tcp_proxy import TcpProxy

ADMIN = "admin"
API, ETCD = "api", "etcd"
NAMESPACE = "hawork"
_ETCD_SOCKET, _PEER_SOCKET = "etcd.sock:1", "peer.sock:1"
"""Files in a folder of their user alone: etcd asks for no password. It wants a port, too."""
_EFFECT_SECONDS = 10.0
_ANSWER_SECONDS = 10.0
_BOUNDARY = base64.b64encode(b"/hawork/compacted").decode()
# Both are written in Go. Collecting garbage earlier takes a fifth of the memory away.
_ENVIRONMENT = {"GOGC": "40"}
_FEW_APIS = {
    "runtime-config": ",".join((
        "api/all=false", "api/v1=true", "apps/v1=true", "rbac.authorization.k8s.io/v1=true",
        "authentication.k8s.io/v1=true", "authorization.k8s.io/v1=true",
        # It does not start without these two.
        "apiextensions.k8s.io/v1=true", "apiregistration.k8s.io/v1=true",
    )),
    # Plugins that look at the APIs which are left out.
    "disable-admission-plugins": ",".join((
        "ServiceAccount", "MutatingAdmissionWebhook", "ValidatingAdmissionWebhook", "RuntimeClass",
        "Priority", "DefaultIngressClass", "DefaultStorageClass", "PersistentVolumeClaimResize",
        "StorageObjectInUseProtection", "CertificateApproval", "CertificateSigning",
        "CertificateSubjectRestriction",
    )),
    "enable-priority-and-fairness": "false",
}  # fmt: skip
"""What HA, RBAC and the printed manifests need: half the processor time of a start and 0.6 of the
memory. Which APIs a server needs for itself differs: tried with 1.20."""
_TRIED_WITH_FEW = (1, 20)


class ControlPlane(LocalServers):
    """An API server with the servers ``etcd`` and ``api``; a context manager.

    ``users`` are names and what each may do with ConfigMaps in ``namespace``; a user gets its
    Role with its first ``kubeconfig``. Besides them there is ``admin``, who may do everything.
    ``audit`` keeps a log of requests. With ``watch_cache=False`` the API server serves watches
    of ConfigMaps from etcd itself, so that ``compact`` alone outdates them.

    ``LabError`` when a program is missing says what to install.
    """

    called = "server"
    start_seconds = 60.0

    def __init__(
        self,
        directory: Path,
        users: Mapping[str, Sequence[str]],
        *,
        namespace: str = NAMESPACE,
        audit: bool = False,
        watch_cache: bool = True,
        programs: KubernetesPrograms | None = None,
    ) -> None:
        if ADMIN in users:
            raise LabError(f"user {ADMIN!r} is there already: choose another name")
        self._programs = programs or KubernetesPrograms.find()
        super().__init__(directory, (ETCD, API))
        self._rights = {user: list(verbs) for user, verbs in users.items()}
        self._tokens = {user: secrets.token_hex(16) for user in (ADMIN, *users)}
        self.namespace = namespace
        self._audit = audit
        self._watch_cache = watch_cache
        (self.port,) = free_ports(1)
        self._bound: set[str] = set()
        self._proxies: dict[str, TcpProxy] = {}
        self._prepare()

    def __repr__(self) -> str:
        return f"ControlPlane({self.url!r})"

    @property
    def url(self) -> str:
        return f"https://{HOST}:{self.port}"

    @property
    def ca_file(self) -> Path:
        """The server's own certificate, which is there once it has started."""
        return self._directory / "certificates" / "apiserver.crt"

    @property
    def _sockets(self) -> Path:
        """Where both servers run: a name of a socket is short, the path of a lab may be long."""
        return self._directory / "sockets"

    @property
    def _etcd_socket(self) -> Path:
        return self._sockets / _ETCD_SOCKET

    @property
    def admin(self) -> KubernetesApi:
        """Calls as the administrator."""
        return KubernetesApi(self.port, self.ca_file, self._tokens[ADMIN])

    # --- life -----------------------------------------------------------------------------

    def stop(self) -> None:
        """End both servers at once; what they stored stays."""
        for proxy in self._proxies.values():
            proxy.close()
        self._proxies.clear()
        super().stop()

    # --- faults ---------------------------------------------------------------------------

    def compact(self) -> int:
        """Make etcd forget the past; returns the revision from which it remembers.

        A watch from before it gets 410 if etcd itself serves it. The API server's cache of
        watches remembers a while longer: see ``outdate_watches``.
        """
        # A change that is itself the first one remembered would come without its old value,
        # which the API server reports as an internal error. So that one is none of its objects.
        written = etcd_call(self._etcd_socket, "kv/put", {"key": _BOUNDARY, "value": _BOUNDARY})
        revision = int(written["header"]["revision"])
        request = {"revision": str(revision), "physical": True}
        etcd_call(self._etcd_socket, "kv/compaction", request)
        return revision

    def outdate_watches(self) -> None:
        """Break all watches and forget the past: one that comes back from there gets 410.

        ConfigMaps that have not changed since a watch saw them do not outdate it.
        """
        self.kill(API)
        self.compact()
        self.restart(API)

    @contextlib.contextmanager
    def full(self) -> Iterator[None]:
        """Meanwhile etcd says that its room is used up: whatever would add to it is refused."""
        alarm = {"memberID": "0", "alarm": "NOSPACE"}
        etcd_call(self._etcd_socket, "maintenance/alarm", {"action": "ACTIVATE", **alarm})
        try:
            yield
        finally:
            etcd_call(self._etcd_socket, "maintenance/alarm", {"action": "DEACTIVATE", **alarm})

    def revoke_right(self, user: str, verb: str) -> None:
        """Take a verb on ConfigMaps from a user; returns once the server refuses it."""
        self._set_rights(user, [each for each in self._rights_of(user) if each != verb], verb)

    def grant_right(self, user: str, verb: str) -> None:
        """Give a verb on ConfigMaps to a user; returns once the server allows it."""
        self._set_rights(user, [*self._rights_of(user), verb], verb)

    def proxy(self, user: str) -> TcpProxy:
        """The network between a user and the API server, to break it.

        It leads nowhere before the user has asked for a ``kubeconfig`` with ``proxied``.
        """
        self._running()
        if user not in self._proxies:
            self._proxies[self._user(user)] = TcpProxy((HOST, self.port))
        return self._proxies[user]

    # --- access ---------------------------------------------------------------------------

    def kubeconfig(self, user: str = ADMIN, *, proxied: bool = False) -> Path:
        """The kubeconfig file of a user; with ``proxied`` it leads through the user's proxy."""
        self._running()
        if self._user(user) != ADMIN and user not in self._bound:
            rights = self._rights[user]
            self.admin.apply(self._rbac("rolebindings"), role_binding(_role_name(user), user))
            self._set_rights(user, rights, rights[-1] if rights else None)
            self._bound.add(user)
        server = f"https://{self.proxy(user).address}" if proxied else self.url
        file = self.kubeconfig_file(user, proxied=proxied)
        write_kubeconfig(file, server, self.ca_file, user, self.token(user), self.namespace)
        return file

    def kubeconfig_file(self, user: str, *, proxied: bool = False) -> Path:
        """Where the kubeconfig of a user is, or will be."""
        return self._directory / f"kubeconfig-{user}{'-proxied' if proxied else ''}.yaml"

    def token(self, user: str) -> str:
        return self._tokens[self._user(user)]

    def as_user(self, user: str) -> KubernetesApi:
        """Calls as a user, past its proxy."""
        return KubernetesApi(self.port, self.ca_file, self.token(user))

    def may(self, user: str, verb: str) -> bool:
        """Whether the API server allows a user a verb on the ConfigMaps of the namespace."""
        resource = {"namespace": self.namespace, "verb": verb, "resource": "configmaps"}
        answer = self.admin.must(
            "POST",
            "/apis/authorization.k8s.io/v1/subjectaccessreviews",
            {
                "apiVersion": "authorization.k8s.io/v1",
                "kind": "SubjectAccessReview",
                "spec": {"user": user, "resourceAttributes": resource},
            },
        )
        return bool(answer["status"]["allowed"])

    # --- looking --------------------------------------------------------------------------

    def ready(self, timeout: float = 2.0) -> bool:
        """Whether the API server says so: it and its etcd serve, and the roles are there.

        ``False``, too, when it says nothing for ``timeout`` seconds.
        """
        if not self.ca_file.exists():
            return False
        try:
            return self.admin.call("GET", "/readyz", timeout=timeout)[0] == 200
        except OSError:
            return False

    def requests(self) -> list[AuditedRequest]:
        """What the users asked so far. ``LabError`` without ``audit``."""
        if not self._audit:
            raise LabError("this control plane keeps no audit log: make it with audit=True")
        return audited_requests(self._directory / "audit.log")

    def version(self) -> str:
        """The API server's, such as ``v1.20.2``."""
        return str(self.admin.must("GET", "/version")["gitVersion"])

    # --- helpers --------------------------------------------------------------------------

    def _serves(self, name: str) -> bool:
        # One that starts on a busy machine answers late, and all over again if asked anew.
        return self.ready(_ANSWER_SECONDS)

    def _needed(self, name: str) -> Sequence[str]:
        return self.names  # neither is ready without the other

    def _started(self) -> None:
        name = {"metadata": {"name": self.namespace}}
        self.admin.apply("/api/v1/namespaces", {"kind": "Namespace", **name})

    def _prepare(self) -> None:
        private_directory(self._sockets)
        private_directory(self.ca_file.parent)
        tokens = self._directory / "tokens.csv"
        text = io.StringIO(newline="")
        for user, token in self._tokens.items():
            groups = ["system:masters"] if user == ADMIN else []
            csv.writer(text).writerow([token, user, user, *groups])
        write_private(tokens, text.getvalue())
        (self._directory / "audit-policy.yaml").write_text(POLICY, encoding="utf-8")

    def _launch(self, name: str) -> None:
        if name == ETCD:
            for socket in (_ETCD_SOCKET, _PEER_SOCKET):  # of an etcd that was killed
                (self._sockets / socket).unlink(missing_ok=True)
        program, flags = self._etcd_command() if name == ETCD else self._api_command()
        argv = [program, *(f"--{flag}={value}" for flag, value in flags.items())]
        self._running().start(
            name, argv, env=_ENVIRONMENT, log=self.log(name), directory=self._sockets
        )

    def _etcd_command(self) -> tuple[str, dict[str, str]]:
        return self._programs.etcd, {
            "data-dir": str(self._directory / "etcd"),
            "listen-client-urls": f"unix://{_ETCD_SOCKET}",
            "advertise-client-urls": f"unix://{_ETCD_SOCKET}",
            # It has no peers, and what reached this port would be one.
            "listen-peer-urls": f"unix://{_PEER_SOCKET}",
            "initial-advertise-peer-urls": f"unix://{_PEER_SOCKET}",
            "initial-cluster": f"default=unix://{_PEER_SOCKET}",
            # The API server lets it forget the past each five minutes only. A bench that stores
            # thousands of jobs in one ConfigMap writes more by then than the 2 GiB it has else.
            "quota-backend-bytes": str(8 << 30),
            "logger": "zap",
            "log-level": "error",
        }

    def _api_command(self) -> tuple[str, dict[str, str]]:
        # The server makes this pair itself; that its key signs tokens, too, saves another pair.
        key = str(self.ca_file.with_suffix(".key"))
        flags = {
            "etcd-servers": f"unix://{_ETCD_SOCKET}",
            "cert-dir": str(self.ca_file.parent),
            "secure-port": str(self.port),
            "bind-address": HOST,
            "advertise-address": HOST,
            "endpoint-reconciler-type": "none",  # nothing looks the server up in the cluster
            "service-account-issuer": self.url,
            "service-account-key-file": key,
            "service-account-signing-key-file": key,
            "service-cluster-ip-range": "10.0.0.0/24",
            "authorization-mode": "RBAC",
            "anonymous-auth": "false",
            "profiling": "false",
            "token-auth-file": str(self._directory / "tokens.csv"),
            "disable-admission-plugins": "ServiceAccount",
        }
        if self._programs.version() == _TRIED_WITH_FEW:
            flags |= _FEW_APIS
        if not self._watch_cache:
            flags["watch-cache-sizes"] = "configmaps#0"
        if self._audit:
            flags["audit-log-path"] = str(self._directory / "audit.log")
            flags["audit-policy-file"] = str(self._directory / "audit-policy.yaml")
        return self._programs.kube_apiserver, flags

    def _set_rights(self, user: str, verbs: Sequence[str], changed: str | None) -> None:
        self.admin.apply(self._rbac("roles"), role(_role_name(user), verbs))
        self._rights[user] = list(verbs)
        end = time.monotonic() + _EFFECT_SECONDS
        while changed is not None and self.may(user, changed) != (changed in verbs):
            if time.monotonic() > end:
                raise LabError(f"the API server does not heed the new rights of {user}")
            time.sleep(POLL)  # its authorizer watches the Roles, and says nothing

    def _rights_of(self, user: str) -> Sequence[str]:
        if self._user(user) == ADMIN:
            raise LabError(f"the rights of {ADMIN} cannot be changed: choose another user")
        return self._rights[user]

    def _rbac(self, kind: str) -> str:
        return f"/apis/{RBAC}/v1/namespaces/{self.namespace}/{kind}"

    def _user(self, user: str) -> str:
        if user not in self._tokens:
            raise LabError(
                f"the control plane has no user {user!r}: choose one of {', '.join(self._tokens)}"
            )
        return user


def _role_name(user: str) -> str:
    return f"hawork-{user}"
