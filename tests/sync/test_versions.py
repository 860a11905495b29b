"""New templates: whose files they can change."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from kazoo_provisioner.catalogue.load import load
from kazoo_provisioner.model.ids import db_of_account
from kazoo_provisioner.render.engine import Renderer
from tests.support import kazoo, tiny
from tests.support.kazoo import account_id, mac
from tests.support.world import Harness

A = account_id(1)
FILE = (A, f"{mac(1)}.cfg")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Harness]:
    made = Harness(tmp_path / "store", Renderer(load(tiny.write(tmp_path / "templates"))))
    made.deliver([((db_of_account(A), A), kazoo.account(A))])
    made.settle()
    yield made
    made.close()


def phone(world: Harness, model: object) -> None:
    world.deliver([((db_of_account(A), "dev1"), kazoo.device("dev1", mac(1), brand="acme", model=model))])
    world.settle()


def learn(world: Harness, name: str) -> None:
    """Family `two` gets one more model."""
    family = world.folder.parent / "templates" / "acme" / "two" / "family.yaml"
    family.write_text(family.read_text().replace("models:\n", f"models:\n  {name}: {{lines: 1, keys: 1}}\n"))
    world.renderer = Renderer(load(world.folder.parent / "templates"))
    world.reopen()
    world.settle()


def test_a_model_that_nobody_knew_is_served_once_it_is_known(world: Harness) -> None:
    phone(world, "twoz")
    assert FILE not in world.served()
    learn(world, "twoz")
    assert world.served()[FILE].startswith(b"family = two\nmodel = twoz")


def test_a_list_of_models_can_mean_another_familys(world: Harness) -> None:
    phone(world, ["twoz", "onea"])
    assert world.served()[FILE].startswith(b"family = one\nmodel = onea")
    learn(world, "twoz")
    assert world.served()[FILE].startswith(b"family = two\nmodel = twoz")
