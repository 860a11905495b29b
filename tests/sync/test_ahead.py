"""Rendering ahead: only what is right is taken, and nothing that goes wrong with it is more than lost time."""

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from kazoo_provisioner.layers import PhonesSettings
from kazoo_provisioner.model.ids import db_of_account
from kazoo_provisioner.render.engine import Renderer
from kazoo_provisioner.store.writer import Store
from kazoo_provisioner.sync import ahead
from kazoo_provisioner.sync.ahead import Ahead
from kazoo_provisioner.sync.reconcile import Reconciler
from tests.support import kazoo, tiny
from tests.support.kazoo import account_id, mac
from tests.support.world import Harness

HERE = account_id(1)
DB = db_of_account(HERE)
COUNT = 30

HELPER = """
import sys
from pathlib import Path
from kazoo_provisioner.catalogue.load import load
from kazoo_provisioner.render.engine import Renderer
from kazoo_provisioner.layers import PhonesSettings
from kazoo_provisioner.store.writer import Store
from kazoo_provisioner.sync.ahead import render_ahead
from kazoo_provisioner.sync.reconcile import Reconciler
renderer = Renderer(load(Path(sys.argv[2])))
store = Store(Path(sys.argv[1]), read_only=True)
render_ahead(Reconciler(store, renderer, PhonesSettings()), sys.stdin.buffer, sys.stdout.buffer)
"""


def subject(number: int) -> str:
    return f"phone/{HERE}/devi{number:028d}"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Harness]:
    made = Harness(tmp_path / "store", Renderer(tiny.catalogue(tmp_path / "templates")))
    documents = {(DB, HERE): kazoo.account(HERE)}
    for number in range(COUNT):
        device = kazoo.device(f"devi{number:028d}", mac(number + 1), brand="acme", model="onea")
        documents[DB, device["_id"]] = device
    made.deliver(documents.items())
    yield made
    made.close()


@pytest.fixture
def helper(world: Harness, tmp_path: Path) -> Iterator[Ahead]:
    made = Ahead([sys.executable, "-c", HELPER, str(tmp_path / "store"), str(tmp_path / "templates")], 2)
    made.basis = world.reconciler.basis()
    yield made
    made.close()


def taken(helper: Ahead, number: int, version: int = 0) -> ahead.Rendered:
    deadline = time.monotonic() + 60
    while (found := helper.take(subject(number), version)) is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return found


def test_what_is_taken_is_what_the_writer_makes(world: Harness, helper: Ahead, tmp_path: Path) -> None:
    helper.ask([subject(n) for n in range(COUNT)], 0)
    for number in range(COUNT):
        taken(helper, number)
        helper.ask([subject(number)], 0)  # taken is gone: again for the writer
        helper.drop(subject(number))
    plain = Harness(tmp_path / "plain", world.renderer)
    plain.deliver([((db, i), d) for (db, i), d in _documents(world)])
    plain.settle()

    class Counting:
        hits = 0

        def take(self, name: str, version: int) -> ahead.Rendered | None:
            helper.ask([name], version)
            self.hits += 1
            return taken(helper, int(name[-28:]), version)

        drop = staticmethod(helper.drop)

    world.reconciler.head_start = counting = Counting()
    world.settle()
    assert counting.hits >= COUNT
    assert world.served() == plain.served()
    assert world.states() == plain.states()
    plain.close()


def _documents(world: Harness) -> list[tuple[tuple[str, str], dict[str, object]]]:
    devices = [kazoo.device(f"devi{n:028d}", mac(n + 1), brand="acme", model="onea") for n in range(COUNT)]
    return [((DB, d["_id"]), d) for d in [kazoo.account(HERE), *devices]]


def test_nothing_is_taken_after_a_document_moved(helper: Ahead) -> None:
    helper.ask([subject(1), subject(2)], 7)
    taken(helper, 1, 7)
    assert helper.take(subject(2), 8) is None


def test_nothing_is_taken_that_other_templates_made(helper: Ahead) -> None:
    helper.basis = "other"
    helper.ask([subject(1)], 0)
    time.sleep(0.5)
    assert helper.take(subject(1), 0) is None


def test_what_an_account_was_is_not_remembered(world: Harness, helper: Ahead) -> None:
    """The same account's next phone is asked for after its realm moved."""
    helper.ask([subject(1)], 1)
    assert b"later.example.com" not in taken(helper, 1, 1).files[0].data
    world.deliver([((DB, HERE), kazoo.account(HERE, realm="later.example.com") | {"_rev": "2-x"})])
    helper.ask([subject(2)], 2)
    assert b"later.example.com" in taken(helper, 2, 2).files[0].data


def test_an_answer_to_an_earlier_question_is_none_to_a_later_one(helper: Ahead) -> None:
    helper.ask([subject(1)], 1)
    helper.drop(subject(1))
    helper._asked[subject(1)] = 2  # asked again, and that answer never comes
    time.sleep(0.5)
    assert helper.take(subject(1), 2) is None


def test_what_was_dealt_with_is_forgotten(helper: Ahead) -> None:
    helper.ask([subject(n) for n in range(COUNT)], 0)
    taken(helper, 3)
    for number in range(COUNT):
        helper.drop(subject(number))
    assert not helper._asked
    assert not helper._ready


@pytest.mark.parametrize(
    "program", ["raise SystemExit", "import time; time.sleep(60)", "print('x' * 100_000)", "not python"]
)
def test_helpers_that_die_hang_or_babble_cost_nothing_but_time(world: Harness, program: str) -> None:
    broken = Ahead([sys.executable, "-c", program], 2)
    try:
        broken.basis = world.reconciler.basis()
        world.reconciler.head_start = broken
        for _ in range(3):
            broken.ask([subject(n) for n in range(COUNT)], 0)
            time.sleep(0.1)
        world.settle()
        assert world.store.releases.count() == COUNT
    finally:
        broken.close()


@pytest.mark.parametrize("program", [HELPER, "import time; time.sleep(600)"])
def test_documents_that_move_all_the_time_block_nobody(world: Harness, tmp_path: Path, program: str) -> None:
    """Nothing of what is made can be taken then; neither pipe may fill up and stop the writer."""
    arguments = [str(tmp_path / "store"), str(tmp_path / "templates")]
    helper = Ahead([sys.executable, "-c", program, *arguments], 1)
    helper.basis = world.reconciler.basis()
    for version in range(3000):
        names = [f"{subject(number % COUNT)}" for number in range(version, version + 20)]
        helper.ask(names, version)
        for name in names:
            helper.take(name, version + 1)
            helper.drop(name)
    helper.close()


def test_at_most_a_window_is_under_way(helper: Ahead) -> None:
    helper.ask([subject(n) for n in range(10 * ahead.WINDOW)], 0)
    assert len(helper._asked) == ahead.WINDOW


def test_a_helper_says_nothing_of_what_makes_no_phone(world: Harness) -> None:
    reader = Store(world.folder, read_only=True)
    reconciler = Reconciler(reader, world.renderer, PhonesSettings())
    with pytest.raises(LookupError):
        reconciler.ahead("phone/nobody/nothing", 0)
    reader.close()
