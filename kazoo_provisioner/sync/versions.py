"""New templates, new code, new settings: what they re-render, marked behind everything else."""

import hashlib

import structlog

from kazoo_provisioner.catalogue.load import Catalogue
from kazoo_provisioner.layers import PhonesSettings
from kazoo_provisioner.render.engine import code_version
from kazoo_provisioner.store.queue import BACKGROUND
from kazoo_provisioner.store.writer import Store
from kazoo_provisioner.yamlfile import fingerprint

log = structlog.get_logger()

_FAMILY = "version/family/"
_SETTINGS = "version/settings"


def in_use(store: Store, catalogue: Catalogue) -> bool:
    """Whether the store was rendered with these very templates and this code: they compiled, and made what they should."""
    return {key.removeprefix(_FAMILY): value for key, value in store.notes(_FAMILY).items()} == _current(
        catalogue
    )


def _current(catalogue: Catalogue) -> dict[str, str]:
    code = code_version()
    return {name: f"{digest}.{code}" for name, digest in catalogue.digests.items()}


def mark_what_is_new(store: Store, catalogue: Catalogue, phones: PhonesSettings, now: int) -> int:
    """Compare what the store was rendered with to what there is now; mark what differs; return how many."""
    marked: set[str] = set()
    with store.transaction():
        known = {key.removeprefix(_FAMILY): value for key, value in store.notes(_FAMILY).items()}
        current = _current(catalogue)
        for family in sorted(known.keys() | current.keys()):
            if known.get(family) == current.get(family):
                continue
            marked |= _mark_owner(store, family, current.get(family, "removed"), now)
            if family in current:
                store.set_meta(_FAMILY + family, current[family])
            else:
                store.drop_meta(_FAMILY + family)
        if known != current and known:
            # A model that nobody knew may be known now, one whose family failed may be mended.
            subjects = set(store.releases.with_problem())
            _mark(
                store,
                subjects,
                "template",
                "all",
                hashlib.sha256(repr(current).encode()).hexdigest()[:16],
                now,
            )
            marked |= subjects
        version = hashlib.sha256(fingerprint(phones)).hexdigest()[:16]
        before = store.meta(_SETTINGS)
        if before != version:
            if before is not None:
                subjects = set(store.releases.all_phones())
                _mark(store, subjects, "settings", "phones", version, now)
                marked |= subjects
            store.set_meta(_SETTINGS, version)
    if marked:
        log.info("rerender_marked", subjects=len(marked))
    return len(marked)


def _mark_owner(store: Store, owner: str, rev: str, now: int) -> set[str]:
    """Mark what a family or brand makes, and the phones of the brand; return it."""
    # Its phonebooks, also where it had none. A name can pass to it from another: who serves nothing yet goes first, so
    # that the name is never gone.
    own = {f"common/{owner}", *(f"book/{account}/{owner}" for account in store.releases.accounts_with(owner))}
    new = {subject for subject in own if not store.releases.is_serving(subject)}
    _mark(store, new, "template", owner, rev, now - 1)
    # The whole brand: a list of models in a document can now mean another family's.
    rest = (own | set(store.releases.phones_of_brand(owner.partition("/")[0]))) - new
    _mark(store, rest, "template", owner, rev, now)
    return new | rest


def _mark(store: Store, subjects: set[str], kind: str, ref: str, rev: str, now: int) -> None:
    if subjects:
        store.queue.mark(sorted(subjects), store.queue.cause(kind, ref, rev, now), BACKGROUND, now)
