"""From a dirty mark to what is served: documents, phone, files, release. One transaction for a few marks."""

import hashlib
import time
from collections.abc import Callable
from typing import Protocol

import msgspec
import structlog

from kazoo_provisioner.catalogue.fit import admit, fit
from kazoo_provisioner.catalogue.models import Brand, Family, Model
from kazoo_provisioner.crashpoints import crash_point
from kazoo_provisioner.layers import PhonesSettings
from kazoo_provisioner.model import merge, phonebook, wire
from kazoo_provisioner.model.ids import Mac, db_of_account, parse_mac
from kazoo_provisioner.model.merge import Cannot
from kazoo_provisioner.model.phone import Phone, Phonebook
from kazoo_provisioner.model.wire import Doc, get
from kazoo_provisioner.render.engine import File, Renderer, code_version
from kazoo_provisioner.render.errors import RenderError
from kazoo_provisioner.store.queue import BACKGROUND, SINGLE, Due
from kazoo_provisioner.store.releases import Made, PhoneState
from kazoo_provisioner.store.writer import Store
from kazoo_provisioner.sync.accounts import Accounts
from kazoo_provisioner.sync.affected import phone_subject
from kazoo_provisioner.sync.claims import candidates, settle
from kazoo_provisioner.yamlfile import fingerprint

log = structlog.get_logger()

BATCH = 10
"""Most subjects in one transaction: readers never wait, but the WAL stays small."""


class Rendered(msgspec.Struct):
    """A phone as it is rendered: the hash of what it was made from, what was left out, its files."""

    inputs: str
    warnings: tuple[merge.Warning_, ...]
    files: list[Made]


class HeadStart(Protocol):
    """Who may have rendered a phone already."""

    def take(self, subject: str, version: int) -> Rendered | None:
        """Return a phone, if it is there and no document moved since it was asked for."""

    def drop(self, subject: str) -> None:
        """Forget a phone that was dealt with."""


class Reconciler:
    """Makes dirty subjects right from what is stored now."""

    def __init__(self, store: Store, renderer: Renderer, phones: PhonesSettings) -> None:
        self._store = store
        self.renderer = renderer
        self._phones = phones
        self._code = code_version()
        self.announce = False
        self.first_until = 0
        """When the first pass ended, ms: what was marked before belongs to it."""
        self._mac: str | None = None
        self._handed: list[str] = []
        self.head_start: HeadStart | None = None
        self.version = 0
        """Moves whenever a document did."""
        self._ahead_of: tuple[str, int] = ("", -1)
        self._accounts = Accounts(store, phones)
        self._books: dict[str, Phonebook] = {}
        self._marked: set[str] = set()
        """Phonebooks that were marked in this transaction: once is enough."""

    def run_due(self, now: int, priority: int = BACKGROUND, limit: int = BATCH) -> int:
        """Take due marks, at most `limit`; return how many there were.

        Raises:
            StoreUnavailableError: nothing was written; try again.
        """
        due = self._store.queue.due(now, limit, priority)
        if not due:
            return 0
        with self._store.transaction():
            crash_point("reconcile.begin")
            self._accounts = Accounts(self._store, self._phones)
            self._books, self._marked = {}, set()
            for one in due:
                self._one(one, now)
                self._hand_over(now)
            crash_point("reconcile.cleared")
        crash_point("reconcile.committed")
        return len(due)

    def _hand_over(self, now: int) -> None:
        """Serve whoever just got a MAC address in the transaction in which another lost it: no 404 between."""
        seen: set[str] = set()
        while self._handed:
            subject = self._handed.pop()
            if subject not in seen:
                seen.add(subject)
                cause = self._store.queue.cause("claim", subject, "", now)
                self._one(self._store.queue.mark_now(subject, cause, now), now)

    def _one(self, due: Due, now: int) -> None:
        """Handle one mark; whatever goes wrong with it, it alone waits and its old files stay."""
        kind, _, rest = due.subject.partition("/")
        started = time.perf_counter()
        try:
            with self._store.savepoint():
                handler: Callable[[Due, str, int], str] = getattr(self, f"_{kind}")
                outcome = handler(due, rest, now)
                self._store.queue.clear(due)
        except RenderError as error:
            self._failed(due, "render_failed", str(error), now)
            return
        except (ValueError, TypeError, LookupError, AttributeError, RecursionError, ArithmeticError) as error:
            at = error.__traceback__
            while at and at.tb_next:
                at = at.tb_next
            where = f"{at.tb_frame.f_code.co_name}:{at.tb_lineno}" if at else "?"
            self._failed(due, "internal_error", f"{type(error).__name__} in {where}", now)
            return
        finally:
            if self.head_start:
                self.head_start.drop(due.subject)
        if outcome == "same":
            return
        quiet = due.first_at <= self.first_until or (due.priority == BACKGROUND and outcome == "kept")
        tell = log.info if self.announce and not quiet else log.debug
        ms, waited = round((time.perf_counter() - started) * 1000, 2), max(0, now - due.first_at)
        if kind == "phone":
            tell("phone_rendered", subject=rest, mac=self._mac, outcome=outcome, ms=ms, waited_ms=waited)
        else:
            tell(f"{kind}_rendered", subject=rest, outcome=outcome, ms=ms, waited_ms=waited)

    def _failed(self, due: Due, problem: str, detail: str, now: int) -> None:
        self._marked = set()  # what was marked meanwhile was undone with the rest
        delay = self._store.queue.postpone(due, now)
        kind, _, rest = due.subject.partition("/")
        account, _, device = rest.partition("/")
        state = self._store.releases.state(due.subject)
        if state is None:
            state = PhoneState(
                due.subject, account if kind != "common" else "", device if kind == "phone" else ""
            )
        if kind == "phone" and state.mac is None:
            found = self._store.documents.get(db_of_account(account), device)
            state = msgspec.structs.replace(state, mac=wire.mac_of(*found) if found else None)
        self._store.releases.set_state(msgspec.structs.replace(state, problem=problem, detail=detail, at=now))
        log.error(
            "render_failed", subject=rest, mac=state.mac, problem=problem, detail=detail,
            attempt=due.attempts + 1, retry_ms=delay,
        )  # fmt: skip

    def _phone(self, due: Due, rest: str, now: int) -> str:
        account, _, device = rest.partition("/")
        found = self._store.documents.get(db_of_account(account), device)
        state = self._store.releases.state(due.subject) or PhoneState(due.subject, account, device)
        doc = found[1] if found and found[0] == "device" else None
        mac = wire.mac_of("device", doc) if doc else None
        self._mac = mac or state.mac
        scopes = self._scopes(account, device, mac, state.mac, now)
        crash_point("reconcile.claimed")
        if doc is None or mac is None:
            self._store.releases.drop_state(due.subject)
            return self._withdraw(due, state, now)
        # At rest is what nobody changed: a new template is no reason to make the next change wait.
        at, before = (state.at if due.priority == BACKGROUND else now), state.problem
        state = msgspec.structs.replace(state, mac=mac, at=at, problem=None, detail=None)
        try:
            if account not in scopes:
                owner = self._store.claims.owner(account, mac) or ("", "")
                raise WithdrawError("mac_conflict", f"{mac} belongs to device {owner[1]} of this account")
            model = self.model(doc)
            self._check_account(account)
            return self._render_phone(due, state, doc, mac, model, scopes, now)
        except WithdrawError as error:
            gone = msgspec.structs.replace(
                state, problem=error.code, detail=error.detail, family=None, model=None, warnings="[]"
            )
            self._store.releases.set_state(gone)
            if before != error.code:
                log.log(*_level(error.code), phone=rest, mac=mac, problem=error.code, detail=error.detail)
            return self._withdraw(due, state, now)
        except Cannot as error:
            self._store.releases.set_state(
                msgspec.structs.replace(state, problem=error.code, detail=error.detail)
            )
            if before != error.code:
                log.warning("phone_problem", phone=rest, mac=mac, problem=error.code, detail=error.detail)
            return "kept"

    def _scopes(self, account: str, device: str, mac: Mac | None, old: str | None, now: int) -> list[str]:
        """Settle the claims on a device's MAC, old and new; return the scopes in which it owns the new one."""
        owned = []
        for one in {m for m in (mac, parse_mac(old)) if m}:
            everyone = candidates(self._store, one)
            for scope in (account, ""):
                owner = settle(self._store, scope, one, everyone, now)
                if owner and (owner.account, owner.device) == (account, device):
                    if one == mac:
                        owned.append(scope)
                elif owner and owner.new:
                    self._handed.append(phone_subject(owner.account, owner.device))
        return owned

    def model(self, doc: Doc) -> Model:
        """Return the model that a device's document names.

        Raises:
            WithdrawError: it names none that we know.
        """
        brand, model = get(doc, "provision.endpoint_brand"), get(doc, "provision.endpoint_model")
        if not brand or not model:
            raise WithdrawError(
                "no_model", "the device names no brand and model (provision.endpoint_brand, endpoint_model)"
            )
        found = self.renderer.catalogue.resolve(brand, model)
        if found is None:
            named = f"{str(brand)[:40]}/{str(model)[:40]}"
            raise WithdrawError("unknown_model", f"{named!a} is no brand and model we know")
        return found

    def _check_account(self, account: str) -> None:
        if self._accounts.get(account) is None:
            if self._accounts.is_gone(account):
                raise WithdrawError("account_gone", f"the document of account {account} was deleted")
            raise Cannot("account_unknown", f"the document of account {account} was not read yet")

    def _render_phone(
        self, due: Due, state: PhoneState, doc: Doc, mac: Mac, model: Model, scopes: list[str], now: int
    ) -> str:
        family = self.renderer.catalogue.family_of(model)
        ahead = None
        if self.head_start and scopes == [state.account, ""]:
            ahead = self.head_start.take(due.subject, self.version)
        if ahead is not None:
            inputs, warnings = ahead.inputs, ahead.warnings
        else:
            merged, warnings = self.merged(state.account, state.device, doc, mac, model)
            inputs = self._hash(family, merged, model, scopes)
        before = state
        state = msgspec.structs.replace(
            state, family=family.id, model=model.id, warnings=msgspec.json.encode(warnings).decode()
        )
        self._store.releases.set_state(state)
        self._books_moved(state.account, {before.family, family.id}, before.family != family.id, now)
        if self._store.releases.is_current(due.subject, inputs, scopes):
            return "same"
        files = ahead.files if ahead is not None else _made(self.renderer.phone_files(merged, model))
        crash_point("reconcile.rendered")
        self._tell(state, warnings if state.warnings != before.warnings else (), scopes)
        return self._publish(due, files, scopes, model.id, inputs, now)

    def _tell(self, state: PhoneState, warnings: tuple[merge.Warning_, ...], scopes: list[str]) -> None:
        """Log what is worth a look about a phone that was rendered anew."""
        phone = f"{state.account}/{state.device}"
        for warning in warnings:
            log.warning("phone_warning", phone=phone, mac=state.mac, code=warning.code, detail=warning.detail)
        owner = None if "" in scopes else self._store.claims.owner("", state.mac or "")
        if owner:
            log.warning(
                "mac_conflict", mac=state.mac, account=state.account, device=state.device,
                owner_account=owner[0], owner_device=owner[1],
            )  # fmt: skip

    def merged(
        self, account: str, device: str, doc: Doc, mac: Mac, model: Model
    ) -> tuple[Phone, tuple[merge.Warning_, ...]]:
        """Return the phone that a device's documents make, as its model can be it, and what was left out.

        Raises:
            Cannot: the documents make no phone.
        """
        context = self._accounts.get(account)
        if context is None:
            raise Cannot("account_unknown", f"the document of account {account} was not read yet")
        db = db_of_account(account)
        of = (model.brand, f"{model.brand}/{model.family}", f"{model.brand}/{model.id}")
        result = merge.build(
            device, doc, mac, context, lambda doc_id: self._store.documents.get(db, doc_id), of
        )
        phone, cut = fit(result.phone, model)
        phone, refused = admit(phone, self.renderer.catalogue.family_of(model))
        return phone, (*result.warnings, *cut, *refused)

    def document(self, db: str, doc_id: str) -> tuple[str, Doc] | None:
        """Return kind and fields of a document as it is stored, or None."""
        return self._store.documents.get(db, doc_id)

    def basis(self) -> str:
        """Name the templates, code and settings that this renders with."""
        families = sorted((family.id, family.digest) for family in self.renderer.catalogue.families.values())
        parts = (families, self._code, hashlib.sha256(fingerprint(self._phones)).hexdigest())
        return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()[:32]

    def ahead(self, subject: str, version: int) -> Rendered:
        """Render a phone from what is stored now, as `_render_phone` would if it owns its MAC address.

        `version` is that of the documents: what was read for another one is read again.

        Raises:
            Exception: whatever the writer will meet too.
        """
        account, _, device = subject.removeprefix("phone/").partition("/")
        if (account, version) != self._ahead_of:
            self._ahead_of, self._accounts = (account, version), Accounts(self._store, self._phones)
        _, doc = self._store.documents.get(db_of_account(account), device) or ("", {})
        mac = wire.mac_of("device", doc)
        if mac is None:
            raise LookupError(subject)
        model = self.model(doc)
        merged, warnings = self.merged(account, device, doc, mac, model)
        inputs = self._hash(self.renderer.catalogue.family_of(model), merged, model, [account, ""])
        return Rendered(inputs, warnings, _made(self.renderer.phone_files(merged, model)))

    def _books_moved(self, account: str, families: set[str | None], moved: bool, now: int) -> None:  # noqa: FBT001
        """Mark an account's phonebooks of families that came or went there."""
        owners = {owner for family in families if family for owner in (family, family.partition("/")[0])}
        books = [f"book/{account}/{owner}" for owner in owners]
        if moved and not self._marked.issuperset(books):
            self._marked.update(books)
            cause = self._store.queue.cause("family", account, ",".join(sorted(books)), now)
            self._store.queue.mark(books, cause, SINGLE, now)

    def _book(self, due: Due, rest: str, now: int) -> str:
        account, _, family_id = rest.partition("/")
        family = self.renderer.catalogue.owner(family_id)
        context = self._accounts.get(account)
        has_book = family is not None and any(file.scope == "account" for file in family.spec.files)
        wanted = has_book and family_id in self._store.releases.book_owners(account)
        if family is None or context is None or not wanted:
            return self._gone(due, now)
        book = self._books.get(account)
        if book is None:
            docs = self._store.documents.of_kinds(db_of_account(account), phonebook.KINDS)
            book = self._books[account] = phonebook.build(account, context.doc, docs)
        self._store.releases.set_state(PhoneState(due.subject, account, "", family=family_id, at=now))
        inputs = self._hash(family, book, None, [account])
        if self._store.releases.is_current(due.subject, inputs, [account]):
            return "same"
        files = _made(self.renderer.account_files(family, book))
        crash_point("reconcile.rendered")
        return self._publish(due, files, [account], "", inputs, now)

    def _common(self, due: Due, rest: str, now: int) -> str:
        family = self.renderer.catalogue.owner(rest)
        files = _made(self.renderer.common_files(family)) if family else []
        if family is None or not files:
            return self._gone(due, now)
        self._store.releases.set_state(PhoneState(due.subject, "", "", at=now))
        return self._publish(due, files, [""], "", self._hash(family, None, None, [""]), now)

    def _publish(
        self, due: Due, files: list[Made], scopes: list[str], model: str, inputs: str, now: int
    ) -> str:
        causes = self._store.queue.causes(due.subject)
        changed = self._store.releases.publish(due.subject, files, scopes, model, inputs, causes, now)
        return "changed" if changed else "same"

    def _gone(self, due: Due, now: int) -> str:
        self._store.releases.drop_state(due.subject)
        causes = self._store.queue.causes(due.subject)
        return "withdrawn" if self._store.releases.withdraw(due.subject, causes, now) else "same"

    def _withdraw(self, due: Due, state: PhoneState, now: int) -> str:
        self._books_moved(state.account, {state.family}, state.family is not None, now)
        causes = self._store.queue.causes(due.subject)
        return "withdrawn" if self._store.releases.withdraw(due.subject, causes, now) else "same"

    def _hash(
        self, family: Family | Brand, what: msgspec.Struct | None, model: Model | None, scopes: list[str]
    ) -> str:
        parts = (family.digest, self._code, what, model, sorted(scopes))
        return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()[:32]


def _made(files: list[File]) -> list[Made]:
    return [Made(f.name, f.type, f.sensitive, f.data, f.hash) for f in files]


class WithdrawError(Exception):
    """The documents say that this device has no files: a decision of theirs, not a failure."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(code)
        self.code, self.detail = code, detail


def _level(problem: str) -> tuple[int, str]:
    """Return level and event of a problem: a softphone without a model is everyday, the rest is worth a look."""
    return (20, "phone_problem") if problem == "no_model" else (30, "phone_problem")
