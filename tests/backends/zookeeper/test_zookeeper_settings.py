"""Options as values: what is wrong or cannot be honoured is refused, in one sentence."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest
from kazoo.hosts import collect_hosts

from hawork.backends.zookeeper.ensemble import client_addresses
from hawork.backends.zookeeper.paths import (
    ZNodePaths,
    entry_name,
    in_latch_order,
    name_of_entry,
    session_id_of,
)
from hawork.backends.zookeeper.settings import ZooKeeperSettings
from hawork.core import options
from hawork.core.errors import ConfigurationError
from hawork.core.options import checked


def settings(**values: Any) -> ZooKeeperSettings:
    named = {getattr(options, name).key: value for name, value in values.items()}
    return ZooKeeperSettings.of(checked({options.ZK_QUORUM.key: "localhost:2181", **named}))


def test_flinks_defaults() -> None:
    found = settings()
    assert (found.session_timeout, found.connection_timeout) == (60.0, 15.0)
    assert (found.retry_wait, found.max_retries) == (5.0, 3)
    assert not (found.tolerate_suspended or found.creator_acl or found.tls or found.sasl)
    assert found.track_ensemble


@pytest.mark.parametrize(
    ("quorum", "servers", "chroot"),
    [
        ("a:1,b:2", ("a:1", "b:2"), ""),
        ("a", ("a:2181",), ""),
        ("a:1, ,b:2,/x/y", ("a:1", "b:2"), "/x/y"),
        ("[::1]:2181,[::2]", ("[::1]:2181", "[::2]:2181"), ""),
        # Oracle of these: ConnectStringParser, run from Flink's jar.
        ("a:1,", ("a:1",), ""),
        ("a:1,,b:2", ("a:1", "b:2"), ""),
        (", a:1 ,", ("a:1",), ""),
        ("a:1,/lab", ("a:1",), "/lab"),
        ("a:1/", ("a:1",), ""),
        (" [2001:db8::1]:2182 , a ", ("[2001:db8::1]:2182", "a:2181"), ""),
    ],
)
def test_quorums(quorum: str, servers: tuple[str, ...], chroot: str) -> None:
    found = settings(ZK_QUORUM=quorum)
    assert (found.servers, found.chroot) == (servers, chroot)


@pytest.mark.parametrize(
    "quorum",
    [
        ":2181", "a:x", "a:0", "a:70000", "a:1/..", "a:1//x", "a:1/x/", "a b:1", ",", " , /lab",
        "::1:2181", "::1", "[::1:2181", "[a]:2181", "[::1]x:2181", "a]:1",
    ],
)  # fmt: skip
def test_bad_quorums(quorum: str) -> None:
    with pytest.raises(ConfigurationError, match=r"zookeeper\.quorum is"):
        settings(ZK_QUORUM=quorum)


@pytest.mark.parametrize("host", ["zk..a", "a" * 64, "zk@a", ".zk", "zk|a", "a b", "a\tb"])
def test_a_host_that_no_resolver_takes_is_refused(host: str) -> None:
    """kazoo's thread ended in a ``UnicodeError``, with its traceback, and the start waited."""
    with pytest.raises(ConfigurationError, match=r"is not a server: (it holds|a part)"):
        settings(ZK_QUORUM=f"zk-1:2181,{host}:2181")


def test_an_unbracketed_ipv6_address_is_told_how_to_be_written() -> None:
    with pytest.raises(ConfigurationError, match=r"in brackets: \[::1\]:2181"):
        settings(ZK_QUORUM="::1:2181")


@pytest.mark.parametrize("quorum", ["${ZK_QUORUM}", "{{zk}}:2181", "<host>:2181", "a:1,$(ZK):2"])
def test_a_placeholder_that_stayed_is_told(quorum: str) -> None:
    """It had been looked up as the name of a server, for as long as a connection may take."""
    with pytest.raises(ConfigurationError, match="is a placeholder that nothing has filled in"):
        settings(ZK_QUORUM=quorum)


def test_tls_that_only_flinks_jvm_is_told_of() -> None:
    """There is no option of Flink's for it. We had waited at that port without TLS."""
    told = {"env.java.opts.all": "-Xmx1g -Dzookeeper.client.secure=true -Dx=y"}
    config = {options.ZK_QUORUM.key: "localhost:2182", **told}
    with pytest.raises(
        ConfigurationError, match=r"env\.java\.opts\.all has -Dzookeeper\.client\.s"
    ):
        ZooKeeperSettings.of(checked(config))
    for enabled in (True, False):
        found = ZooKeeperSettings.of(checked({**config, options.ZK_SSL_ENABLED.key: enabled}))
        assert (found.tls is not None) == enabled
    plain = {**config, "env.java.opts.all": "-Dzookeeper.client.secure=false"}
    assert ZooKeeperSettings.of(checked(plain)).tls is None


def test_what_kazoo_makes_of_an_ipv6_quorum() -> None:
    hosts, chroot = collect_hosts(settings(ZK_QUORUM="[::1]:2181,,[::2]/lab").quorum)
    assert (hosts, chroot) == ([("::1", 2181), ("::2", 2181)], "/lab")


def test_a_quorum_is_needed() -> None:
    with pytest.raises(
        ConfigurationError, match=r"zookeeper\.quorum is not set: write the servers"
    ):
        ZooKeeperSettings.of(checked({}))
    with pytest.raises(ConfigurationError, match="it is empty"):
        settings(ZK_QUORUM=" ")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"ZK_ACL": "creator"}, r"client\.acl is creator, but the client is not authenticated"),
        ({"ZK_ACL": "private"}, "write one of open, creator"),
        ({"SASL_LOGIN_CONTEXT": "KafkaClient"}, "there is no JAAS file in Python"),
        ({"ZK_SASL_MECHANISM": "digest-md5"}, r"sasl\.username is not set"),
        ({"ZK_SASL_MECHANISM": "plain"}, "write one of none, DIGEST-MD5, GSSAPI"),
        ({"ZK_CONNECTION_TIMEOUT": "0"}, "write a duration above zero"),
        ({"ZK_SESSION_TIMEOUT": "0"}, "write a duration above zero"),
        ({"ZK_SSL_ENABLED": True, "ZK_SSL_CA_FILE": "/nowhere"}, "there is no such file"),
        ({"ZK_SSL_ENABLED": True, "ZK_SSL_KEY_FILE": __file__}, r"without .*cert-file: set both"),
        ({"ZK_SSL_ENABLED": True, "ZK_SSL_CA_FILE": __file__}, "holds no certificate"),
        ({"ZK_SSL_ENABLED": True, "ZK_SSL_CERT_FILE": __file__}, "cannot be used"),
        ({"ZK_AUTHORIZATION": "digest"}, "is not a pair"),
        ({"ZK_AUTHORIZATION": "digest:flink"}, "write digest:user:password"),
        ({"ZK_SESSION_TIMEOUT": "30 d"}, r"session-timeout is .*: .* at most 2147483 s"),
        ({"KERBEROS_CONTEXTS": "KafkaClient, Client"}, r"login\.contexts .* to gssapi and get"),
        ({"ZK_SASL_USERNAME": "flink"}, r"sasl\.username .* no effect without .*sasl\.mechanism"),
        ({"ZK_SASL_PASSWORD": "secret"}, r"sasl\.password .* no effect without .*sasl\.mechanism"),
        ({"SASL_SERVICE_NAME": "zk"}, r"service-name .* no effect without .*sasl\.mechanism"),
        (
            {"ZK_SASL_MECHANISM": "gssapi", "ZK_SASL_USERNAME": "flink"},
            r"sasl\.username .* takes the user whose ticket",
        ),
        ({"ZK_SSL_CA_FILE": __file__}, r"ca-file .* no effect without .*ssl\.enabled"),
        ({"ZK_SSL_VERIFY_HOSTNAME": False}, r"verify-hostname .* no effect without .*ssl\.enabled"),
    ],
)
def test_what_cannot_be_honoured_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        settings(**values)


def test_sasl_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "puresasl", None)
    with pytest.raises(ConfigurationError, match="pip install pure-sasl"):
        settings(ZK_SASL_MECHANISM="digest-md5")


def test_gssapi_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "kerberos" else find_spec(name)
    )
    with pytest.raises(ConfigurationError, match=r"GSSAPI.*pip install kerberos"):
        settings(ZK_SASL_MECHANISM="gssapi")


def test_gssapi_asks_for_the_servers_service(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: object())
    found = settings(ZK_SASL_MECHANISM="gssapi", SASL_SERVICE_NAME="zk")
    assert found.sasl == {"mechanism": "GSSAPI", "service": "zk"}
    assert found.authentication == "SASL GSSAPI"


@pytest.mark.parametrize(
    "values",
    [
        {"SASL_SERVICE_NAME": "zookeeper", "ZK_SSL_VERIFY_HOSTNAME": True},  # their defaults
        {"ZK_SASL_MECHANISM": "none", "ZK_SASL_USERNAME": "flink"},
        {"ZK_SSL_ENABLED": False, "ZK_SSL_CA_FILE": __file__},
    ],
)
def test_what_is_switched_off_may_stay_set(values: dict[str, Any]) -> None:
    found = settings(**values)
    assert (found.sasl, found.tls) == (None, None)


def test_sasl_can_be_switched_off() -> None:
    assert settings(ZK_SASL_MECHANISM="digest-md5", SASL_DISABLE=True).sasl is None


@pytest.mark.parametrize(
    ("root", "cluster_id", "cluster"),
    [
        ("/flink", "/default", "/flink/default"),
        ("flink/", "one", "/flink/one"),
        ("/", "/a/b", "/a/b"),
    ],
)
def test_root_and_cluster_id_are_joined_as_in_flink(
    root: str, cluster_id: str, cluster: str
) -> None:
    values = {options.ZK_ROOT.key: root, options.CLUSTER_ID.key: cluster_id}
    paths = ZNodePaths.of(checked(values))
    assert paths.cluster == cluster
    assert paths.latch == f"{cluster}/leader/latch"
    assert paths.connection_info("rest_server") == f"{cluster}/leader/rest_server/connection_info"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (options.ZK_ROOT.key, "/a/../b"),
        (options.ZK_ROOT.key, "/zookeeper"),
        (options.CLUSTER_ID.key, "//"),
        (options.ZK_JOBGRAPHS.key, "a\x00b"),
    ],
)
def test_paths_that_are_none(key: str, value: str) -> None:
    with pytest.raises(ConfigurationError, match=key):
        ZNodePaths.of(checked({key: value}))


def test_latch_order_is_that_of_the_sequence_numbers() -> None:
    names = ["_c_zz-latch-0000000001", "_c_aa-latch-0000000003", "_c_mm-latch-0000000002"]
    assert in_latch_order(names) == [names[0], names[2], names[1]]
    assert [session_id_of(name) for name in (*names, "lock-1", "_c_-latch-1")] == [None] * 5


def test_a_server_that_has_counted_beyond_2_31_puts_no_newcomer_first() -> None:
    """It goes on with negative numbers, which Curator's order by text puts before the leader."""
    leader, newer, newest = (
        "_c_a-latch-2147483647",
        "_c_b-latch--2147483648",
        "_c_c-latch--2147483647",
    )
    assert in_latch_order([newest, newer, leader]) == [leader, newer, newest]
    assert in_latch_order(["lock", "_c_a-latch-x", leader]) == [leader, "lock", "_c_a-latch-x"]


@pytest.mark.parametrize("child", ["%ff", "%", "%ed%a0%80", "%zz", "\udcff"])
def test_names_of_foreign_znodes_are_names(child: str) -> None:
    assert name_of_entry(child)


@pytest.mark.parametrize("name", ["a", "ä/b", "..", "%41", "\x00", "zookeeper", "\ud800"[:0] + "x"])
def test_entry_names_are_reversible(name: str) -> None:
    assert name_of_entry(entry_name(name)) == name
    assert "/" not in entry_name(name)


def test_an_entry_needs_a_name() -> None:
    with pytest.raises(ConfigurationError, match="empty name"):
        entry_name("")


def test_client_addresses_of_an_ensemble() -> None:
    config = """\
server.1=a:2888:3888:participant;0.0.0.0:2181
server.2=b:2888:3888:participant;c:2182
server.3=[::1]:2888:3888:participant;2183
server.4=d:2888:3888:participant
version=100000000
"""
    assert client_addresses(config) == ["a:2181", "c:2182", "[::1]:2183"]


def test_certificates_that_belong_together_are_used(tmp_path: Path) -> None:
    import trustme

    authority = trustme.CA()
    certificate = authority.issue_cert("localhost")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    certificate.private_key_and_cert_chain_pem.write_to_path(tmp_path / "own.pem")
    found = settings(
        ZK_SSL_ENABLED=True,
        ZK_SSL_CA_FILE=str(tmp_path / "ca.pem"),
        ZK_SSL_CERT_FILE=str(tmp_path / "own.pem"),
    )
    assert found.tls is not None
    assert found.tls.check_hostname
