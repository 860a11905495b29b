"""Why a phone gets what it gets, in words an operator understands. Reads the store, changes nothing.

No secret is in here: of a credential only that it is there.
"""

import datetime as dt

import msgspec

from kazoo_provisioner.catalogue.load import Catalogue
from kazoo_provisioner.model import text, wire
from kazoo_provisioner.model.ids import db_of_account
from kazoo_provisioner.model.merge import is_registering
from kazoo_provisioner.model.wire import Doc, get
from kazoo_provisioner.settings import PhonesSettings
from kazoo_provisioner.store.releases import PhoneState
from kazoo_provisioner.store.writer import Store
from kazoo_provisioner.sync.accounts import Accounts
from kazoo_provisioner.sync.affected import phone_subject
from kazoo_provisioner.sync.claims import Candidate, candidates


class Explainer:
    """Answers for one store."""

    def __init__(self, store: Store, catalogue: Catalogue, phones: PhonesSettings) -> None:
        self._store = store
        self._catalogue = catalogue
        self._accounts = Accounts(store, phones)

    def mac(self, mac: str, account: str = "") -> list[str]:
        """Explain a MAC address, as asked for under an account where one is given; a line each."""
        everyone = candidates(self._store, mac)
        lines = [f"Phone {mac}" + (f", asked for under account {self._named(account)}" if account else "")]
        if self._store.meta("synced") is None:
            lines.append(
                "The first full pass has not ended: phones we do not know yet get 503, try again later."
            )
        if not everyone:
            return [*lines, *self._unknown(mac)]
        here = [c for c in everyone if c.account == account]
        if account and not here:
            others = sorted({self._named(c.account) for c in everyone})
            lines.append(
                f"404 under account {account}: no device of that account has this MAC. It belongs to {', '.join(others)}."
            )
        lines += self._verdict(mac, account, everyone)
        for candidate in here or everyone:
            lines += ["", *self._device(mac, candidate)]
        return lines

    def common(self, account: str, file: str) -> tuple[list[str], bool]:
        """Explain a file that names no phone; return lines, and whether it is served."""
        for scope in dict.fromkeys((account, "")):
            subject = self._store.releases.server_of(scope, file)
            if subject is None:
                continue
            kind, _, rest = subject.partition("/")
            what = (
                f"the files that all phones of {rest} share"
                if kind == "common"
                else f"the phonebook of account {rest}"
            )
            lines = [f"{file}: 200. It belongs to {what}; it holds nothing of a phone's own."]
            return lines + self._rendered(subject), True
        lines = [
            f"{file}: 404. It names no phone, and no family or phonebook{' of this account' if account else ''} has it."
        ]
        if self._store.meta("synced") is None:
            lines.append("The first full pass has not ended: the answer is 503 until it has.")
        return lines, False

    def _unknown(self, mac: str) -> list[str]:
        databases, documents = self._store.documents.count()
        return [
            f"404 everywhere: no device document has the MAC {mac}.",
            f"We hold {documents} documents of {databases} databases. If the device was saved just now, look for",
            "document_unreadable or source_unreadable in the log; else check mac_address in the device's document.",
        ]

    def _verdict(self, mac: str, account: str, everyone: list[Candidate]) -> list[str]:
        lines = []
        for scope in sorted({c.account for c in everyone if not account or c.account == account}):
            owner = self._store.claims.owner(scope, mac)
            who = self._device_named(*owner) if owner else "nobody yet"
            lines.append(f"/p/{scope}/…{mac}… is answered for {who}.")
        owner = self._store.claims.owner("", mac)
        lines.append(
            f"/p/…{mac}… (no account in the path) is answered for {self._device_named(*owner) if owner else 'nobody yet'}."
        )
        if len(everyone) > 1:
            lines.append(
                f"MAC conflict: {len(everyone)} devices have this MAC. Registering devices go first; whoever has it keeps it; "
                "a free one goes to the oldest."
            )
        return lines

    def _device(self, mac: str, candidate: Candidate) -> list[str]:
        account, device = candidate.account, candidate.device
        stored = self._store.documents.latest(candidate.db, device)
        doc = wire.decode(stored.body) if stored and stored.body else {}
        state = self._store.releases.state(phone_subject(account, device))
        lines = [
            f"Device {self._device_named(account, device)}",
            f"  document   {candidate.db}/{device} revision {stored.rev if stored else '?'}",
            f"  account    {self._account(account)}",
            f"  owner      {self._owner(candidate.db, doc)}",
            f"  registers  {self._registers(doc)}",
            f"  model      {self._model(doc)}",
        ]
        for scope, what in ((account, f"/p/{account}/"), ("", "/p/")):
            owner = self._store.claims.owner(scope, mac)
            if owner and owner != (account, device):
                lines.append(
                    f"  conflict   not served below {what}: {self._device_named(*owner)} has the MAC"
                )
        return [*lines, *self._outcome(state, account, device)]

    def _outcome(self, state: PhoneState | None, account: str, device: str) -> list[str]:
        subject = phone_subject(account, device)
        lines = []
        if state is None:
            lines.append("  result     404: not rendered yet")
        elif state.problem:
            kept = self._store.releases.inputs_hash(subject) is not None
            result = "the last good files are still served" if kept else "404"
            lines.append(f"  result     {result}: {state.problem}: {state.detail}")
        else:
            lines.append("  result     200")
        if state:
            warnings = msgspec.json.decode(state.warnings, type=list[dict[str, str]])
            lines += [f"  warning    {warning['code']}: {warning['detail']}" for warning in warnings]
        lines += self._rendered(subject)
        lines += [
            f"  file       /p/{scope + '/' if scope else ''}{name}  {size} bytes, ETag {etag[:12]}…"
            for scope, name, etag, size in self._store.releases.served_names(subject)
        ]
        if self._store.queue.is_dirty(subject):
            lines.append("  pending    a newer change waits to be rendered")
        return lines

    def _rendered(self, subject: str) -> list[str]:
        return [
            f"  rendered   {_time(release.at)} because of {', '.join(release.causes) or 'an earlier change'}"
            for release in self._store.releases.history(subject, 1)
        ]

    def _model(self, doc: Doc) -> str:
        brand, model = get(doc, "provision.endpoint_brand"), get(doc, "provision.endpoint_model")
        if not brand or not model:
            return "none: provision.endpoint_brand and endpoint_model are not both set, so there is nothing to make"
        said = f"{text.name(brand, 40)}/{text.name(get(doc, 'provision.endpoint_family'), 40)}/{text.name(str(model), 80)}"
        found = self._catalogue.resolve(brand, model)
        if found is None:
            return f"unknown: the document says {said}; `kazoo-provisioner models` lists what we know"
        return f"{found.name} ({found.brand}/{found.family}/{found.id}), because the document says {said}"

    def _account(self, account: str) -> str:
        source = {
            "own": "its own document",
            "copy": "the copy in accounts (its own document was not read)",
            "none": "no document read yet",
        }[self._accounts.source(account)]
        context = self._accounts.get(account)
        above = f", {len(context.ancestors)} above it" if context and context.ancestors else ""
        return f"{self._named(account)}: {source}{above}"

    def _owner(self, db: str, doc: Doc) -> str:
        owner_id = doc.get("owner_id")
        if not isinstance(owner_id, str) or not owner_id:
            return "none"
        found = self._store.documents.get(db, owner_id)
        return (
            f"user {text.name(owner_id)}"
            if found
            else f"user {text.name(owner_id)}, of whom there is no document"
        )

    def _registers(self, doc: Doc) -> str:
        if is_registering(doc):
            return f"as {text.name(get(doc, 'sip.username'))}, with a password"
        if get(doc, "sip.method") == "ip":
            return "no: sip.method is ip"
        missing = [f for f in ("username", "password") if not wire.text(doc, f"sip.{f}")]
        return f"no: sip.{' and sip.'.join(missing)} not set" if missing else "no"

    def _named(self, account: str) -> str:
        doc = self._accounts.document(account)
        name = text.name(doc.get("name")) if doc else ""
        return f"{account} ({name})" if name else account

    def _device_named(self, account: str, device: str) -> str:
        found = self._store.documents.get(db_of_account(account), device)
        name = text.name(found[1].get("name")) if found else ""
        return f"{device}{f' ({name})' if name else ''} of account {self._named(account)}"


def _time(ms: int) -> str:
    return dt.datetime.fromtimestamp(ms / 1000, dt.UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
