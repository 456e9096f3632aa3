"""A run in one file: what goes in comes out, and what is not whole is refused."""

from __future__ import annotations

import hashlib
import json
import random
import re
import zipfile
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pandas
import pytest
from lab_story import killed_leader

from hawork.cli.main import main
from hawork.core.errors import LabError
from hawork.core.events import EventKind
from hawork.inspect.files import storage_tree, with_sha256
from hawork.lab import LabCluster, open_bundle, replay
from hawork.story import run_bundle as bundles
from hawork.story.bundle_writer import write_bundle
from hawork.story.report import report as report_of
from hawork.story.run_bundle import EVENTS, MANIFEST, MEMBERS

OPTIONS = {
    "high-availability.type": "embedded",
    "high-availability.zookeeper.sasl.password": "hunter2",
    "high-availability.zookeeper.client.authorization": "digest:me:hunter2",
    "s3.session-token": "hunter2-token",
    "fs.azure.account.key.acme": "hunter2-azure",
    "metrics.reporter.dghttp.apikey": "hunter2-api",
    "rest.client.http-headers": "hunter2-header",
    "state.checkpoints.dir": "s3://me:hunter2@host/checkpoints",
    "env.java.opts.all": "-Xmx1g -Djavax.net.ssl.trustStorePassword=hunter2 -Dmore=1",
}


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return write_bundle(
        tmp_path / "run.zip",
        cluster="LabCluster",
        events=killed_leader().events,
        options=OPTIONS,
        storage=pandas.DataFrame([{"path": "jobs/<x>", "bytes": 7}]),
        store=LabError("the store is away"),
    )


def write_telling(path: Path) -> Path:
    """A bundle of a run in which secrets are told elsewhere than in the options."""
    story = killed_leader()
    story.add(
        7.5, "jm-2", EventKind.ERROR, message="digest:me:hunter2 was refused", told=["hunter2"]
    )
    graph = json.dumps({"name": "x", "config": {"db.password": "of-the-job", "rate": 5}})
    return write_bundle(
        path,
        cluster="LabCluster",
        events=story.events,
        options=OPTIONS,
        storage=pandas.DataFrame([{"path": "jobs/x", "content": graph}]),
        store=pandas.DataFrame(
            [{"table": "t", "value": "http://me:of-the-job@host hunter2-azure"}]
        ),
    )


def contents(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def rewritten(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def test_what_goes_in_comes_out(bundle: Path) -> None:
    run = open_bundle(bundle)
    assert run.event_list() == killed_leader().events
    assert len(run.events()) == len(run.event_list())
    assert run.verdict().valid
    assert run.timeline().takeovers[0].process == "jm-2"
    assert run.storage_tree().to_dict("records") == [{"path": "jobs/<x>", "bytes": 7}]
    assert run.store_rows().empty
    assert run.missing == {"store.json": "the store is away"}
    assert run.options["high-availability.type"] == "embedded"
    assert "LabCluster" in repr(run)
    assert replay(run).widget.replay


def test_no_secret_gets_out(bundle: Path) -> None:
    assert set(contents(bundle)) == {MANIFEST, *MEMBERS}
    for name, data in contents(bundle).items():
        assert b"hunter2" not in data, name


def test_files_are_named_with_their_sha256(tmp_path: Path) -> None:
    (tmp_path / "submittedJobGraph1").write_bytes(b"graph")
    tree = with_sha256(storage_tree(tmp_path), tmp_path)
    assert tree.sha256[0] == hashlib.sha256(b"graph").hexdigest()


def test_no_secret_is_told_elsewhere(tmp_path: Path) -> None:
    path = write_telling(tmp_path / "run.zip")
    for name, data in contents(path).items():
        assert b"hunter2" not in data and b"of-the-job" not in data, name
    run = open_bundle(path)
    assert run.options["env.java.opts.all"].startswith("-Xmx1g ")
    assert run.options["env.java.opts.all"].endswith(" -Dmore=1")
    assert '"rate": 5' in run.storage_tree().content[0]
    assert run.verdict().valid


def test_a_known_secret_is_in_no_byte(tmp_path: Path) -> None:
    token = "q8_Zt-kubernetes/and+the=run"
    told = [token, json.dumps({"x": token}), quote(token, safe=""), token.encode().hex(),
            b64encode(f"user:{token}".encode()).decode()]  # fmt: skip
    story = killed_leader()
    story.add(7.5, "jm-2", EventKind.ERROR, message=f"Bearer {token}", told=told)
    path = write_bundle(
        tmp_path / "run.zip",
        cluster="LabCluster",
        events=story.events,
        options=OPTIONS,
        storage=pandas.DataFrame([{"path": token, "content": each} for each in told]),
        store=pandas.DataFrame([{"table": token, "value": json.dumps({"a": told})}]),
        secrets=[token],
    )
    for name, data in contents(path).items():
        assert not [each for each in told if each.encode() in data], name
        assert json.dumps(token)[1:-1].encode() not in data, name
    assert open_bundle(path).verdict().valid


def test_the_report_loads_nothing(bundle: Path) -> None:
    report = contents(bundle)["report.html"].decode()
    assert report == report_of(open_bundle(bundle))
    assert not re.search(r"<script|https?://|@import|url\(", report)
    assert "Content-Security-Policy" in report
    assert "<x>" not in report and "jobs/&lt;x&gt;" in report
    assert "the store is away" in report
    assert "kill" in report and "valid" in report
    assert "<details open>" in report and "@media print" in report, "paper cannot be unfolded"
    assert "<th>clock</th><th>seconds</th>" in report
    assert "<h2>Guesses</h2><div class='wide'><p>none</p>" in report


def test_the_report_has_the_guesses_and_cuts_no_number(tmp_path: Path) -> None:
    story = killed_leader()
    story.add(7.0, "lab", EventKind.PREDICTION, question="gap", guess=5.0, unit="s")
    story.add(7.1, "lab", EventKind.PREDICTION, question="gap", observed=0.08)
    long = " ".join(str(number) for number in range(10_000, 11_000))
    bundle = write_bundle(
        tmp_path / "run.zip", cluster="LabCluster", events=story.events, options={},
        storage=pandas.DataFrame([{"path": "a", "content": long}]), store=pandas.DataFrame(),
    )  # fmt: skip
    report = report_of(open_bundle(bundle))
    assert "<td>gap</td><td>5.0 s</td><td>0.08 s</td>" in report
    (cut,) = re.findall(r"<td>(10000 [0-9 ]*) … \(5,999 characters\)</td>", report)
    assert long.startswith(f"{cut} ") and len(cut) > 1900


def test_a_bundle_that_cannot_be_written_leaves_nothing(tmp_path: Path, bundle: Path) -> None:
    with pytest.raises(LabError, match="cannot be written"):
        write_bundle(
            tmp_path / "no" / "run.zip", cluster="x", events=killed_leader().events, options={},
            storage=pandas.DataFrame(), store=pandas.DataFrame(),
        )  # fmt: skip
    with pytest.raises(LabError, match="no events"):
        write_bundle(
            bundle, cluster="x", events=[], options={}, storage=pandas.DataFrame(),
            store=pandas.DataFrame(),
        )  # fmt: skip
    assert [path.name for path in tmp_path.iterdir()] == ["run.zip"]
    assert open_bundle(bundle).event_list()


def cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-200])


def altered(path: Path) -> None:
    rewritten(path, {**contents(path), "events.jsonl": contents(path)["events.jsonl"][:-50]})


def without(name: str) -> Callable[[Path], None]:
    def take(path: Path) -> None:
        rewritten(path, {key: data for key, data in contents(path).items() if key != name})

    return take


def climbing(path: Path) -> None:
    rewritten(path, {**contents(path), "../../escaped.py": b"1"})


def damaged_manifest(path: Path) -> None:
    rewritten(path, {**contents(path), MANIFEST: b"[" * 100_000})


def no_zip(path: Path) -> None:
    path.write_text("hello")


def of_another_version(path: Path) -> None:
    manifest = json.loads(contents(path)[MANIFEST])
    manifest.update(format=7, hawork="9.1")
    rewritten(path, {**contents(path), MANIFEST: json.dumps(manifest).encode()})


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (cut_off, "it is not a zip file, or was cut off"),
        (altered, "events.jsonl is not what was written"),
        (without("store.json"), "store.json is missing"),
        (without(MANIFEST), "it has no manifest.json"),
        (climbing, r"it holds \.\./\.\./escaped\.py"),
        (damaged_manifest, "its manifest.json is damaged"),
        (no_zip, "it is not a zip file"),
        (of_another_version, r"has format 7, .* open it with the hawork that wrote it \(9\.1\)"),
        (Path.unlink, "there is no bundle"),
    ],
)
def test_what_is_not_whole_is_refused(
    bundle: Path, damage: Callable[[Path], None], said: str
) -> None:
    damage(bundle)
    with pytest.raises(LabError, match=said) as refused:
        open_bundle(bundle)
    assert "\n" not in str(refused.value)


def test_whatever_byte_is_altered_one_sentence_says_so(bundle: Path) -> None:
    """Thousands of these were tried by hand; some of each kind are enough for every day."""
    whole, chance, refused = bundle.read_bytes(), random.Random(1), 0
    events = open_bundle(bundle).event_list()
    for number in range(150):
        damaged = bytearray(whole)
        if number % 3 == 0:
            del damaged[chance.randrange(len(whole)) :]
        else:
            damaged[chance.randrange(len(whole))] ^= chance.randrange(1, 256)
        bundle.write_bytes(damaged)
        try:
            assert open_bundle(bundle).event_list() == events
        except LabError as error:
            assert str(error).isprintable()
            refused += 1
    assert refused > 100


@pytest.mark.parametrize("line", [b"5", b'{"kind": "fault"}', b'{"kind": "fault", "process": 1, '
                                  b'"wall": 1, "monotonic": "soon"}',
                                  b'{"kind": "fault", "process": "x", "wall": 1e300, '
                                  b'"monotonic": 1}',
                                  b'{"kind": "fault", "process": "x", "wall": 1, '
                                  b'"monotonic": NaN}'])  # fmt: skip
def test_events_of_another_shape_are_refused(bundle: Path, line: bytes) -> None:
    members = contents(bundle)
    members[EVENTS] = line
    manifest = json.loads(members[MANIFEST])
    manifest["members"][EVENTS] = {"bytes": len(line), "sha256": hashlib.sha256(line).hexdigest()}
    rewritten(bundle, {**members, MANIFEST: json.dumps(manifest).encode()})
    with pytest.raises(LabError, match="its contents are not understood"):
        open_bundle(bundle)


@pytest.mark.parametrize("created", ["1e300", f"1{'0' * 400}", "NaN", '"soon"'])
def test_a_run_of_no_time_is_refused(bundle: Path, created: str) -> None:
    """It was opened, and could not be shown."""
    members = contents(bundle)
    manifest = re.sub(rb'"created": [^,]+', b'"created": ' + created.encode(), members[MANIFEST])
    rewritten(bundle, {**members, MANIFEST: manifest})
    with pytest.raises(LabError, match="its contents are not understood"):
        open_bundle(bundle)


def test_what_is_absurdly_large_is_not_read(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundles, "LARGEST", 1000)
    with pytest.raises(LabError, match="bytes, and 1,000 is most"):
        open_bundle(bundle)


def test_a_lab_keeps_its_run(tmp_path: Path) -> None:
    lab = LabCluster(job_managers=2, task_managers=0)
    with lab:
        killed = lab.kill("leader")
        lab.wait_for_leader(other_than=killed).wait()
        run = open_bundle(lab.export_bundle(tmp_path / "alive.zip"))
        assert not run.missing
        assert "leader" in " ".join(run.store_rows().table)
        assert "HA store" in set(run.storage_tree().what)
        sums = dict(zip(run.storage_tree().what, run.storage_tree().sha256, strict=True))
        assert sums["HA store"] == ""
        token = (lab.directory / "token").read_bytes().strip()
        assert token
        assert not any(token in data for data in contents(tmp_path / "alive.zip").values())
        assert run.timeline().takeovers[0].cause == "kill"
    closed = open_bundle(lab.export_bundle(tmp_path / "closed.zip"))
    assert len(closed.event_list()) >= len(run.event_list())
    assert closed.verdict().valid


def test_the_command_tells_of_a_run(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "run.html"
    assert main(["report", str(bundle), "--html", str(page)]) == 0
    said = capsys.readouterr().out
    assert "valid" in said and "is down" in said
    assert page.read_text() == report_of(open_bundle(bundle))
    cut_off(bundle)
    assert main(["report", str(bundle)]) == 1
    assert re.fullmatch(
        r"hawork: .* is damaged, or is not a bundle of a run: .*\n", capsys.readouterr().err
    )
