"""The API server or etcd away, watches that break or are outdated."""

from __future__ import annotations

import datetime
import json
import socket
import threading
from pathlib import Path
from typing import Any

import pytest
import yaml

from hawork.backends.kubernetes import credentials
from hawork.backends.kubernetes.layout import LOCK, encode_leader_information, leader_key
from hawork.core.errors import HighAvailabilityError
from hawork.core.events import EventKind
from hawork.core.types import DISPATCHER, LeaderInformation
from hawork.ha.pointer_store import JOB_GRAPHS
from hawork.servers.kubernetes.control_plane import API, ETCD, ControlPlane
from hawork.testing import eventually
from tests.backends.kubernetes.kubernetes_setup import ClusterUnderTest, Contender
from tests.contract.harness import Observer


def leads(contenders: list[Contender]) -> Contender:
    found = eventually(lambda: next((each for each in contenders if each.leads), None))
    assert found is not None
    return found


@pytest.mark.parametrize("server", [API, ETCD])
def test_a_pause_longer_than_the_lease(own_cluster: ClusterUnderTest, server: str) -> None:
    contenders = [own_cluster.contender() for _ in range(3)]
    leader = leads(contenders)
    old = leader.session_id
    assert old is not None
    leader.pointers(JOB_GRAPHS).create("a", b"one", old)
    own_cluster.control_plane.pause(server)
    try:
        leader.wait_for_revoke()
        assert not any(each.leads for each in contenders)
    finally:
        own_cluster.control_plane.resume(server)
    after = leads(contenders)
    assert after.session_id not in (None, old)
    assert [name for name, _ in after.pointers(JOB_GRAPHS).entries()] == ["a"]
    for each in contenders:
        assert not each.of("error"), "nobody has to do anything"


def test_a_name_service_that_hangs_revokes_a_leader_in_time(
    cluster: ClusterUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Resolving a name knows no time limit; the belief of a leader that renews meanwhile does."""
    leader = cluster.contender()
    session_id = leader.wait_for_grant()
    back, resolve = threading.Event(), socket.getaddrinfo

    def slow(*args: Any, **named: Any) -> Any:
        assert back.wait(60)
        return resolve(*args, **named)

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    try:
        credentials = leader.backend._client._transport._credentials
        credentials._session.pool.clear()  # the next request needs a new connection
        leader.wait_for_revoke()
        assert not leader.driver.has_leadership(session_id)
    finally:
        back.set()
    assert leader.wait_for_grant(different_from=session_id)
    assert not leader.of("error")


def test_an_exec_plugin_that_hangs_revokes_a_leader_in_time(
    cluster: ClusterUnderTest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its token is over while the leader renews, and it does not come back with another one."""
    monkeypatch.setattr(credentials, "_GLANCE", 0.1)
    monkeypatch.setattr(credentials, "_AGAIN", 0.0)
    content = yaml.safe_load(cluster.control_plane.kubeconfig("jm-1").read_text())
    (entry,) = content["users"]
    ends = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=3)
    status = {"token": entry["user"]["token"], "expirationTimestamp": ends.isoformat()}
    version = "client.authentication.k8s.io/v1"
    answer = {"apiVersion": version, "kind": "ExecCredential", "status": status}
    plugin = tmp_path / "plugin"
    # The first time it answers, then it hangs until the file is gone.
    plugin.write_text(
        f"#!/bin/sh\nif mkdir {tmp_path}/asked; then echo '{json.dumps(answer)}'; exit; fi\n"
        f"while [ -e {tmp_path}/asked ]; do sleep 0.1; done\nexit 1\n"
    )
    plugin.chmod(0o755)
    entry["user"] = {"exec": {"apiVersion": version, "command": str(plugin)}}
    file = tmp_path / "kubeconfig.yaml"
    file.write_text(yaml.safe_dump(content))
    leader = cluster.contender(K8S_CONFIG_FILE=str(file))
    session_id = leader.wait_for_grant()
    leader.wait_for_revoke()
    assert not leader.driver.has_leadership(session_id)
    (tmp_path / "asked").rmdir()


def test_an_api_server_that_comes_back_within_the_lease(own_cluster: ClusterUnderTest) -> None:
    control_plane: ControlPlane = own_cluster.control_plane
    leader = own_cluster.contender(
        K8S_LEASE_DURATION="60 s", K8S_RENEW_DEADLINE="60 s", K8S_RETRY_PERIOD="500 ms"
    )
    session_id = leader.wait_for_grant()
    control_plane.kill(API)
    control_plane.restart(API)
    lock = own_cluster.lock()
    eventually(lambda: own_cluster.lock()["renewTime"] > lock["renewTime"])
    assert leader.driver.has_leadership(session_id)
    assert not leader.of("revoke")
    observer = Observer()
    driver = leader.backend.retrieval_driver(DISPATCHER, observer)
    information = LeaderInformation(session_id, "http://here:1")
    leader.driver.publish_leader_information(DISPATCHER, information)
    observer.wait_for(information)
    driver.close()


def test_a_standby_whose_watch_was_outdated_leads_at_once(own_cluster: ClusterUnderTest) -> None:
    """One whose watch went silent for good would wait for the lease to run out."""
    # A retry period is also what a leader has for giving up its lock.
    lease = {
        "K8S_LEASE_DURATION": "120 s", "K8S_RENEW_DEADLINE": "120 s", "K8S_RETRY_PERIOD": "2 s",
    }  # fmt: skip
    leader = own_cluster.contender(**lease)
    session_id = leader.wait_for_grant()
    standby = own_cluster.contender(**lease)
    eventually(lambda: standby.backend._watch.live)
    own_cluster.control_plane.outdate_watches()
    lock = own_cluster.lock()
    eventually(lambda: own_cluster.lock()["renewTime"] > lock["renewTime"])
    assert leader.driver.has_leadership(session_id)
    leader.driver.close()
    standby.wait_for_grant()


def test_an_outdated_watch_lists_again(own_cluster: ClusterUnderTest) -> None:
    leader = own_cluster.contender(
        K8S_LEASE_DURATION="60 s", K8S_RENEW_DEADLINE="60 s", K8S_RETRY_PERIOD="500 ms"
    )
    session_id = leader.wait_for_grant()
    observer = Observer()
    driver = own_cluster.open().retrieval_driver(DISPATCHER, observer)
    first = LeaderInformation(session_id, "http://here:1")
    leader.driver.publish_leader_information(DISPATCHER, first)
    observer.wait_for(first)
    own_cluster.control_plane.outdate_watches()
    second = LeaderInformation(session_id, "http://here:2")
    eventually(lambda: publish(leader, second))
    observer.wait_for(second)
    driver.close()


def publish(leader: Contender, information: LeaderInformation) -> bool:
    try:
        leader.driver.publish_leader_information(DISPATCHER, information)
    except HighAvailabilityError:
        return False
    return True


def test_an_address_that_nobody_renews_is_unsure(cluster: ClusterUnderTest) -> None:
    """Flink leaves it there until the next leader comes."""
    leader = cluster.proxied("jm-2")
    session_id = leader.wait_for_grant()
    observer = Observer()
    driver = cluster.open().retrieval_driver(DISPATCHER, observer)
    information = LeaderInformation(session_id, "http://here:1")
    leader.driver.publish_leader_information(DISPATCHER, information)
    observer.wait_for(information)
    proxy = cluster.control_plane.proxy("jm-2")
    proxy.blackhole()
    try:
        observer.wait_for(None)
        assert cluster.data(), "the API server still has it"
    finally:
        proxy.heal()
    again = leader.wait_for_grant(different_from=session_id)
    information = LeaderInformation(again, "http://here:2")
    leader.driver.publish_leader_information(DISPATCHER, information)
    observer.wait_for(information)
    driver.close()


def test_nobody_leading_is_no_outage(own_cluster: ClusterUnderTest) -> None:
    """Nothing comes from a watch then, and the API server is there all the same."""
    leader = own_cluster.contender()
    session_id = leader.wait_for_grant()
    information = LeaderInformation(session_id, "http://here:1")
    leader.driver.publish_leader_information(DISPATCHER, information)
    # The lock can be written, and leadership granted, before the first watch is open.
    eventually(lambda: states(own_cluster) == ["CONNECTED"])
    lock = own_cluster.lock_text()
    leader.driver.close()
    leader.backend.close()
    # As a leader leaves it that was killed, without anybody to clean up behind it.
    data = {leader_key(DISPATCHER): encode_leader_information(information)}
    own_cluster.patch(data=data, annotations={LOCK: lock})
    backend, observer = own_cluster.open(), Observer()
    driver = backend.retrieval_driver(DISPATCHER, observer)
    observer.wait_for(information)
    observer.wait_for(None)
    told = len(observer.calls)
    eventually(lambda: len(observer.calls) >= told + 4)  # two silences more
    late = Observer()
    second = backend.retrieval_driver(DISPATCHER, late)
    late.wait_for(None)
    assert ("leader", information) not in late.calls
    assert states(own_cluster) == ["CONNECTED"] * 2  # the leader's process, and this one
    own_cluster.control_plane.pause()
    try:
        eventually(lambda: not backend._watch.live)
    finally:
        own_cluster.control_plane.resume()
    eventually(lambda: states(own_cluster)[2:] == ["SUSPENDED", "RECONNECTED"])
    assert backend._watch.live
    second.close()
    driver.close()


def states(cluster: ClusterUnderTest) -> list[str]:
    return [
        event.facts["state"]
        for event in cluster.events.recent()
        if event.kind is EventKind.STORE_CONNECTION
    ]


def test_an_error_that_nobody_expected_ends_no_watch(
    cluster: ClusterUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as a library's, of an answer that was cut off in the middle."""
    leader = cluster.contender()
    information = LeaderInformation(leader.wait_for_grant(), "http://here:1")
    backend, observer = cluster.open(), Observer()

    def broken(*_: object) -> None:
        monkeypatch.undo()
        raise RuntimeError("cut off")

    monkeypatch.setattr(backend._client, "watch", broken)
    driver = backend.retrieval_driver(DISPATCHER, observer)
    leader.driver.publish_leader_information(DISPATCHER, information)
    observer.wait_for(information)
    # What was published may have been in the list already.
    said = "the watch failed: RuntimeError('cut off')"
    eventually(lambda: said in [event.facts.get("reason") for event in cluster.events.recent()])
    eventually(lambda: backend._watch.live)
    driver.close()


def test_a_watch_that_breaks_is_opened_again(cluster: ClusterUnderTest) -> None:
    leader = cluster.contender()
    session_id = leader.wait_for_grant()
    observer = Observer()
    file = str(cluster.control_plane.kubeconfig("tm-1", proxied=True))
    driver = cluster.open(K8S_CONFIG_FILE=file).retrieval_driver(DISPATCHER, observer)
    for number in range(4):
        information = LeaderInformation(session_id, f"http://here:{number}")
        leader.driver.publish_leader_information(DISPATCHER, information)
        observer.wait_for(information)
        cluster.control_plane.proxy("tm-1").drop()
    driver.close()
    assert leader.driver.has_leadership(session_id)
