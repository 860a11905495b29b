"""The writer: a source feeds ingest, ingest feeds the queue, the queue feeds reconcile. One loop."""

import asyncio
import time

import msgspec
import structlog

from kazoo_provisioner.layers import PhonesSettings
from kazoo_provisioner.model.ids import account_of_db
from kazoo_provisioner.render.engine import Renderer
from kazoo_provisioner.sources.base import CaughtUp, Event, Inbox, Source
from kazoo_provisioner.store.queue import ACCOUNT, BACKGROUND
from kazoo_provisioner.store.reader import SOURCE
from kazoo_provisioner.store.schema import StoreUnavailableError
from kazoo_provisioner.store.writer import Store
from kazoo_provisioner.sync.affected import phone_subject
from kazoo_provisioner.sync.ahead import WINDOW, Ahead
from kazoo_provisioner.sync.ingest import BATCH, Ingest
from kazoo_provisioner.sync.reconcile import Reconciler
from kazoo_provisioner.sync.versions import mark_what_is_new

log = structlog.get_logger()

SYNCED = "synced"
MARKED = "marked"
"""Noted when everything that the first pass brought was marked; until then changes mark nothing."""
WITHDRAWN_KEPT = 7 * 24 * 3600 * 1000
"""Milliseconds for which the releases of a phone that has no files any more are kept."""
_STORE_RETRY = 1.0
_HOUSEKEEPING = 60.0
FIRST_EVENTS = 1000
"""Events in one transaction while nothing is marked yet."""
FIRST_BATCH = 100
"""Subjects in one transaction of the first pass: nobody waits for a single one, and fewer cost less."""
_STATUS = 2.0
"""Seconds between two notes of how the source does."""


def now_ms() -> int:
    """Return the time in milliseconds since 1970."""
    return time.time_ns() // 1_000_000


class Writer:
    """Owns the store. `run` is the only thing that writes to it."""

    def __init__(
        self,
        store: Store,
        source: Source,
        renderer: Renderer,
        phones: PhonesSettings,
        ahead: Ahead | None = None,
    ) -> None:
        self._store = store
        self._source = source
        self._ingest = Ingest(store, source.name)
        self._reconciler = Reconciler(store, renderer, phones)
        self._inbox = Inbox()
        self._caught_up = store.meta(SYNCED) is not None
        self._first_marks = 0  # when the first pass had marked everything, ms
        self._first_until = int(store.meta(SYNCED) or 0)
        self._told = False
        self._stopping = False
        self._reload: tuple[Renderer, PhonesSettings] | None = (renderer, phones)
        self._unwritten: list[Event] = []
        self._ingest.marks = store.meta(SYNCED) is not None or store.meta(MARKED) is not None
        self._status: tuple[float, bytes] = (0.0, b"")
        self._announce(each=store.meta(SYNCED) is not None)
        store.hurry(on=store.meta(SYNCED) is None)
        self._ahead = ahead

    async def run(self) -> None:
        """Follow the source until `stop`; raise when the source ends or raises."""
        feeding = asyncio.create_task(self._source.run(self._inbox, self._ingest), name="source")
        housekeeping = time.monotonic()
        try:
            while not self._stopping:
                if feeding.done():
                    feeding.result()
                    raise RuntimeError(f"source {self._source.name} ended")
                try:
                    with self._store.translated():
                        pause = self._step()
                        self._note_status()
                        if time.monotonic() - housekeeping > _HOUSEKEEPING and pause:
                            housekeeping = time.monotonic()
                            self._keep_house()
                except StoreUnavailableError as error:
                    log.error("store_unavailable", problem=str(error), retry_ms=int(_STORE_RETRY * 1000))
                    await asyncio.sleep(_STORE_RETRY)
                    continue
                await (self._inbox.wait(pause) if pause else asyncio.sleep(0))
        finally:
            feeding.cancel()
            await asyncio.gather(feeding, return_exceptions=True)
            self._end_head_start()

    def _note_status(self) -> None:
        """Leave how the source does where readers find it."""
        if time.monotonic() - self._status[0] < _STATUS:
            return
        status = msgspec.json.encode(self._source.status() | {"at": round(time.time(), 1)})
        if status != self._status[1]:
            with self._store.transaction():
                self._store.set_meta(SOURCE, status.decode())
        self._status = (time.monotonic(), status)

    def _keep_house(self) -> None:
        with self._store.transaction():
            self._store.queue.drop_unused_causes()
            self._store.releases.forget_withdrawn(now_ms() - WITHDRAWN_KEPT)

    def stop(self) -> None:
        """End `run` after the transaction that is under way."""
        self._stopping = True
        self._inbox.wake()

    def reload(self, renderer: Renderer, phones: PhonesSettings) -> None:
        """Go on with other templates and settings; what they change is re-rendered, paced."""
        self._reload = (renderer, phones)
        self._inbox.wake()

    def _step(self) -> float:
        """Do one piece of work; return how many seconds to wait for more, 0 for not at all."""
        if self._reload is not None:
            renderer, phones = self._reload
            version = self._reconciler.version
            self._reconciler = Reconciler(self._store, renderer, phones)
            self._reconciler.version = version
            if self._ahead:
                self._ahead.basis = self._reconciler.basis()
                self._reconciler.head_start = self._ahead
            self._announce(each=self._ingest.announce)
            mark_what_is_new(self._store, renderer.catalogue, phones, now_ms())
            self._reload = None
        busy = self._take()
        self._store.keep_small()
        if not self._caught_up:
            return 0.0 if busy else _STATUS
        self._note_synced()
        if self._store.meta(SYNCED) is None:
            if self._ahead:
                soon = self._store.queue.due(now_ms(), FIRST_BATCH + WINDOW)
                self._ahead.ask([due.subject for due in soon[FIRST_BATCH:]], self._reconciler.version)
            if self._reconciler.run_due(now_ms(), limit=FIRST_BATCH):
                return 0.0
        elif self._reconciler.run_due(now_ms(), ACCOUNT):
            return 0.0
        else:
            started = time.monotonic()
            if self._reconciler.run_due(now_ms()):
                # Background work takes half of the time at most, once there is something to serve.
                return max(0.001, time.monotonic() - started)
        return 0.0 if busy else self._until_due()

    def _take(self) -> bool:
        """Ingest what has arrived; a batch that could not be written is the next one again."""
        if not self._unwritten:
            self._unwritten = self._inbox.take(BATCH if self._ingest.marks else FIRST_EVENTS)
        events = self._unwritten
        changes = [event for event in events if not isinstance(event, CaughtUp)]
        if changes:
            started = time.monotonic()
            moved = self._ingest.apply(changes, now_ms())
            self._reconciler.version += moved
            log.debug(
                "ingested",
                changes=len(changes),
                moved=moved,
                ms=round((time.monotonic() - started) * 1000, 2),
            )
        if any(isinstance(event, CaughtUp) for event in events) and not self._told:
            self._mark_all()
            self._told = self._caught_up = True
            self._first_marks = now_ms()
            databases, documents = self._store.documents.count()
            log.info("caught_up", source=self._source.name, databases=databases, documents=documents)
        # Only now: what could not be written, the mark of the end too, comes again.
        self._unwritten = []
        self._inbox.stored(len(events))
        return bool(events)

    def _mark_all(self) -> None:
        """Mark every phone, once in a store's life: where nothing is known, everything is affected."""
        if self._ingest.marks:
            return
        with self._store.transaction():
            cause = self._store.queue.cause("start", "documents", "", now_ms())
            phones = self._store.documents.all_phones()
            subjects = {phone_subject(account_of_db(db) or "", device) for db, device in phones}
            # What an earlier program rendered is perhaps gone.
            subjects |= set(self._store.releases.all_phones())
            self._store.queue.mark(sorted(subjects), cause, BACKGROUND, now_ms())
            self._store.set_meta(MARKED, str(now_ms()))
        self._ingest.marks = True

    def _note_synced(self) -> None:
        """Note the end of the first full pass: everything that it marked was tried."""
        if not self._ingest.announce and self._told and not self._store.queue.untried(self._first_marks):
            self._first_until = now_ms()
            with self._store.transaction():
                self._store.set_meta(SYNCED, str(self._first_until))
            self._announce(each=True)
            self._store.hurry(on=False)
            self._end_head_start()
            log.info("synced", phones=self._store.releases.count(), problems=self._store.releases.problems())

    def _end_head_start(self) -> None:
        if self._ahead:
            self._ahead.close()
            self._ahead = self._reconciler.head_start = None

    def _announce(self, *, each: bool) -> None:
        """Log each change at level info: not during the first pass, which is told as a whole."""
        self._ingest.announce = self._reconciler.announce = each
        self._reconciler.first_until = self._first_until

    def _until_due(self) -> float:
        next_at = self._store.queue.next_at()
        if next_at is None:
            return _STATUS
        return min(_STATUS, max(0.005, (next_at - now_ms()) / 1000))
