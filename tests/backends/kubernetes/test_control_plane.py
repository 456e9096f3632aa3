"""The lab's own API server: who may do what on it, and how it is broken."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import uuid
from collections.abc import Iterator
from http.client import HTTPSConnection
from pathlib import Path
from ssl import create_default_context
from typing import Any

import psutil
import pytest
import yaml

from hawork.backends.kubernetes.rights import JOB_MANAGER_VERBS, TASK_MANAGER_VERBS
from hawork.core.errors import LabError
from hawork.servers.kubernetes.api import KubernetesApi
from hawork.servers.kubernetes.audit import audited_requests, by_user_and_verb
from hawork.servers.kubernetes.control_plane import ControlPlane
from hawork.servers.kubernetes.program import ASSETS, KubernetesPrograms
from hawork.testing import eventually

MAPS = "/api/v1/namespaces/hawork/configmaps"


@pytest.fixture
def name() -> str:
    return f"test-{uuid.uuid4().hex[:12]}"


def config_map(name: str, **data: str) -> dict[str, Any]:
    return {"metadata": {"name": name}, "data": data}


def status(api: KubernetesApi, method: str, path: str, body: Any = None) -> int:
    return api.call(method, path, body)[0]


# --- users ------------------------------------------------------------------------------------


def test_a_job_manager_may_do_everything_with_config_maps_and_nothing_else(
    control_plane: ControlPlane, name: str
) -> None:
    control_plane.kubeconfig("jm-1")
    user = control_plane.as_user("jm-1")
    assert status(user, "POST", MAPS, config_map(name, counter="1")) == 201
    assert status(user, "PATCH", f"{MAPS}/{name}", config_map(name, counter="3")) == 200
    assert user.call("GET", f"{MAPS}/{name}")[1]["data"] == {"counter": "3"}
    assert status(user, "GET", MAPS) == 200
    assert status(user, "GET", f"{MAPS}?watch=1&timeoutSeconds=1&resourceVersion=0") == 200
    assert status(user, "DELETE", f"{MAPS}/{name}") == 200

    assert status(user, "GET", "/api/v1/namespaces/default/configmaps") == 403
    assert status(user, "GET", "/api/v1/namespaces/hawork/secrets") == 403
    assert status(user, "DELETE", MAPS) == 403, "that would be deletecollection"
    assert status(user, "PUT", f"{MAPS}/{name}", config_map(name)) == 403


def test_a_task_manager_may_only_read(control_plane: ControlPlane, name: str) -> None:
    control_plane.kubeconfig("tm-1")
    user = control_plane.as_user("tm-1")
    assert status(user, "GET", MAPS) == 200
    assert status(user, "POST", MAPS, config_map(name)) == 403
    allowed = {verb for verb in JOB_MANAGER_VERBS if control_plane.may("tm-1", verb)}
    assert allowed == set(TASK_MANAGER_VERBS)


def test_an_unknown_token_is_refused(control_plane: ControlPlane) -> None:
    stranger = KubernetesApi(control_plane.port, control_plane.ca_file, "guessed")
    assert status(stranger, "GET", MAPS) == 401


def test_the_official_client_reads_a_kubeconfig(control_plane: ControlPlane, name: str) -> None:
    from kubernetes import client, config

    file = control_plane.kubeconfig("jm-2", proxied=True)
    with config.new_client_from_config(str(file)) as api:
        maps = client.CoreV1Api(api)
        maps.create_namespaced_config_map("hawork", config_map(name, counter="1"))
        assert maps.read_namespaced_config_map(name, "hawork").data == {"counter": "1"}
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    context = yaml.safe_load(file.read_text())["contexts"][0]
    assert context["context"]["namespace"] == "hawork"


def test_a_user_that_is_not_there_is_named(control_plane: ControlPlane) -> None:
    with pytest.raises(LabError, match="no user 'jm-9': choose one of admin, jm-1"):
        control_plane.kubeconfig("jm-9")
    with pytest.raises(LabError, match="'admin' is there already"):
        ControlPlane(Path("never"), {"admin": ()})


def test_rights_are_taken_and_given_back(own_control_plane: ControlPlane, name: str) -> None:
    own_control_plane.kubeconfig("jm-1")
    user = own_control_plane.as_user("jm-1")
    assert status(user, "POST", MAPS, config_map(name)) == 201
    own_control_plane.revoke_right("jm-1", "patch")
    assert status(user, "PATCH", f"{MAPS}/{name}", config_map(name)) == 403
    assert status(user, "GET", f"{MAPS}/{name}") == 200
    own_control_plane.grant_right("jm-1", "patch")
    assert status(user, "PATCH", f"{MAPS}/{name}", config_map(name)) == 200
    with pytest.raises(LabError, match="the rights of admin cannot be changed"):
        own_control_plane.revoke_right("admin", "get")


# --- what was asked ---------------------------------------------------------------------------


def test_requests_are_counted_by_user_and_verb(control_plane: ControlPlane, name: str) -> None:
    control_plane.kubeconfig("jm-3")
    user = control_plane.as_user("jm-3")
    user.must("POST", MAPS, config_map(name))
    for _ in range(3):
        user.must("GET", f"{MAPS}/{name}")
    user.call("GET", f"{MAPS}?watch=1&timeoutSeconds=1&fieldSelector=metadata.name={name}")
    status(user, "GET", f"{MAPS}/{name}-not-there")

    of_jm_3 = [each for each in control_plane.requests() if each.user == "jm-3"]
    assert by_user_and_verb(of_jm_3) == {
        ("jm-3", "create"): 1, ("jm-3", "get"): 4, ("jm-3", "watch"): 1,
    }  # fmt: skip
    assert [each.status for each in of_jm_3] == [201, 200, 200, 200, 200, 404]
    assert {each.resource for each in of_jm_3} == {"configmaps"}
    assert not [each for each in control_plane.requests() if each.user == "admin"]


def test_a_line_that_is_still_being_written_is_left_for_later(tmp_path: Path) -> None:
    record = {
        "auditID": "1", "verb": "get", "requestReceivedTimestamp": "2026-11-24T07:00:00.000001Z",
        "user": {"username": "jm-1"},
    }  # fmt: skip
    log = tmp_path / "audit.log"
    log.write_text(json.dumps(record) + "\n" + json.dumps(record)[:40])
    (request,) = audited_requests(log)
    assert (request.user, request.verb, request.resource) == ("jm-1", "get", "")


def test_without_an_audit_log_nothing_is_counted(own_control_plane: ControlPlane) -> None:
    with pytest.raises(LabError, match="make it with audit=True"):
        own_control_plane.requests()


# --- faults -----------------------------------------------------------------------------------


def test_what_was_stored_survives_both_servers(own_control_plane: ControlPlane, name: str) -> None:
    api, port = own_control_plane.admin, own_control_plane.port
    api.must("POST", MAPS, config_map(name, counter="7"))
    own_control_plane.kill()
    with pytest.raises(OSError, match="refused"):
        api.call("GET", MAPS)
    own_control_plane.restart()
    assert own_control_plane.port == port
    assert api.must("GET", f"{MAPS}/{name}")["data"] == {"counter": "7"}
    status_of_old_token = status(own_control_plane.as_user("jm-1"), "GET", f"{MAPS}/{name}")
    assert status_of_old_token in (200, 403), "tokens survive; the right depends on other tests"


@pytest.mark.parametrize("server", ["api", "etcd"])
def test_a_paused_server_answers_nobody_and_goes_on(
    own_control_plane: ControlPlane, name: str, server: str
) -> None:
    api = own_control_plane.admin
    own_control_plane.pause(server)
    try:
        with pytest.raises(OSError, match="timed out"):
            api.call("POST", MAPS, config_map(name), timeout=1.0)
    finally:
        own_control_plane.resume(server)
    own_control_plane.wait_ready()
    answer = eventually(lambda: status(api, "PUT", f"{MAPS}/{name}", config_map(name)))
    assert answer in (200, 404), "whether the request was heard is up to the fault"


def test_a_watch_from_before_the_history_is_told_so(
    own_control_plane: ControlPlane, name: str
) -> None:
    api = own_control_plane.admin
    first = api.must("POST", MAPS, config_map(name))["metadata"]["resourceVersion"]
    for counter in range(3):
        api.must("PUT", f"{MAPS}/{name}", config_map(name, counter=str(counter)))
    watch = f"{MAPS}?watch=1&timeoutSeconds=1&resourceVersion={first}"
    assert '"code":410' not in str(api.call("GET", watch)[1])
    own_control_plane.outdate_watches()
    event = api.call("GET", watch)[1]
    assert (event["type"], event["object"]["code"]) == ("ERROR", 410)


def test_without_a_cache_of_watches_compaction_is_enough(tmp_path: Path, name: str) -> None:
    with ControlPlane(tmp_path / "kubernetes", {}, watch_cache=False) as control_plane:
        api = control_plane.admin
        first = api.must("POST", MAPS, config_map(name))["metadata"]["resourceVersion"]
        api.must("PUT", f"{MAPS}/{name}", config_map(name, counter="1"))
        assert control_plane.compact() > int(first)
        event = api.call("GET", f"{MAPS}?watch=1&timeoutSeconds=1&resourceVersion={first}")[1]
        assert (event["type"], event["object"]["code"]) == ("ERROR", 410)


@pytest.fixture
def through_proxy(own_control_plane: ControlPlane) -> Iterator[HTTPSConnection]:
    """A connection of jm-2 that stands, through its proxy."""
    file = own_control_plane.kubeconfig("jm-2", proxied=True)
    server = yaml.safe_load(file.read_text())["clusters"][0]["cluster"]["server"]
    host, _, port = server.removeprefix("https://").partition(":")
    context = create_default_context(cafile=str(own_control_plane.ca_file))
    connection = HTTPSConnection(host, int(port), timeout=5.0, context=context)
    yield connection
    connection.close()
    own_control_plane.proxy("jm-2").heal()


def ask(connection: HTTPSConnection, control_plane: ControlPlane) -> int:
    headers = {"Authorization": f"Bearer {control_plane.token('jm-2')}"}
    connection.request("GET", MAPS, headers=headers)
    response = connection.getresponse()
    response.read()
    return response.status


@pytest.mark.parametrize("how", ["cut", "blackhole"])
def test_one_user_is_cut_off_and_the_others_are_not(
    own_control_plane: ControlPlane, through_proxy: HTTPSConnection, how: str
) -> None:
    assert ask(through_proxy, own_control_plane) == 200
    getattr(own_control_plane.proxy("jm-2"), how)()
    with pytest.raises(OSError):
        ask(through_proxy, own_control_plane)
    assert status(own_control_plane.as_user("jm-2"), "GET", MAPS) == 200
    through_proxy.close()
    own_control_plane.proxy("jm-2").heal()
    assert ask(through_proxy, own_control_plane) == 200


# --- life -------------------------------------------------------------------------------------


def test_nothing_is_left_when_it_stops(tmp_path: Path) -> None:
    control_plane = ControlPlane(tmp_path / "kubernetes", {})
    with pytest.raises(LabError, match="not running: start it first"):
        control_plane.kubeconfig()
    with control_plane:
        pids = [control_plane.pid(server) for server in ("etcd", "api")]
        memory = sum(psutil.Process(pid).memory_info().rss for pid in pids)
        with pytest.raises(LabError, match="there is no server 'zk-1': use api or etcd"):
            control_plane.pause("zk-1")
        assert re.match(r"v\d+\.\d+\.\d+", control_plane.version())  # a bare build says v0.0.0-...
    assert not [pid for pid in pids if psutil.pid_exists(pid)]
    assert memory < 450 << 20


def test_a_server_that_does_not_come_up_is_quoted(tmp_path: Path) -> None:
    broken = tmp_path / "kube-apiserver"
    broken.write_text("#!/bin/sh\necho 'Error: the disk is on fire' >&2\nexit 1\n")
    broken.chmod(0o755)
    programs = KubernetesPrograms(KubernetesPrograms.find().etcd, str(broken))
    control_plane = ControlPlane(tmp_path / "kubernetes", {}, programs=programs)
    with pytest.raises(LabError, match="api ended: Error: the disk is on fire"):
        control_plane.start()


# --- programs ---------------------------------------------------------------------------------


def programs_in(directory: Path, *names: str) -> Path:
    directory.mkdir(parents=True)
    for each in names:
        (directory / each).touch(0o755)
    return directory


def test_the_named_directory_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    named = programs_in(tmp_path / "named", "etcd", "kube-apiserver")
    monkeypatch.setenv(ASSETS, str(named))
    assert KubernetesPrograms.find().etcd == str(named / "etcd")
    (named / "etcd").unlink()
    with pytest.raises(LabError, match=rf"{ASSETS} is {named}, which lacks etcd: run scripts/"):
        KubernetesPrograms.find()


def test_what_was_built_comes_before_the_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(ASSETS, raising=False)
    monkeypatch.setenv("KUBE_ASSETS_DIR", str(tmp_path / "cache"))
    on_path = programs_in(tmp_path / "path", "etcd", "kube-apiserver")
    monkeypatch.setenv("PATH", str(on_path), prepend=os.pathsep)
    assert shutil.which("etcd") == str(on_path / "etcd")
    assert KubernetesPrograms.find().kube_apiserver == str(on_path / "kube-apiserver")
    built = programs_in(tmp_path / "cache" / "1.20", "etcd", "kube-apiserver")
    assert KubernetesPrograms.find().kube_apiserver == str(built / "kube-apiserver")


def test_it_is_said_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ASSETS, raising=False)
    monkeypatch.setenv("KUBE_ASSETS_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LabError, match=r"etcd and kube-apiserver not found.*setup-envtest.*conda"):
        KubernetesPrograms.find()
