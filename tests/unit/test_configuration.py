"""Options with Flink's names, and what is refused."""

from __future__ import annotations

import pytest

from hawork.core import options
from hawork.core.configuration import Configuration, flatten
from hawork.core.errors import ConfigurationError

LEASE = "high-availability.embedded.leader-election"


def test_defaults_are_flinks() -> None:
    config = options.checked({})
    expected = {
        options.HA_TYPE: "NONE",
        options.CLUSTER_ID: "/default",
        options.ZK_SESSION_TIMEOUT: 60.0,
        options.ZK_RETRY_WAIT: 5.0,
        options.K8S_LEASE_DURATION: 15.0,
        options.K8S_RETRY_PERIOD: 5.0,
        options.JOB_RESULT_DELETE_ON_COMMIT: True,
        options.CLEANUP_STRATEGY: "exponential-delay",
        options.CLEANUP_MAX_BACKOFF: 3600.0,
        options.HEARTBEAT_TIMEOUT: 50.0,
        options.RETAINED_CHECKPOINTS: 1,
    }
    assert {option.key: config.get_option(option) for option in expected} == {
        option.key: value for option, value in expected.items()
    }


def test_every_option_reads_its_own_default_and_says_what_it_means() -> None:
    for option in options.ALL_OPTIONS.values():
        assert option.meaning
        if option.default is not None and not isinstance(option.default, dict):
            assert option.read(option.show(option.default)) == option.default, option.key


def test_deprecated_names_are_understood_and_the_new_name_wins() -> None:
    old = {"recovery.zookeeper.storageDir": "file:/old"}
    assert options.checked(old).get_option(options.STORAGE_DIR) == "file:/old"
    both = {**old, "high-availability.storageDir": "file:/new"}
    assert options.checked(both).get_option(options.STORAGE_DIR) == "file:/new"


@pytest.mark.parametrize(
    ("values", "parts"),
    [
        ({"high-availability.typ": "embedded"}, ["high-availability.typ", "'embedded'", ".type?"]),
        ({"hawork.nonsense-key-of-mine": 1}, ["hawork.nonsense-key-of-mine", "remove it"]),
        ({"heartbeat.interval": "5 parsecs"}, ["heartbeat.interval", "'5 parsecs'", "ms, s"]),
        ({"heartbeat.interval": "0 s"}, ["heartbeat.interval", "above zero"]),
        ({"rest.port": "70000"}, ["rest.port", "0 to 65535"]),
        ({"rest.port": "http"}, ["rest.port", "'http'", "whole number"]),
        ({"taskmanager.numberOfTaskSlots": "0"}, ["from 1 to"]),
        ({"cleanup-strategy.type": "never"}, ["cleanup-strategy.type", "none, fixed-delay"]),
        ({"job-result-store.delete-on-commit": "yes"}, ["true nor false"]),
        ({"high-availability.storageDir": " "}, ["high-availability.storageDir", "empty"]),
        ({f"{LEASE}.renew-deadline": "20 s"}, ["lease-duration (15 s)", "renew-deadline (20 s)"]),
        (
            {f"{LEASE}.renew-deadline": "5 s", f"{LEASE}.retry-period": "5 s"},
            ["longer than", "retry-period (5 s)"],
        ),
        ({f"{LEASE}.retry-period": "0 ms"}, ["retry-period", "above zero"]),
        ({"heartbeat.timeout": "10 s"}, ["heartbeat.timeout (10 s)", "longer than"]),
        ({"high-availability.cluster-id": ["a"]}, ["cluster-id", "list"]),
    ],
)
def test_bad_input_is_one_sentence_with_key_value_and_fix(
    values: dict[str, object], parts: list[str]
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        options.checked(values)
    message = str(caught.value)
    assert all(part in message for part in parts), message
    assert "\n" not in message


def test_keys_of_other_namespaces_are_somebody_elses() -> None:
    config = options.checked({"taskmanager.memory.process.size": "1728m", "env.java.opts.all": "x"})
    assert config["env.java.opts.all"] == "x"


def test_required_options_say_what_for() -> None:
    with pytest.raises(ConfigurationError, match="storageDir is not set: for the files"):
        Configuration().require(options.STORAGE_DIR, "for the files")


def test_nested_and_flat_keys_mix_but_never_twice() -> None:
    tree = {"high-availability": {"type": "embedded", "cluster-id": "/a"}, "rest.port": "1"}
    assert flatten(tree) == {
        "high-availability.type": "embedded",
        "high-availability.cluster-id": "/a",
        "rest.port": "1",
    }
    with pytest.raises(ConfigurationError, match=r"rest\.port is given twice"):
        flatten({"rest": {"port": "1"}, "rest.port": "2"})


def test_values_of_a_copy_win() -> None:
    config = Configuration({"rest.port": 1, "hawork.supervisor": True})
    changed = config.with_values({"rest.port": 2})
    assert (config["rest.port"], changed["rest.port"]) == ("1", "2")
    assert changed["hawork.supervisor"] == "true"


def test_no_secret_is_told() -> None:
    config = Configuration({"s3.secret-key": "hunter22", "env.java.opts": "-Dpassword=hunter22"})
    assert "hunter22" not in repr(config) and "s3.secret-key" in repr(config)
    for values in (
        {"high-availability.zookeeper.client.authorization": "hunter22"},
        {"high-availability.zookeeper.client.authorisation-token": "hunter22"},
        {"high-availability.zookeeper.client.token": ["hunter22"]},
    ):
        with pytest.raises(ConfigurationError) as caught:
            options.checked(values)
        assert "hunter22" not in str(caught.value)
        assert next(iter(values)) in str(caught.value)


def test_what_a_reader_changes_is_not_what_the_next_one_reads() -> None:
    config = options.checked({options.ZK_AUTHORIZATION.key: "digest:user"})
    config.get_option(options.ZK_AUTHORIZATION)["digest"] = "other"
    assert config.get_option(options.ZK_AUTHORIZATION) == {"digest": "user"}
