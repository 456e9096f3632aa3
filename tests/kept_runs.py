"""A run of a real cluster, kept in a file: read again, replayed and reported."""

from __future__ import annotations

import zipfile
from pathlib import Path

from hawork.cli.main import main
from hawork.lab import LabCluster, RunBundle, open_bundle, replay
from hawork.lab.flink.attached import AttachedCluster


def check_kept_run(
    lab: LabCluster | AttachedCluster,
    directory: Path,
    *,
    secrets: tuple[str, ...] = (),
    missing: tuple[str, ...] = (),
) -> RunBundle:
    """Export, open, replay and report; the file tells what the lab tells, but no secret."""
    path = lab.export_bundle(directory / "run.zip")
    kept = open_bundle(path)
    assert set(kept.missing) == set(missing), kept.missing
    known = {(each.process, each.monotonic, each.kind) for each in lab.event_list()}
    assert {(each.process, each.monotonic, each.kind) for each in kept.event_list()} <= known
    assert kept.timeline().takeovers == lab.timeline().takeovers
    assert kept.store_rows().empty == ("store.json" in missing)
    files = kept.storage_tree()
    assert files.empty == ("storage.json" in missing)
    assert files.empty or set(files.sha256.str.len()) == {64}

    panel = replay(kept)
    assert panel.widget.replay
    for takeover in kept.timeline().takeovers:
        assert takeover.process in repr(panel)
    page = directory / "run.html"
    status = main(["report", str(path), "--html", str(page)])
    assert status == (0 if kept.verdict().valid else 1)
    assert f"A run of {type(lab).__name__}" in page.read_text()

    with zipfile.ZipFile(path) as archive:
        contents = [archive.read(name).decode() for name in archive.namelist()]
    for secret in secrets:
        assert secret
        assert not any(secret in text for text in contents)
    return kept
