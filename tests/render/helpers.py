"""From the text of one template to a file, or to what is wrong with it."""

import pytest

from kazoo_provisioner.catalogue.models import Model
from kazoo_provisioner.model.phone import Phone
from kazoo_provisioner.render import samples
from kazoo_provisioner.render.engine import Renderer
from kazoo_provisioner.render.errors import RenderError
from tests.catalogue.folders import catalogue

PHONE = samples.phone((samples.line(1),))
NASTY = "a<b>&\"'c;#%{{ 1 }}]]>"


def renderer(tmp_path, templates, **changes) -> tuple[Renderer, Model]:
    if isinstance(templates, str):
        templates = {"phone.j2": templates}
    found = catalogue(tmp_path, templates, **changes)
    return Renderer(found), found.resolve("acme", "x10")


def made(tmp_path, templates, phone: Phone = PHONE, **changes) -> str:
    engine, model = renderer(tmp_path, templates, **changes)
    return engine.phone_files(phone, model)[0].data.decode()


def failure(tmp_path, templates, phone: Phone = PHONE, **changes) -> str:
    with pytest.raises(RenderError) as caught:
        engine, model = renderer(tmp_path, templates, **changes)
        engine.phone_files(phone, model)
    assert caught.value.__cause__ is None
    return str(caught.value)


def broken(tmp_path, templates, **changes) -> str:
    with pytest.raises(RenderError) as caught:
        renderer(tmp_path, templates, **changes)
    return str(caught.value)
