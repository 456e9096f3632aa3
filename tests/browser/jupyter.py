"""JupyterLab as ``make lab`` starts it, for a browser to look at."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import psutil

from hawork.servers.machine import free_ports
from hawork.testing import eventually

ROOT = Path(__file__).resolve().parent.parent.parent
START_WITHIN = 60.0
OWN_SOCKETS = "--KernelManager.transport=ipc"
"""Jupyter gives a kernel ports that anybody may take before the kernel binds them: it then dies at
its start, again and again, and Voila's page hangs."""
APP_IN_PAGE = "--LabApp.expose_app_in_browser=True"
"""A test opens and closes notebooks by JupyterLab's own commands, not loading it again."""


@dataclass(frozen=True)
class JupyterLab:
    """A running server, its working directory and its log."""

    process: subprocess.Popen[bytes]
    port: int
    token: str
    directory: Path
    log: Path
    runtime: Path

    @classmethod
    def start(cls, directory: Path, environment: dict[str, str]) -> JupyterLab:
        """Serve a copy of the notebooks below ``directory``; the checkout stays clean."""
        notebooks = directory / "notebooks"
        shutil.copytree(
            ROOT / "notebooks", notebooks, ignore=shutil.ignore_patterns(".ipynb_checkpoints")
        )
        write_settings(directory / "settings")
        log = directory / "jupyter.log"
        # The path of a socket is short: pytest's own directories are too deep for one.
        runtime = Path(tempfile.mkdtemp(prefix="hw-"))
        (port,), token = free_ports(1), secrets.token_hex(16)
        settings = {
            "JUPYTER_CONFIG_DIR": str(directory / "config"),
            "JUPYTER_DATA_DIR": str(directory / "data"),
            "JUPYTER_RUNTIME_DIR": str(runtime),
            "JUPYTER_TOKEN": token,
            "JUPYTERLAB_SETTINGS_DIR": str(directory / "settings"),
            "JUPYTERLAB_WORKSPACES_DIR": str(directory / "workspaces"),
        }
        command = [
            sys.executable, "-m", "hawork", "lab", "--notebooks", str(notebooks),
            "--", f"--port={port}", "--no-browser", OWN_SOCKETS, APP_IN_PAGE,
        ]  # fmt: skip
        with log.open("wb") as output:
            process = subprocess.Popen(
                command, stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                env={**environment, **settings}, start_new_session=True,
            )  # fmt: skip
        lab = cls(process, port, token, directory, log, runtime)
        try:
            eventually(lab.answers, timeout=START_WITHIN, interval=0.1)
        except BaseException:
            lab.stop()
            raise
        return lab

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}/{path}?token={self.token}"

    def answers(self) -> bool:
        if self.process.poll() is not None:
            raise RuntimeError(f"JupyterLab ended: {self.log.read_text(errors='replace')}")
        try:
            with urllib.request.urlopen(self.url("api/status"), timeout=5) as response:
                return response.status == 200
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False

    def end_kernels(self) -> None:
        """Shut all kernels down, and with them their labs."""
        with urllib.request.urlopen(self.url("api/kernels"), timeout=10) as response:
            kernels = json.load(response)
        for kernel in kernels:
            request = urllib.request.Request(
                self.url(f"api/kernels/{kernel['id']}"), method="DELETE"
            )
            request.add_header("Authorization", f"token {self.token}")
            urllib.request.urlopen(request, timeout=30).close()

    def lab_processes(self) -> list[psutil.Process]:
        """What the kernels' labs have started."""
        children = psutil.Process(self.process.pid).children(recursive=True)
        return [each for each in children if "hawork.runtime" in " ".join(each.cmdline())]

    def stop(self) -> None:
        """End the server; its kernels go with it, and their labs with them."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)
            try:
                self.process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()
        shutil.rmtree(self.runtime, ignore_errors=True)


def write_settings(directory: Path) -> None:
    """Settings that make a page predictable: every cell in the document, no news, no asking."""
    settings: dict[str, dict[str, object]] = {
        "notebook-extension/tracker": {"windowingMode": "none"},
        "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
        "docmanager-extension/plugin": {"autosave": False},
    }
    for name, values in settings.items():
        path = directory / "@jupyterlab" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values))
