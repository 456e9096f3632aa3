"""As much of an API server as credentials and networks need: TLS, and who may come in."""

from __future__ import annotations

import http.server
import json
import ssl
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import trustme
import yaml

from hawork.backends.kubernetes.client import KubernetesClient
from hawork.backends.kubernetes.settings import KubernetesSettings
from hawork.core.options import checked

ALLOWED = {"status": {"allowed": True}}
DENIED = {"kind": "Status", "message": "Unauthorized", "reason": "Unauthorized"}


class FakeApiServer:
    """Answers every review with yes; ``tokens`` are those that it takes, ``None`` for all.

    ``asked`` holds the headers of each request, with the subject of the client's certificate.
    ``before_answer`` runs when a request was read; it may wait.
    """

    def __init__(self, directory: Path) -> None:
        self.authority = trustme.CA()
        self.tokens: set[str] | None = None
        self.asked: list[dict[str, Any]] = []
        self.before_answer: Callable[[], object] = lambda: None
        self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.authority.issue_cert("127.0.0.1", "api.example").configure_cert(self._context)
        self.authority.configure_trust(self._context)
        self._context.verify_mode = ssl.CERT_OPTIONAL
        self._directory = directory
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                certificate: Any = self.connection.getpeercert()  # type: ignore[attr-defined]
                names = [value for _, value in certificate["subjectAltName"]] if certificate else []
                server.asked.append({**self.headers, "certificate": names})
                server.before_answer()
                token = str(self.headers.get("Authorization", "")).removeprefix("Bearer ")
                known = server.tokens is None or token in server.tokens
                body = json.dumps(ALLOWED if known else DENIED).encode()
                self.send_response(201 if known else 401)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                return

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def get_request(self) -> tuple[Any, Any]:
                connection, address = super().get_request()
                # The handshake belongs to the connection's own thread.
                return server._context.wrap_socket(
                    connection, server_side=True, do_handshake_on_connect=False
                ), address

            def handle_error(self, *_: object) -> None:
                return  # a client that does not trust us

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"https://127.0.0.1:{self._server.server_address[1]}"
        self.ca_file = directory / "ca.crt"
        self.authority.cert_pem.write_to_path(str(self.ca_file))

    def __enter__(self) -> FakeApiServer:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    # --- kubeconfigs ------------------------------------------------------------------------

    def kubeconfig(
        self, user: dict[str, Any] | None = None, name: str = "kubeconfig.yaml", **cluster: Any
    ) -> Path:
        """A kubeconfig for this server; keywords change its cluster entry."""
        described = {
            "server": self.url,
            "certificate-authority": str(self.ca_file),
            **{key.replace("_", "-"): value for key, value in cluster.items()},
        }
        content = {
            "current-context": "it",
            "contexts": [{"name": "it", "context": {"cluster": "it", "user": "me"}}],
            "clusters": [
                {"name": "it", "cluster": {k: v for k, v in described.items() if v is not None}}
            ],
            "users": [{"name": "me", "user": user or {}}],
        }
        path = self._directory / name
        path.write_text(yaml.safe_dump(content))
        return path

    def plugin(self, script: str, **more: Any) -> dict[str, Any]:
        """A user whose credentials a shell script gives."""
        path = self._directory / "plugin"
        path.write_text(f"#!/bin/sh\n{script}")
        path.chmod(0o755)
        api = "client.authentication.k8s.io/v1"
        return {
            "exec": {"apiVersion": api, "command": str(path), "interactiveMode": "Never", **more}
        }


def credential(api: str = "client.authentication.k8s.io/v1", **status: Any) -> str:
    """A line of a shell script that answers as an exec plugin does."""
    answer = json.dumps({"apiVersion": api, "kind": "ExecCredential", "status": status})
    return f"cat <<'END'\n{answer}\nEND\n"


def settings(kubeconfig: Path | str | None, **values: Any) -> KubernetesSettings:
    common = {
        "high-availability.type": "kubernetes",
        "kubernetes.cluster-id": "test",
        "kubernetes.config.file": None if kubeconfig is None else str(kubeconfig),
        **values,
    }
    return KubernetesSettings.of(checked({k: v for k, v in common.items() if v is not None}))


def client(kubeconfig: Path | str | None, **values: Any) -> KubernetesClient:
    return KubernetesClient(settings(kubeconfig, **values))
