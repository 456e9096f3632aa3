"""Flink's own configuration files, as they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from hawork.core import options
from hawork.core.errors import ConfigurationError
from hawork.ha.configuration_file import configuration_text, load_configuration
from hawork.inspect.settings import Settings


def write(tmp_path: Path, text: str, name: str = "config.yaml") -> Path:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def test_nested_and_flat_keys_mix(tmp_path: Path) -> None:
    config = load_configuration(
        write(
            tmp_path,
            """
            # a Flink user's file
            high-availability:
              type: zookeeper
              storageDir: hdfs:///flink/recovery
              zookeeper.quorum: localhost:2181
              zookeeper:
                path:
                  root: /flink
            high-availability.cluster-id: /cluster_one
            taskmanager.numberOfTaskSlots: 4
            env.java.opts.all: --add-exports=java.base/sun.net.util=ALL-UNNAMED
            """,
        )
    )
    assert config.get_option(options.HA_TYPE) == "zookeeper"
    assert config.get_option(options.ZK_QUORUM) == "localhost:2181"
    assert config.get_option(options.ZK_ROOT) == "/flink"
    assert config.get_option(options.CLUSTER_ID) == "/cluster_one"
    assert config.get_option(options.SLOTS) == 4


def test_a_map_option_may_be_nested(tmp_path: Path) -> None:
    config = load_configuration(
        write(
            tmp_path,
            "high-availability.zookeeper.client:\n  authorization:\n    digest: user:word\n",
        )
    )
    assert config.get_option(options.ZK_AUTHORIZATION) == {"digest": "user:word"}


def test_an_empty_file_is_an_empty_configuration(tmp_path: Path) -> None:
    assert dict(load_configuration(write(tmp_path, "# nothing\n"))) == {}


def test_a_legacy_file_is_read_line_by_line(tmp_path: Path) -> None:
    text = """
    # legacy
    high-availability: zookeeper   # old name of .type
    high-availability.storageDir: s3://bucket/ha
    taskmanager.numberOfTaskSlots: 2
    """
    config = load_configuration(write(tmp_path, text, "flink-conf.yaml"))
    assert config.get_option(options.HA_TYPE) == "zookeeper"
    assert config.get_option(options.STORAGE_DIR) == "s3://bucket/ha"
    assert config.get_option(options.SLOTS) == 2


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a: 1\na: 2\n", "option a is given twice"),
        ("a:\n  b: 1\n  b: 2\n", "option a.b is given twice"),
        ("a.b: 1\na:\n  b: 2\n", "option a.b is given twice"),
        ("high-availability.storageDir: [a, b]\n", "high-availability.storageDir is a list"),
        ("high-availability:\n  typo: [a]\n", "high-availability.typo is a list"),
        ("- a\n- b\n", "the file is a list"),
        ("just text\n", "no mapping"),
        ("a: [unclosed\n", "not valid YAML"),
        ("a: 1\n---\nb: 2\n", "not valid YAML"),
        ("? [a, b]\n: 1\n", "is not text"),
        ("a: !!python/object:os.system x\n", "!!python/object:os.system, which does not fit"),
        ("a:\n", "option a has no value"),
        ("high-availability: [" * 60 + "]" * 60, "nested too deeply"),
        ("a: &a [&b [*a, *a], *b]\nb: *a\n", "nested too deeply"),
        ("a: " + "[" * 5000, "nested too deeply"),
        ('high-availability.storageDir: "/a\\0b"\n', "holds the character NUL"),
        ("high-availability.storagedir: /x\n", "did you mean high-availability.storageDir"),
        ("high-availability.cluster-id: ''\n", "high-availability.cluster-id is ''"),
        ("heartbeat.interval: fast\n", "heartbeat.interval is 'fast'"),
        (
            "high-availability.embedded.leader-election.renew-deadline: 20 s\n",
            "lease-duration .15 s. must be at least as long",
        ),
    ],
)
def test_bad_files_get_one_clear_sentence(tmp_path: Path, text: str, reason: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(ConfigurationError, match=reason) as caught:
        load_configuration(path)
    message = str(caught.value)
    assert message.startswith(f"configuration file {path}: ") and "\n" not in message


@pytest.mark.parametrize(
    "line", ["{}:x", "{}:", "{}", "{}=x", "{} = x", "{}\tx", "high-availability.tpye=x"]
)
def test_a_line_of_a_legacy_file_that_would_be_lost_is_named(tmp_path: Path, line: str) -> None:
    for key in ("high-availability.storageDir", "high-availability", "kubernetes.cluster-id"):
        text = f"a: 1\n{line.format(key)}\n"
        with pytest.raises(ConfigurationError, match="line 2"):
            load_configuration(write(tmp_path, text, "flink-conf.yaml"))


def test_a_directory_is_read_as_flink_reads_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"has no configuration: write config\.yaml"):
        load_configuration(tmp_path)
    write(tmp_path, "rest.port: 1\n")
    assert load_configuration(tmp_path).get_option(options.REST_PORT) == 1
    write(tmp_path, "rest.port: 2\n", "flink-conf.yaml")
    assert load_configuration(tmp_path).get_option(options.REST_PORT) == 2


def test_a_file_of_windows_is_read(tmp_path: Path) -> None:
    for encoding in ("utf-8-sig", "utf-16"):
        (tmp_path / "config.yaml").write_bytes("rest.port: 1\r\nx: ü\r\n".encode(encoding))
        assert dict(load_configuration(tmp_path)) == {"rest.port": "1", "x": "ü"}


def test_what_is_written_reads_back(tmp_path: Path) -> None:
    values = {"a": "1.20", "b c": "x: #y", "d": "\U0001f980\n\t'\"", "e": "null", "-": "", "1": "~"}
    assert dict(load_configuration(write(tmp_path, configuration_text(values)))) == values


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"absent\.yaml cannot be read: No such file"):
        load_configuration(tmp_path / "absent.yaml")
    path = tmp_path / "config.yaml"
    path.write_bytes(b"a: \xff\xfe")
    with pytest.raises(ConfigurationError, match="not UTF-8"):
        load_configuration(path)


def test_a_secret_that_yaml_takes_for_an_alias_is_not_told(tmp_path: Path) -> None:
    for written in ("*SECRET-of-us", "!SECRET! x", "&SECRET-of-us &b x", "'SECRET'SECRET"):
        with pytest.raises(ConfigurationError, match="not valid YAML") as caught:
            load_configuration(write(tmp_path, f"s3.secret-key: {written}\n"))
        assert "SECRET" not in str(caught.value) and "line 1" in str(caught.value)


@pytest.mark.parametrize("text", ["|\n  file:///ha\n", '" file:///ha "\n', '"file:///ha\\r"\n'])
def test_blanks_around_storage_dir_are_no_part_of_it(tmp_path: Path, text: str) -> None:
    """Source: ``Path`` of Flink 1.20, which trims."""
    config = load_configuration(write(tmp_path, f"high-availability.storageDir: {text}"))
    assert config.get_option(options.STORAGE_DIR) == "file:///ha"
    assert Settings({**config}, "config.yaml", ()).storage_dir == "file:///ha"
