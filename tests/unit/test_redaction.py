"""What leaves the machine holds no secret: known ones in any form, others by their structure."""

from __future__ import annotations

import base64
import gzip
import html
import io
import json
import urllib.parse
import zipfile
import zlib

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from hawork.core.redaction import HIDDEN, Redaction, is_sensitive, secret_values, secrets_in

SECRET = "Zx9-unknown/pa+ss=Qw"
WORDS = "Zx9 unknown pass Qw"


@pytest.mark.parametrize(
    "text",
    [
        '{"token": "§"}',
        '{"pwd": "§"}',
        '{"outer": {"inner": [{"db": {"password": "§"}}]}}',
        '{"password": ["§", "§2"]}',
        '{"credentials": {"user": "x", "more": {"deep": "§"}}}',
        '{"env": [{"name": "DB_PASSWORD", "value": "§"}]}',
        '{"env": [{"value": "§", "name": "DB_PASSWORD"}]}',
        '{"args": ["--password", "§"]}',
        '{"clientSecret": "§"}',
        '{"text": "{\\"pwd\\": \\"§\\"}"}',
        '{"a": {"password": "§"}, "a": 1}',
        '{"pass\\u0077ord": "§"}',
        'the config was {"db.password": "§", "rate": 5} and was refused',
        "the config was {'db.password': '§', 'rate': 5} and was refused",
        'sent "{\\"db\\": {\\"password\\": \\"§\\"}}" to it',
        "password: §",
        "password: '§'",
        'password: "§"',
        "db:\n  passwords:\n  - §\n  - §2\nrate: 5",
        "db:\n  password: |\n    §\n    §2\nrate: 5",
        "db:\n  auth:\n    deep: §\nrate: 5",
        "{user: x, passphrase: §}",
        "- name: DB_PASSWORD\n  value: §",
        "javax.net.ssl.trustStorePassword=§",
        "-Xmx1g -Djavax.net.ssl.trustStorePassword=§ -Dmore=1",
        "-Dpassword='§' -Dmore=1",
        'java "-Dpassword=§" Main',
        "hawork submit --password § job.py",
        "hawork submit --api-key=§ job.py",
        "Authorization: Bearer §",
        "Authorization: Basic § and more",
        "curl -H 'Authorization: Token §' http://x",
        "headers={'Authorization': 'Bearer §'}",
        "was sent Bearer §, and refused",
        "Cookie: session=§; other=§2",
        "rest.client.http-headers: Authorization:§;X:§2",
        "digest:me:§ was refused",
        "http://me:§@host/path",
        "s3://§@bucket/checkpoints",
        "jdbc:mysql://host/db?user=me&password=§&more=1",
        "jdbc:oracle:thin:me/§@host:1521/db",
        "Server=x;User Id=me;Password=§;Timeout=3",
        "https://acct.blob.core.windows.net/c/b?sv=2022&sp=r&sig=§",
        "https://bucket.s3/x?X-Amz-Signature=§&X-Amz-Credential=§2",
        "https://maps/api?q=1&key=§",
        "wasb?code=§",
        "CREATE TABLE t (x INT) WITH ('connector' = 'jdbc', 'password' = '§')",
        "CREATE USER me WITH PASSWORD '§'",
        "<property><name>fs.s3a.secret.key</name><value>§</value></property>",
        "<password>§</password>",
        "-----BEGIN RSA PRIVATE KEY-----\n§\n-----END RSA PRIVATE KEY-----",
        "-----BEGIN PRIVATE KEY-----\\n§",
        "users:\n- name: me\n  user:\n    token: §\n    client-key-data: §2",
        "fs.azure.account.key.acme.dfs.core.windows.net: §",
        'export AWS_SECRET_ACCESS_KEY="§"',
        "PGPASS=§",
    ],
)
@pytest.mark.parametrize("secret", [SECRET, "t0pS3cret"])
def test_a_secret_goes_by_its_structure(text: str, secret: str) -> None:
    if "://" in text or "thin:" in text:
        secret = secret.replace("/", "")  # which ends the part of a URL that has the user
    told = text.replace("§2", "another-Secret").replace("§", secret)
    cleaned = Redaction().text(told)
    assert secret not in cleaned and "another-Secret" not in cleaned, cleaned
    assert HIDDEN in cleaned
    assert "rate: 5" in cleaned or "rate: 5" not in told
    assert Redaction().value({"note": [told]}) == {"note": [cleaned]}


@pytest.mark.parametrize(
    "text",
    [
        '{"password": "§"}', "{'password': '§'}", "password: §", "password: '§'", "-Dpassword='§'",
        "-Dpassword=\"§\"", "Authorization: Basic §", "{user: x, passphrase: §}",
        "password = '§'", "--password '§'", '["--password", "§"]', '"x" "{\\"pwd\\": \\"§\\"}"',
    ],
)  # fmt: skip
def test_all_words_of_a_secret_go(text: str) -> None:
    cleaned = Redaction().text(text.replace("§", WORDS))
    assert not any(word in cleaned for word in WORDS.split()[:2]), cleaned


def test_what_is_no_secret_stays() -> None:
    for text in (
        "the leader at http://127.0.0.1:8081 cannot be reached: refused",
        "option hawork.rest.token-file is not set: name a file",
        '{"parallelism": 2, "keyed": true, "compass": "north", "passed": 3}',
        "job 'basic' passes 3 checkpoints, its monkey is at key: 7",
        "high-availability.zookeeper.quorum: a:2181,b:2181/flink",
        "-Xmx1g -Dmore=1",
    ):
        assert Redaction().text(text) == text
    assert Redaction().value({"password": None, "token": False, "rate": 5}) == {
        "password": None, "token": False, "rate": 5,
    }  # fmt: skip


def test_keys_that_flink_calls_sensitive() -> None:
    for key in (
        "password", "s3.secret-key", "fs.azure.account.key.x", "dghttp.apikey", "x.api-key",
        "gs.auth-params", "service-key", "s3.session-token", "basic-auth", "sasl.jaas.config",
        "rest.client.http-headers", "sslKeyPassphrase", "DB_PWD", "accessKeyId", "id_token",
    ):  # fmt: skip
        assert is_sensitive(key), key
    for key in ("parallelism.default", "state.keyed", "hawork.rest.token-file", "bypass", "keys"):
        assert not is_sensitive(key), key


def forms(secret: str) -> dict[str, bytes]:
    data = secret.encode()
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("job.py", f"x = {secret!r}")
    found = {
        "plain": data,
        "json": json.dumps(secret).encode(),
        "json in json": json.dumps(json.dumps({"x": secret})).encode(),
        "unicode": json.dumps(secret, ensure_ascii=False).encode(),
        "html": html.escape(secret).encode(),
        "url": urllib.parse.quote(secret, safe="").encode(),
        "path": urllib.parse.quote(secret).lower().encode() if secret.islower() else b"",
        "query": urllib.parse.urlencode({"x": secret}).encode(),
        "hex": data.hex().encode(),
        "yaml": yaml.safe_dump({"x": secret}, width=1000, allow_unicode=True).encode(),
        "utf-16": secret.encode("utf-16-le"),
        "gzip": gzip.compress(data),
        "zlib": b"head" + zlib.compress(data * 3),
        "zip": packed.getvalue(),
        "zip in gzip": gzip.compress(packed.getvalue()),
    }
    for before in ("", "u:", "user:", "admin:"):
        found[f"base64 {before}"] = base64.b64encode(f"{before}{secret}:x".encode())
        found[f"url-safe base64 {before}"] = base64.urlsafe_b64encode(f"{before}{secret}".encode())
    return found


KNOWN = ["kZ3~w/x+y=Pq", "quo\"ted 'pass' <&> word", "pässwörd-ünïcode", "a" * 43, "12345678"]


@pytest.mark.parametrize("secret", KNOWN)
def test_a_known_secret_goes_in_every_form(secret: str) -> None:
    redaction = Redaction([secret])
    for name, data in forms(secret).items():
        cleaned = redaction.data(b"before " + data + b" after")
        assert data not in cleaned or not data, name
        assert HIDDEN.encode() in cleaned or not data, name
        if not name.startswith(("utf-16", "gzip", "zlib", "zip")):
            text = data.decode()
            assert not text or redaction.text(f"x {text} y") != f"x {text} y", name
            assert redaction.value({text: 1}) != {text: 1} or not text, name


@given(st.text(min_size=6).filter(lambda text: text.strip() == text and text.isprintable()))
def test_any_known_secret_goes(secret: str) -> None:
    told = {"facts": [secret, f"at {secret}!", json.dumps({"x": secret})], "n": 5}
    cleaned = json.dumps(Redaction([secret]).value(told), ensure_ascii=False)
    hidden = cleaned.replace(HIDDEN, "")
    assert secret not in hidden or secret in '{"facts": [,"at !", {\\"x\\": }], "n": 5}'
    assert cleaned.count(HIDDEN) >= 3


def test_a_secret_that_was_cut_off_goes() -> None:
    token = "q8_" + "abcdefghij" * 4
    for length in (5, 20, 42):
        assert "q8_" not in Redaction([token]).text(f"the token is {token[:length]}…")


def test_a_short_secret_is_replaced_as_a_word() -> None:
    assert Redaction(["pear"]).text("pear pearl 'pear'") == f"{HIDDEN} pearl '{HIDDEN}'"


def test_the_secrets_of_options() -> None:
    values = secret_values(
        {
            "high-availability.zookeeper.client.authorization": "digest:flink:pa:ss",
            "hawork.zookeeper.sasl.username": "flink",
            "s3.passwords": "first-one,second-one",
            "env.java.opts.all": "-Dkey.password=third-one",
            "security.delegation.tokens.renewal.retry.backoff": "10 min",
            "parallelism.default": "2",
        }
    )
    assert {"pa:ss", "first-one", "second-one", "third-one"} <= set(values)
    assert not {"flink", "10 min", "2"} & set(values)


def test_the_secrets_of_a_kubeconfig() -> None:
    config = {"users": [{"name": "me", "user": {"token": "abc.def", "client-key-data": "LS0t"}}]}
    assert {"abc.def", "LS0t"} <= set(secrets_in(yaml.safe_dump(config)))
    assert {"abc.def", "LS0t"} <= set(secrets_in(json.dumps(config)))


def test_it_is_quick() -> None:
    text = "POINTER.WRITTEN jobgraphs " + "0123456789abcdef " * 5000
    Redaction(KNOWN).text(text + "(" * 5000 + '"password": [' + "'" * 5001)


@pytest.mark.parametrize(
    "told",
    [
        "/var/run/secrets/kubernetes.io/serviceaccount/token: Permission denied",
        "configuration file /etc/passwd: the file is no mapping: write 'key: value' lines",
        "token file ~/ha/rest-token: another user may read it; run chmod 600",
        "'/run/secrets/zk password.jaas': no such option; file:/ha/token: it cannot be read",
    ],
)
def test_a_file_that_is_called_as_a_secret_is_may_be_spoken_of(told: str) -> None:
    """Of each of them nothing but *(left out)* had been left behind the name of the file."""
    assert Redaction().text(told) == told


@pytest.mark.parametrize(
    "told",
    [
        "/srv/password: hunter2", "/srv/password: correct horse battery", "password: the horse",
        "https://host/token: the horse", "a/token: the horse", "/etc/x: password: no horse",
        "/srv/token=the horse", "x=/srv:token: it is",
    ],
)  # fmt: skip
def test_a_path_in_front_of_it_makes_no_secret_public(told: str) -> None:
    assert HIDDEN in Redaction().text(told)
