"""The store as the operator's pages see it: counts, and what the writer said last."""

from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from kazoo_provisioner.store import schema
from kazoo_provisioner.store.reader import SOURCE


class Counts(NamedTuple):
    """What there is in a store. Times are milliseconds since 1970."""

    synced: bool
    source: dict[str, Any]
    """How the source does, as the writer said last; empty before it did."""
    problems: dict[str, int]
    waiting: int
    """Phones, phonebooks and families that are marked for rendering."""
    failing: int
    """Those of them that were tried in vain."""
    oldest: int | None
    """When the oldest of those that were not tried yet was marked; None: there is none."""


def count(folder: Path) -> Counts:
    """Count what there is in a store.

    Raises:
        StoreError: there is no store, or it cannot be read; says why.
    """
    with closing(schema.open_reader(folder)) as db, schema.translated(folder):
        notes = dict(db.execute("SELECT key, value FROM meta WHERE key IN ('synced', ?)", (SOURCE,)))
        problems = db.execute("SELECT problem, count(*) FROM phone WHERE problem IS NOT NULL GROUP BY 1")
        waiting, failing, oldest = db.execute(
            "SELECT count(*), count(CASE WHEN attempts>0 THEN 1 END), min(CASE WHEN attempts=0 THEN first_at END) "
            "FROM dirty"
        ).fetchone()
        said = msgspec.json.decode(notes[SOURCE]) if SOURCE in notes else {}
        return Counts("synced" in notes, said, dict(problems.fetchall()), waiting, failing, oldest)


def count_models(folder: Path) -> list[tuple[str, str, int]]:
    """Return family (``brand/family``), model, and how many such phones have files that are served.

    Takes longer than `count`: it looks at every phone.

    Raises:
        StoreError: as in `count`.
    """
    with closing(schema.open_reader(folder)) as db, schema.translated(folder):
        return db.execute(
            "SELECT family, coalesce(model, ''), count(*) FROM phone "
            "WHERE family IS NOT NULL AND device<>'' GROUP BY 1, 2 ORDER BY 1, 2"
        ).fetchall()


def is_synced(folder: Path) -> bool:
    """Whether the first full pass of a store ended, ever.

    Raises:
        StoreError: as in `count`.
    """
    with closing(schema.open_reader(folder)) as db, schema.translated(folder):
        return db.execute("SELECT 1 FROM meta WHERE key='synced'").fetchone() is not None
