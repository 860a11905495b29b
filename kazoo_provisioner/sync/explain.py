"""Why a phone gets what it gets, in words an operator understands. Reads the store, changes nothing.

No secret is in here: of a credential only that it is there.
"""

import datetime as dt
import json
import re
from collections.abc import Callable

import msgspec

from kazoo_provisioner.catalogue.identify import Identifier
from kazoo_provisioner.catalogue.load import Catalogue
from kazoo_provisioner.layers import PhonesSettings
from kazoo_provisioner.model import text, wire
from kazoo_provisioner.model.ids import account_of_db, db_of_account
from kazoo_provisioner.model.merge import is_registering
from kazoo_provisioner.model.wire import Doc, get
from kazoo_provisioner.store.reader import SOURCE
from kazoo_provisioner.store.releases import PhoneState
from kazoo_provisioner.store.writer import Store
from kazoo_provisioner.sync.accounts import Accounts
from kazoo_provisioner.sync.affected import phone_subject
from kazoo_provisioner.sync.claims import Candidate, candidates

CAUSES = 3
"""Causes of a release that are named."""
_CAUSES_READ = 10
"""As many of them the store tells at most."""

_REASONS = {
    "unknown_mac": "no device document has this MAC",
    "account_required": "web.serve_without_account is false, so a phone's own files need the account in the path",
    "not_synced": "the first full pass has not ended, and what is not rendered yet is not known; try again later",
    "store_unavailable": "the store cannot be read",
    "no_such_path": "this can be no file of ours",
}


class Explainer:
    """Answers for one store.

    `answer` gives status and reason of a host and path, by the code that answers phones: what is said here is what
    they get.
    """

    def __init__(
        self, store: Store, catalogue: Catalogue, phones: PhonesSettings,
        answer: Callable[[str, str], tuple[int, str]], free: Callable[[str, str, str], list[str]],
        who: Identifier,
    ) -> None:  # fmt: skip
        self._store = store
        self._catalogue = catalogue
        self._phones = phones
        self._accounts = Accounts(store, phones)
        self._answer = answer
        self._free = free
        self._who = who

    def mac(self, mac: str, account: str = "") -> tuple[list[str], bool]:
        """Explain a MAC address, under one account where it is given; return lines, and whether we know it."""
        everyone = candidates(self._store, mac)
        lines = []
        for scope in (*([account] if account else _accounts(everyone)), ""):
            names = self._names(scope, mac)
            file = names[0] if names else f"{mac}.cfg"
            status, reason = self._answer("", _path(scope, file))
            why = self._why(reason, scope, file, mac, everyone)
            what = f"{', '.join(names)}; " if status == 200 else ""
            lines.append(f"{status} under {_path(scope)}: {what}{why}")
        return [*lines, *self._background(mac, account, everyone)], bool(everyone)

    def path(self, host: str, path: str, account: str, file: str, mac: str) -> tuple[list[str], bool]:
        """Explain a URL: its account, file, and the MAC address that it names; any of them may be empty."""
        everyone = candidates(self._store, mac) if mac else []
        status, reason = self._answer(host, path)
        under = f"under account {self._named(account)}" if account else "without an account"
        lines = [f"{status} {under} for {file}: {self._why(reason, account, file, mac, everyone)}"]
        subject = self._server(account, file)
        if status == 200 and subject and not subject.startswith("phone/"):
            lines += self._rendered(subject)
        if mac:
            return [*lines, *self._background(mac, account, everyone)], bool(everyone)
        return lines, status == 200

    # The answer

    def _why(self, reason: str, account: str, file: str, mac: str, everyone: list[Candidate]) -> str:
        """Say a reason of a request in a sentence."""
        if reason in ("served", "not_modified"):
            return self._whose(account, file)
        if reason == "no_such_file":
            return f"{reason}: {self._no_such_file(account, mac)}"
        if reason == "wrong_account":
            others = ", ".join(self._named(one) for one in _accounts(everyone))
            return f"{reason}: no device of that account has this MAC. It belongs to {others}"
        if reason in _REASONS:
            return f"{reason}: {_REASONS[reason]}"
        return f"{reason}: {self._detail(reason, account, mac, everyone)}"

    def _detail(self, problem: str, account: str, mac: str, everyone: list[Candidate]) -> str:
        """Say what the device that has a problem says of it; whoever has the MAC is asked first."""
        owner = self._store.claims.owner(account, mac)
        here = [(c.account, c.device) for c in everyone if not account or c.account == account]
        for one in sorted(here, key=lambda one: one != owner):
            state = self._store.releases.state(phone_subject(*one))
            if state and state.problem == problem:
                return f"{state.detail}, says device {_short(one[1])}" if len(here) > 1 else f"{state.detail}"
        return "docs/logs.md says what that is"

    def _whose(self, account: str, file: str) -> str:
        subject = self._server(account, file) or ""
        kind, _, rest = subject.partition("/")
        if kind == "common":
            return f"a file that all phones of {rest} share; it holds nothing of a phone's own"
        if kind == "book":
            return f"the phonebook of account {rest}; it holds nothing of a phone's own"
        state = self._store.releases.state(subject)
        made = f"made for device {_short(rest.partition('/')[2])}"
        if state and state.problem:
            return f"{made}. But the last good files are still served: {state.problem}: {state.detail}"
        return made

    def _no_such_file(self, account: str, mac: str) -> str:
        if not mac:
            whose = " of this account" if account else ""
            return f"it names no phone, and no family or phonebook{whose} has it"
        names = self._names(account, mac)
        if names:
            return f"no file of that name is made for this phone. These are: {', '.join(names)}"
        owner = self._store.claims.owner(account, mac)
        state = self._store.releases.state(phone_subject(*owner)) if owner else None
        because = f": {state.problem}: {state.detail}" if state and state.problem else ""
        return f"nothing is served here for the device that has this MAC{because}"

    def _names(self, scope: str, mac: str) -> list[str]:
        """Return what is served in a scope for the device that has a MAC there."""
        owner = self._store.claims.owner(scope, mac)
        served = self._store.releases.served_names(phone_subject(*owner)) if owner else []
        return [name for where, name, *_ in served if where == scope]

    def _server(self, account: str, file: str) -> str | None:
        server_of = self._store.releases.server_of
        return server_of(account, file) or (server_of("", file) if account else None)

    # What stands behind it

    def _background(self, mac: str, account: str, everyone: list[Candidate]) -> list[str]:
        lines = []
        if self._store.meta("synced") is None:
            lines.append("The first full pass has not ended: phones that we do not know yet get 503.")
        if not everyone:
            return [*lines, *self._unknown(mac)]
        here = [c for c in everyone if c.account == account] or everyone
        lines += ["", f"Who has the MAC {mac}"]
        for scope in (*_accounts(here), ""):
            owner = self._store.claims.owner(scope, mac)
            lines.append(f"  {_path(scope)}  {self._device_named(*owner) if owner else 'nobody yet'}")
        if len(everyone) > 1:
            lines.append(
                f"MAC conflict: {len(everyone)} devices have this MAC. Registering devices go first; whoever has it keeps it; "
                "a free one goes to the oldest."
            )
        for candidate in here:
            lines += ["", *self._device(mac, candidate)]
        return lines

    def _unknown(self, mac: str) -> list[str]:
        databases, documents = self._store.documents.count()
        synced = self._store.meta("synced") is not None
        said = json.loads(self._store.meta(SOURCE) or "{}").get("problem")
        answer = "404 everywhere" if synced else "503 until the first full pass has ended"
        return [
            f"{answer}: no device document has the MAC {mac}.",
            *([f"The source has a problem: {text.name(said, 200)}"] if said else []),
            f"We hold {documents} documents of {databases} databases. If the device was saved just now, look for",
            "document_unreadable, database_unreadable, source_lost or source_unreadable in the log; else check mac_address in the device's document.",
        ]

    def _device(self, mac: str, candidate: Candidate) -> list[str]:
        account, device = candidate.account, candidate.device
        stored = self._store.documents.latest(candidate.db, device)
        doc = wire.decode(stored.body) if stored and stored.body else {}
        state = self._store.releases.state(phone_subject(account, device))
        lines = [
            f"Device {self._device_named(account, device)}",
            f"  document   {candidate.db}/{device} revision {stored.rev if stored else '?'}",
            f"  account    {self._account(account)}",
            f"  settings   {self._layers(account)}",
            f"  owner      {self._owner(candidate.db, doc)}",
            f"  registers  {self._registers(doc)}",
            f"  model      {self._model(doc)}",
        ]
        for scope in (account, ""):
            owner = self._store.claims.owner(scope, mac)
            if owner and owner != (account, device):
                lines.append(
                    f"  conflict   not served below {_path(scope)}: {self._device_named(*owner)} has the MAC"
                )
        lines += self._outcome(state, account, device)
        return [*lines, *(f"  parameter  {said}" for said in self._free(account, device, mac))]

    def _outcome(self, state: PhoneState | None, account: str, device: str) -> list[str]:
        subject = phone_subject(account, device)
        lines = []
        if state is None:
            lines.append("  result     404: not rendered yet")
        elif state.problem:
            kept = self._store.releases.is_serving(subject)
            result = "the last good files are still served" if kept else "404"
            lines.append(f"  result     {result}: {state.problem}: {state.detail}")
        else:
            lines.append("  result     200")
        if state:
            warnings = msgspec.json.decode(state.warnings, type=list[dict[str, str]])
            lines += [f"  warning    {warning['code']}: {warning['detail']}" for warning in warnings]
        lines += self._rendered(subject)
        lines += [
            f"  file       {_path(scope, name)}  {size} bytes, ETag {etag[:12]}…"
            for scope, name, etag, size in self._store.releases.served_names(subject)
            if self._answer("", _path(scope, name))[0] == 200
        ]
        if self._store.queue.is_dirty(subject):
            lines.append("  pending    a newer change waits to be rendered")
        return lines

    def _rendered(self, subject: str) -> list[str]:
        lines = []
        for release in self._store.releases.history(subject, 1):
            named = [self._cause(cause) for cause in release.causes[:CAUSES]]
            more = len(release.causes) - len(named)
            least = "at least " if len(release.causes) >= _CAUSES_READ else ""
            because = ", ".join(named) + (f" and {least}{more} more" if more > 0 else "")
            did = "withdrawn" if release.state == "withdrawn" else "rendered "
            lines.append(f"  {did}  {_time(release.at)} because of {because or 'an earlier change'}")
        return lines

    def _cause(self, said: str) -> str:
        """Shorten a cause: a document's kind, id and revision; of others what they are of."""
        found = re.fullmatch(r"(\S+) (.+) revision (\S*)", said)
        if not found:
            return said[:80]
        kind, ref, rev = found.groups()
        if kind == "claim":
            return "the MAC address passed to it"
        if kind == "start":
            return "the first pass"
        db, _, doc_id = ref.rpartition("/")
        if kind != "document" or not db:
            return f"{kind} {_short(ref)}"
        stored = self._store.documents.latest(db, doc_id)
        where = "" if account_of_db(db) else f" in {db}"
        return f"{stored.kind if stored else kind} {_short(doc_id)}{where} revision {_short(rev.partition('+')[0])}"

    # Of a device's documents

    def _model(self, doc: Doc) -> str:
        brand, model = get(doc, "provision.endpoint_brand"), get(doc, "provision.endpoint_model")
        if not brand or not model:
            return "none: provision.endpoint_brand and endpoint_model are not both set, so there is nothing to make"
        said = f"{text.name(brand, 40)}/{text.name(get(doc, 'provision.endpoint_family'), 40)}/{text.name(str(model), 80)}"
        found = self._catalogue.resolve(brand, model)
        if found is None:
            return f"unknown: the document says {said}; `kazoo-provisioner models` lists what we know"
        named = f"{found.name} ({found.brand}/{found.family}/{found.id}), because the document says {said}"
        maker, ours = (
            self._who.maker(wire.mac_of("device", doc) or ""),
            self._catalogue.brands[found.brand].spec.name,
        )
        return (
            f"{named}; but its MAC address begins as those of {maker}" if maker not in ("", ours) else named
        )

    def _account(self, account: str) -> str:
        context = self._accounts.get(account)
        if context is None and self._accounts.is_gone(account):
            return f"{self._named(account)}: its document was deleted"
        source = {
            "own": "its own document",
            "copy": "the copy in accounts (its own document was not read)",
            "none": "no document read yet",
        }[self._accounts.source(account)]
        above = f", {len(context.ancestors)} above it" if context and context.ancestors else ""
        return f"{self._named(account)}: {source}{above}"

    def _layers(self, account: str) -> str:
        """Name the layers of the settings that hold for an account, weakest first."""
        doc = self._accounts.document(account) or {}
        zone, reseller = get(doc, "zones.home"), doc.get("pvt_reseller_id")
        layers = ["default"]
        if isinstance(zone, str) and zone in self._phones.zones:
            layers.append(f"zone {zone}")
        if isinstance(reseller, str) and reseller in self._phones.resellers:
            layers.append(f"reseller {reseller}")
        if account in self._phones.accounts:
            layers.append(f"account {account}")
        return ", ".join(layers)

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


def _accounts(everyone: list[Candidate]) -> list[str]:
    return sorted({candidate.account for candidate in everyone})


def _path(account: str, file: str = "") -> str:
    return f"/p/{f'{account}/' if account else ''}{file}"


def _short(name: str) -> str:
    return name if len(name) <= 16 else f"{name[:6]}…{name[-4:]}"


def _time(ms: int) -> str:
    return dt.datetime.fromtimestamp(ms / 1000, dt.UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
