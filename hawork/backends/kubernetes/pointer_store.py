"""Pointers as keys of ConfigMaps, each written by one guarded update.

``jobgraphs`` and ``results`` are in the cluster's map, where the lock is: a write is decided
on a state in which the session id holds it, and accepted on no other. ``checkpoints`` and
``counters`` are in the job's own map, where the claim says the same (``claims``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from hawork.backends.kubernetes.answers import ConfigMap
from hawork.backends.kubernetes.claims import Claims, check_claim, is_claimed, is_ours
from hawork.backends.kubernetes.guarded_map import Change
from hawork.backends.kubernetes.layout import (
    CLAIMED_BY,
    decode_entry,
    encode_entry,
    entry_key,
    name_of,
    new_version,
    prefix_of,
)
from hawork.backends.kubernetes.lock_record import Lock, check_leads
from hawork.core.errors import (
    AlreadyExistsError,
    LeadershipLostError,
    NotExistError,
    VersionMismatchError,
)
from hawork.core.types import NO_LEADERSHIP, LeaderSessionID, Versioned
from hawork.ha.pointer_store import Namespace

Believes = Callable[[str], bool]
"""Whether this process may believe now that a session id, as text, is its own leadership."""


class KubernetesPointerStore:
    """The pointers of one namespace; a ``PointerStore``."""

    def __init__(self, claims: Claims, namespace: Namespace, believes: Believes) -> None:
        self._claims = claims
        self._namespace = namespace
        self._job_id = namespace.job_id
        self._map = claims.cluster if self._job_id is None else claims.job(self._job_id)
        self._believes = believes

    # --- PointerStore ---------------------------------------------------------------------

    def create(
        self, name: str, value: bytes, session_id: LeaderSessionID, older: Sequence[str] = ()
    ) -> bool:
        key, version = entry_key(self._namespace, name), new_version()
        written = encode_entry(version, value)
        removed = [entry_key(self._namespace, each) for each in older]
        what = f"creating {self._namespace}/{name}"

        def decide(found: ConfigMap | None) -> Change:
            self._check(found, session_id, what)
            if found is not None and key in found.data:
                raise AlreadyExistsError(
                    f"entry {name} of {self._namespace} exists already: replace it"
                )
            change = self._change(key, written, None, session_id)
            gone = [each for each in removed if found is not None and each in found.data]
            return replace(change, data={**change.data, **dict.fromkeys(gone)})

        self._write(decide, session_id)
        return True

    def replace(self, name: str, version: int, value: bytes, session_id: LeaderSessionID) -> None:
        key = entry_key(self._namespace, name)
        written = encode_entry(new_version(), value)
        what = f"replacing {self._namespace}/{name}"

        def decide(found: ConfigMap | None) -> Change:
            self._check(found, session_id, what)
            before = None if found is None else found.data.get(key)
            if before is None:
                raise NotExistError(f"there is no entry {name} of {self._namespace}: create it")
            present = decode_entry(before).version
            if present != version:
                raise VersionMismatchError(
                    f"entry {name} of {self._namespace} was changed: it has version {present}, "
                    f"not {version}; read it again"
                )
            return self._change(key, written, before, session_id)

        self._write(decide, session_id)

    def read(self, name: str) -> Versioned[bytes] | None:
        key = entry_key(self._namespace, name)
        found = self._current()
        text = None if found is None else found.data.get(key)
        return None if text is None else decode_entry(text)

    def entries(self) -> Sequence[tuple[str, Versioned[bytes]]]:
        found, prefix = self._current(), prefix_of(self._namespace)
        if found is None:
            return []
        return sorted(
            (name_of(self._namespace, key), decode_entry(text))
            for key, text in found.data.items()
            if key.startswith(prefix)
        )

    def delete(self, name: str, session_id: LeaderSessionID) -> bool:
        key = entry_key(self._namespace, name)
        what = f"removing {self._namespace}/{name}"
        was_there = False

        def decide(found: ConfigMap | None) -> Change | None:
            nonlocal was_there
            if found is None and self._job_id is not None:
                self._claims.check_leads(session_id, what)
                return None
            self._check(found, session_id, what)
            before = None if found is None else found.data.get(key)
            if before is None:
                return None
            was_there = True
            return self._change(key, None, before, session_id)

        self._write(decide, session_id)
        return was_there

    def drop(self, session_id: LeaderSessionID) -> None:
        """Remove all entries, and the job's ConfigMap with the last of them."""
        prefix, what = prefix_of(self._namespace), f"removing {self._namespace}"
        deleted = False

        def decide(found: ConfigMap | None) -> Change | None:
            nonlocal deleted
            if found is None and self._job_id is not None:
                self._claims.check_leads(session_id, what)
                deleted = True
                return None
            self._check(found, session_id, what)
            assert found is not None
            keys = [key for key in found.data if key.startswith(prefix)]
            others = found.data.keys() - set(keys)
            deleted = self._job_id is not None and not any(map(is_ours, others))
            if deleted and not others:
                return Change(lambda after: after is None or after.uid != found.uid, delete=True)
            annotations = {CLAIMED_BY: None} if deleted else {}
            if not keys and not annotations:
                return None

            def gone(after: ConfigMap | None) -> bool | None:
                if after is None or not any(key in after.data for key in keys):
                    return True
                return False if self._is_fenced(after, session_id) else None

            return Change(gone, dict.fromkeys(keys), annotations)

        self._write(decide, session_id)
        if deleted and self._job_id is not None:
            self._claims.forget(self._job_id, session_id)

    # --- fencing --------------------------------------------------------------------------

    def _write(
        self, decide: Callable[[ConfigMap | None], Change | None], session_id: LeaderSessionID
    ) -> None:
        if session_id == NO_LEADERSHIP:
            raise LeadershipLostError(f"a write to {self._namespace} needs a leadership")
        try:
            self._map.write(decide)
        except LeadershipLostError:
            if self._job_id is None:
                raise
            # A job's first entry, or a map that lost its claim: the lock has the last word.
            self._claims.ensure(self._job_id, session_id)
            self._map.write(decide)

    def _check(self, found: ConfigMap | None, session_id: LeaderSessionID, what: str) -> None:
        if self._job_id is None:
            check_leads(found, session_id, what)
        elif found is None:
            raise LeadershipLostError(f"{what} was refused: job {self._job_id} has no ConfigMap")
        else:
            check_claim(found, session_id, what)

    def _is_fenced(self, found: ConfigMap, session_id: LeaderSessionID) -> bool:
        if self._job_id is not None:
            return is_claimed(found, session_id)
        lock = Lock.of(found)
        return lock is not None and lock.holder == str(session_id)

    def _change(
        self, key: str, written: str | None, before: str | None, session_id: LeaderSessionID
    ) -> Change:
        """Set or remove one key, which held ``before``."""

        def landed(after: ConfigMap | None) -> bool | None:
            text = None if after is None else after.data.get(key)
            if text == written:
                return True
            # Versions are never used again: what was there before is there still.
            unchanged = text == before and before is not None
            # While the leadership lasts no other process writes our keys.
            ours = after is not None and self._is_fenced(after, session_id)
            return False if unchanged or ours else None

        return Change(landed, {key: written})

    # --- reading --------------------------------------------------------------------------

    def _current(self) -> ConfigMap | None:
        """What the server has; for the leader, what it knows: no other process may write there."""
        known = self._map.known
        if known is not None and self._belongs_to_us(known):
            return known
        return self._map.read()

    def _belongs_to_us(self, known: ConfigMap) -> bool:
        if self._job_id is not None:
            return self._believes(known.annotations.get(CLAIMED_BY, ""))
        lock = Lock.of(known)
        return lock is not None and self._believes(lock.holder)
