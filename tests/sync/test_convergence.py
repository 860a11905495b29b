"""Whatever happens on the way, the end is what a fresh start from the final documents gives, byte for byte."""

import random
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from kazoo_provisioner import crashpoints
from kazoo_provisioner.layers import PhoneLayer, PhonesSettings
from kazoo_provisioner.model.ids import db_of_account
from kazoo_provisioner.render.engine import Renderer
from tests.support import kazoo, tiny
from tests.support.world import Harness, Key, fresh

ACCOUNTS = [kazoo.account_id(n) for n in range(3)]
USERS = [f"user{n:028d}" for n in range(2)]
DEVICES = [f"devi{n:028d}" for n in range(4)]
MACS = [kazoo.mac(n) for n in range(1, 4)]
ZONES = [None, "inherit", "", "Europe/Berlin", "Asia/Kolkata", "no/where"]
MODELS = ["onea", "ONEX", "oneb", "twoa", ["nope", "twob"], "nope", 7, None]

PHONES = PhonesSettings(
    zones={"east": PhoneLayer(ntp=("east.example.com",))},
    resellers={ACCOUNTS[0]: PhoneLayer(poll_interval=7200)},
    accounts={ACCOUNTS[2]: PhoneLayer(time_format="24")},
)


class CrashError(BaseException):
    """A power cut."""


class Convergence(RuleBasedStateMachine):
    """Documents change, hints arrive in any order and number, the writer works and crashes."""

    renderer: Renderer
    served = 0
    """Phones' files at the ends, over all examples: what is compared must not be nothing."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory(prefix="convergence-")
        self.harness = Harness(Path(self._folder.name) / "store", self.renderer, PHONES)
        self.documents: dict[Key, kazoo.Doc] = {}
        self.pending: set[Key] = set()
        self.revision = 0

    # A busy cluster to begin with, and whole mornings at once: single rules alone leave it nearly empty.

    @initialize(seed=st.integers(0, 2**32))
    def cluster(self, seed: int) -> None:
        chance = random.Random(seed)
        for account in ACCOUNTS:
            self._anybody(chance, "account", account)
        for _ in range(6):
            self._anybody(chance, "user")
        for _ in range(10):
            self._anybody(chance, "device")
        self._send(sorted(self.pending))
        self.harness.settle()

    @rule(seed=st.integers(0, 2**32), size=st.integers(1, 12))
    def morning(self, seed: int, size: int) -> None:
        chance = random.Random(seed)
        for _ in range(size):
            self._anybody(
                chance,
                chance.choice(
                    ["account", "user", "user", "device", "device", "device", "flow", "ring", "delete"]
                ),
            )

    def _anybody(self, chance: random.Random, what: str, account: str | None = None) -> None:
        """Somebody saves something that Kazoo would save; mostly good, sometimes odd."""
        pick = chance.choice
        here = account or pick(ACCOUNTS)
        if what == "account":
            parents = pick([[], ACCOUNTS[:1], ACCOUNTS[:2], ACCOUNTS[1:2]])
            where = pick(["both", "both", "both", "own", "copy"])
            self.account(
                here,
                pick(ZONES),
                parents,
                pick([None, "east"]),
                chance.random() < 0.8,
                pick(["a.example.com", "b.example.com"]),
                where,
                pick(["Acme", "Bolt"]),
                pick([None, "de-de", "fr-fr"]),
            )
        elif what == "user":
            self.user(
                here,
                pick(USERS),
                pick(["Ada", "Bo"]),
                pick([None, "1001", "1002"]),
                pick([True, True, False]),
                pick(ZONES),
                pick([None, None, {"hotline": "99"}]),
            )
        elif what == "flow":
            self.parking(here, pick(["3", "4"]), pick(["flow1", "flow2"]))
        elif what == "ring":
            self.callflow(here, pick(["1001", "+491234"]), pick([*USERS, *DEVICES]), pick(["flow1", "flow3"]))
        elif what == "delete" and self.documents:
            self._remove(pick(sorted(self.documents)), soft=chance.random() < 0.3)
        else:
            model = pick(["onea", "onea", "oneb", "twoa", "twob", *MODELS])
            self.device(
                here, pick(DEVICES), pick([*MACS, *MACS, None]), model, pick([None, *USERS]), pick([1, 2, 3, "x"]), pick(["password"] * 4 + ["ip"]),
                pick([None, *USERS, DEVICES[0]]), pick([None, *DEVICES]), pick(["secret-one", "secret-two"]), pick(["device"] * 8 + ["other", "user"]),
            )  # fmt: skip

    # What people do in Kazoo.

    def _put(self, db: str, doc: kazoo.Doc) -> None:
        self.revision += 1
        key = (db, doc["_id"])
        self.documents[key] = doc | {"_rev": f"{self.revision}-x"}
        self.pending.add(key)

    @rule(
        account=st.sampled_from(ACCOUNTS), zone=st.sampled_from(ZONES), parents=st.sampled_from([(), ACCOUNTS[:1], ACCOUNTS[:2], ACCOUNTS[1:2]]),
        home=st.sampled_from([None, "east"]), enabled=st.booleans(), realm=st.sampled_from(["a.example.com", "b.example.com"]),
        where=st.sampled_from(["both", "own", "copy"]), name=st.sampled_from(["Acme", "Bolt"]), language=st.sampled_from([None, "de-de"]),
    )  # fmt: skip
    def account(
        self,
        account: str,
        zone: str | None,
        parents: list[str],
        home: str | None,
        enabled: bool,
        realm: str,
        where: str,
        name: str,
        language: str | None,
    ) -> None:
        doc = kazoo.account(
            account,
            tree=tuple(p for p in parents if p != account),
            timezone=zone,
            pvt_enabled=enabled,
            realm=realm,
            zones={"home": home},
            name=name,
            language=language,
        )
        doc["provision"] = {
            "overrides": {"combo_keys": {"4": {"type": "presence", "value": USERS[0]}}}
            if name == "Bolt"
            else None
        }
        if where != "copy":
            self._put(db_of_account(account), doc)
        if where != "own":
            self._put(kazoo.ACCOUNTS, doc)

    @rule(account=st.sampled_from(ACCOUNTS), user=st.sampled_from(USERS), first=st.sampled_from(["Ada", "Bo"]), presence=st.sampled_from([None, "1001", "1002"]), enabled=st.sampled_from([True, False, "false"]), zone=st.sampled_from(ZONES), overrides=st.sampled_from([None, {"hotline": "99"}, {"combo_keys": {"3": {"type": "presence", "value": USERS[1]}}}]))  # fmt: skip
    def user(
        self,
        account: str,
        user: str,
        first: str,
        presence: str | None,
        enabled: object,
        zone: str | None,
        overrides: object,
    ) -> None:
        self._put(
            db_of_account(account),
            kazoo.user(
                user,
                first,
                presence_id=presence,
                enabled=enabled,
                timezone=zone,
                provision={"overrides": overrides},
            ),
        )

    @rule(
        account=st.sampled_from(ACCOUNTS), device=st.sampled_from(DEVICES), mac=st.sampled_from([*MACS, MACS[0].upper(), None]),
        model=st.sampled_from(MODELS), owner=st.sampled_from([None, *USERS, "dangling"]), created=st.sampled_from([1, 2, 3, "x", None]),
        method=st.sampled_from(["password", "password", "ip"]), key=st.sampled_from([None, *USERS, DEVICES[0]]), second=st.sampled_from([None, *DEVICES]),
        password=st.sampled_from(["secret-one", "secret-two"]), kind=st.sampled_from(["device", "device", "device", "other", "user"]),
    )  # fmt: skip
    def device(
        self,
        account: str,
        device: str,
        mac: str | None,
        model: object,
        owner: str | None,
        created: object,
        method: str,
        key: str | None,
        second: str | None,
        password: str,
        kind: str,
    ) -> None:
        provision = {
            "combo_keys": {"1": {"type": "presence", "value": key}, "2": {"type": "parking", "value": 1}},
            "lines": {"2": {"device_id": second}},
        }
        doc = kazoo.device(
            device,
            mac,
            model=model,
            brand="acme",
            owner_id=owner,
            pvt_created=created,
            provision=provision,
            sip={"method": method, "password": password},
        )
        if created == "x":
            del doc["name"]
        self._put(db_of_account(account), doc | {"pvt_type": kind})

    @rule(
        account=st.sampled_from(ACCOUNTS),
        number=st.sampled_from(["3", "4"]),
        which=st.sampled_from(["flow1", "flow2"]),
    )
    def parking(self, account: str, number: str, which: str) -> None:
        self._put(db_of_account(account), kazoo.parking(which, number))

    @rule(
        account=st.sampled_from(ACCOUNTS),
        number=st.sampled_from(["1001", "+491234"]),
        rings=st.sampled_from([*USERS, *DEVICES]),
        which=st.sampled_from(["flow1", "flow3"]),
    )
    def callflow(self, account: str, number: str, rings: str, which: str) -> None:
        module = "user" if rings in USERS else "device"
        self._put(db_of_account(account), kazoo.callflow(which, [number], rings, module))

    @precondition(lambda self: self.documents)
    @rule(data=st.data(), soft=st.booleans())
    def delete(self, data: st.DataObject, soft: bool) -> None:
        self._remove(data.draw(st.sampled_from(sorted(self.documents))), soft)

    def _remove(self, key: Key, soft: bool) -> None:
        if soft:
            self.revision += 1
            self.documents[key] = self.documents[key] | {"pvt_deleted": True, "_rev": f"{self.revision}-s"}
        else:
            del self.documents[key]
        self.pending.add(key)

    @rule(account=st.sampled_from(ACCOUNTS))
    def delete_account(self, account: str) -> None:
        db = db_of_account(account)
        for key in [k for k in self.documents if k[0] == db or k == (kazoo.ACCOUNTS, account)]:
            del self.documents[key]
            self.pending.add(key)

    @precondition(lambda self: self.documents)
    @rule(data=st.data())
    def hotdesk(self, data: st.DataObject) -> None:
        """What does not concern us makes a new revision all the same."""
        key = data.draw(st.sampled_from(sorted(self.documents)))
        self.revision += 1
        self.documents[key] = self.documents[key] | {
            "hotdesk": {"users": {str(self.revision): {}}},
            "_rev": f"{self.revision}-h",
        }
        self.pending.add(key)

    # What reaches the writer, and what it does.

    def _send(self, keys: list[Key]) -> None:
        self.harness.deliver((key, self.documents.get(key)) for key in keys)
        self.pending -= set(keys)

    @precondition(lambda self: self.pending)
    @rule(data=st.data())
    def deliver(self, data: st.DataObject) -> None:
        """Some of what is pending, in any order, some of it twice."""
        self._send(data.draw(st.lists(st.sampled_from(sorted(self.pending)), max_size=8)))

    @rule()
    def replay(self) -> None:
        """Everything that is there, again, from the end."""
        self._send(sorted(self.documents, reverse=True))

    @rule(milliseconds=st.sampled_from([1, 100, 300, 5_000]))
    def work(self, milliseconds: int) -> None:
        self.harness.now += milliseconds
        self.harness.reconciler.run_due(self.harness.now)

    @rule()
    def restart(self) -> None:
        self.harness.reopen()

    @rule(point=st.sampled_from(crashpoints.POINTS), count=st.integers(1, 4), data=st.data())
    def crash(self, point: str, count: int, data: st.DataObject) -> None:
        """A power cut at a named point; the source sends again what was not confirmed."""
        self._crash(point, count, data.draw(st.permutations(sorted(self.pending))) if self.pending else [])

    def _crash(self, point: str, count: int, keys: list[Key]) -> None:
        left = count

        def hook(name: str) -> None:
            nonlocal left
            if name == point:
                left -= 1
                if left == 0:
                    raise CrashError

        crashpoints.hook = hook
        try:
            self.harness.deliver((key, self.documents.get(key)) for key in keys)
            self.harness.now += 3_000
            self.harness.reconciler.run_due(self.harness.now)
        except CrashError:
            self.harness.reopen()
        else:
            self.pending -= set(keys)
        finally:
            crashpoints.hook = None

    # What must hold.

    @invariant()
    def nobody_gets_anothers_file(self) -> None:
        for (_, name), data in self.harness.served().items():
            mac = name[:12]
            if mac in MACS and not name.endswith("-more.cfg"):
                assert f"phone = {mac} ".encode() in data
                assert data.endswith(b"end = 1\n")

    def teardown(self) -> None:
        try:
            self._send(sorted(self.pending))
            self.harness.settle()
            type(self).served += sum(name[:12] in MACS for _, name in self.harness.served())
            claims = self.harness.store.claims.all()
            other = fresh(Path(self._folder.name) / "fresh", self.renderer, PHONES, claims, self.documents)
            try:
                assert self.harness.served() == other.served()
                assert claims == other.store.claims.all()
                assert self.harness.states() == other.states()
            finally:
                other.close()
        finally:
            self.harness.close()
            self._folder.cleanup()


def test_convergence(soak: int, tmp_path: Path) -> None:
    Convergence.renderer = Renderer(tiny.catalogue(tmp_path))
    run_state_machine_as_test(
        Convergence, settings=settings(max_examples=max(120, soak), stateful_step_count=40, deadline=None)
    )
    assert Convergence.served > 300
