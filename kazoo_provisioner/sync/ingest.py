"""Changes into the store: documents, dirty marks with their causes, and the position, in one transaction."""

from collections.abc import Sequence

import structlog

from kazoo_provisioner.crashpoints import crash_point
from kazoo_provisioner.model import wire
from kazoo_provisioner.model.wire import Doc
from kazoo_provisioner.sources.base import Change, Position
from kazoo_provisioner.sources.base import Stored as StoredPosition
from kazoo_provisioner.store.documents import Stored
from kazoo_provisioner.store.writer import Store
from kazoo_provisioner.sync.affected import affected

log = structlog.get_logger()

BATCH = 200
"""Most changes in one transaction."""


class Ingest:
    """Applies batches of changes. The same change twice is the same as once."""

    def __init__(self, store: Store, source: str) -> None:
        self._store = store
        self._source = source
        self._version = wire.ingest_version()
        self.announce = False
        self.marks = True
        """Whether what a change concerns is marked. Not in the first pass: everything is, at its end."""

    def held(self, db: str) -> dict[str, str]:
        """Return what we hold of a database; revisions are empty when other fields are kept now."""
        return self._store.documents.held(db, self._version)

    def databases(self) -> list[str]:
        """Return the databases of which we hold documents."""
        return self._store.documents.databases()

    def positions(self) -> dict[str, StoredPosition]:
        """Return how far each database of this source was read."""
        found = self._store.documents.positions(self._source)
        return {
            db: StoredPosition(seq, identity, v != self._version) for db, (seq, identity, v) in found.items()
        }

    def apply(self, events: Sequence[Change | Position], now: int) -> int:
        """Write a batch; return how many documents really differed.

        Raises:
            StoreUnavailableError: nothing was written; apply the same batch again.
        """
        moved = 0
        positions: dict[str, Position] = {}
        with self._store.transaction():
            crash_point("ingest.begin")
            for event in events:
                if isinstance(event, Position):
                    positions[event.db] = event
                    continue
                try:
                    if not self.marks:  # then nothing follows that could fail after the document is written
                        moved += self._one(event, now)
                        continue
                    with self._store.savepoint():
                        moved += self._one(event, now)
                except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
                    # The last good one stays, and nobody else's document waits for this one.
                    problem = type(error).__name__  # its words could quote the document
                    log.warning("document_unreadable", db=event.db, doc=event.id, problem=problem)
            crash_point("ingest.marks")
            for at in positions.values():
                self._store.documents.set_position(self._source, at.db, at.seq, at.identity, self._version)
            crash_point("ingest.position")
        crash_point("ingest.committed")
        return moved

    def _one(self, change: Change, now: int) -> bool:
        documents = self._store.documents
        new = change.kept
        body = wire.encode(new[1]) if new else None
        stored = documents.latest(change.db, change.id)
        old: tuple[str, Doc] | None = None
        if stored and stored.body is not None:
            old = (stored.kind, wire.decode(stored.body))
        if old is None and new is None:
            return False
        if stored and new and (stored.body, stored.kind) == (body, new[0]):
            if (stored.rev, stored.version) != (change.rev, self._version):
                documents.touch(change.db, change.id, change.rev, self._version)
            return False
        kind = new[0] if new else (old or ("",))[0]
        targets = wire.targets(*new) if new else set()
        mac = wire.mac_of(*new) if new else None
        documents.put(
            change.db,
            change.id,
            Stored(kind, change.rev, body, mac, self._version),
            targets,
            new=stored is None,
        )
        crash_point("ingest.documents")
        if not self.marks:
            return True
        subjects, priority = affected(self._store, change.db, change.id, old, new)
        if subjects:
            cause = self._store.queue.cause("document", f"{change.db}/{change.id}", change.rev, now)
            self._store.queue.mark(subjects, cause, priority, now)
        # The first pass is told in one line, "caught_up"; what moves nothing is no news.
        tell = log.info if subjects and self.announce else log.debug
        of = mac or (wire.mac_of(*old) if old else None)
        fields = {"mac": of} if of else {}
        tell(
            "document_changed", db=change.db, doc=change.id, rev=change.rev, type=kind, **fields,
            deleted=new is None, phones=len(subjects),
        )  # fmt: skip
        return True
