"""The operator's folders before the shipped one: whole families, single files, additions; and the sandbox."""

import pytest

from kazoo_provisioner.catalogue import folders as folders_module
from kazoo_provisioner.catalogue.folders import BUNDLED, Folder
from kazoo_provisioner.catalogue.load import CatalogueError, load
from kazoo_provisioner.render import samples
from kazoo_provisioner.render.engine import Renderer
from kazoo_provisioner.render.errors import RenderError
from tests.catalogue.folders import family

PHONE = samples.phone((samples.line(1),))


@pytest.fixture
def shipped(tmp_path, monkeypatch):
    root = tmp_path / "shipped"
    family(root, {"phone.j2": "name = {{ phone.name }}\n{% block more %}{% endblock %}\nend = 1\n"})
    (root / "acme" / "shared.j2").write_text("shared = ours\n")
    monkeypatch.setattr(folders_module, "BUNDLED", root)
    return root


@pytest.fixture
def own(tmp_path):
    folder = tmp_path / "own" / "acme" / "x1"
    folder.mkdir(parents=True)
    return tmp_path / "own"


def found(own, shipped, *, trusted=False):
    return load([Folder(own, trusted), Folder(shipped)])


def made(catalogue, model="x10"):
    return Renderer(catalogue).phone_files(PHONE, catalogue.resolve("acme", model))[0].data.decode()


def test_one_file_stands_before_the_shipped_one(own, shipped):
    (own / "acme" / "x1" / "phone.j2").write_text("mine = {{ phone.name }}\n")
    assert made(found(own, shipped)) == "mine = Front desk\n"


def test_a_template_extends_the_one_it_stands_before(own, shipped):
    (own / "acme" / "x1" / "phone.j2").write_text(
        '{% extends "shipped/acme/x1/phone.j2" %}{% block more %}mine = 1\n{% endblock %}\n'
    )
    assert made(found(own, shipped)) == "name = Front desk\nmine = 1\nend = 1\n"
    (own / "acme" / "x1" / "phone.j2").write_text('{% include "shipped/acme/x1/phone.j2" %}\nmine = 2\n')
    assert made(found(own, shipped)).endswith("end = 1\nmine = 2\n")


def test_a_family_can_add_models_and_keep_the_rest(own, shipped):
    (own / "acme" / "x1" / "family.yaml").write_text(
        "extends: true\nmodels:\n  x99: {lines: 9, keys: 1, sources: [mine]}\n  x10: {lines: 3, keys: 1}\n"
    )
    catalogue = found(own, shipped)
    assert catalogue.resolve("acme", "x99").lines == 9
    assert catalogue.resolve("acme", "x10").lines == 3
    assert made(catalogue, "x99").startswith("name = ")


def test_extends_needs_something_below(own, shipped):
    (own / "acme" / "x2").mkdir()
    (own / "acme" / "x2" / "family.yaml").write_text("extends: true\n")
    with pytest.raises(
        CatalogueError, match=r"own/acme/x2/family.yaml: extends: there is no family below it"
    ):
        found(own, shipped)


def test_a_new_family_of_ones_own(own, shipped):
    family(own, family="x2", models={"y1": {}})
    catalogue = found(own, shipped)
    assert sorted(catalogue.families) == ["acme/x1", "acme/x2"]
    assert made(catalogue, "y1") == "name = Front desk\n"


def test_the_digest_knows_whose_file_it_is(own, shipped):
    before = found(own, shipped).families["acme/x1"].digest
    (own / "acme" / "x1" / "phone.j2").write_text((shipped / "acme" / "x1" / "phone.j2").read_text())
    changed = found(own, shipped).families["acme/x1"].digest
    assert changed != before
    assert found(own, shipped, trusted=True).families["acme/x1"].digest != changed


ESCAPES = (
    "{{ phone.__class__.__mro__ | length }}",
    "{{ ''.__class__.__base__.__subclasses__() | length }}",
    "{{ once.__call__.__globals__ | length }}",
    "{% set x = once._made %}{{ x | length }}",
    "{% for i in range(10000000) %}{% endfor %}",
)


@pytest.mark.parametrize("escape", ESCAPES)
def test_what_is_not_trusted_is_in_the_sandbox(own, shipped, escape):
    (own / "acme" / "x1" / "phone.j2").write_text(f"a = {escape}\n")
    with pytest.raises(RenderError) as caught:
        made(found(own, shipped))
    assert "acme/x1/phone.j2 line 1" in str(caught.value)


def test_a_shipped_template_that_includes_an_untrusted_one_is_in_the_sandbox_too(own, shipped):
    (shipped / "acme" / "x1" / "phone.j2").write_text(
        '{% include "acme/shared.j2" %}a = {{ phone.__class__.__name__ }}\n'
    )
    assert "a = Phone" in made(found(own, shipped))
    (own / "acme" / "shared.j2").write_text("shared = mine\n")
    with pytest.raises(RenderError):
        made(found(own, shipped))
    assert made(found(own, shipped, trusted=True)) == "shared = mine\na = Phone\n"


def test_another_family_is_out_of_reach_by_any_way(own, shipped):
    family(shipped, family="x2", models={"y1": {}})
    for name in ("shipped/acme/x2/phone.j2", "acme/x2/phone.j2", "shipped/other/a.j2"):
        (own / "acme" / "x1" / "phone.j2").write_text(f'{{% include "{name}" %}}\n')
        with pytest.raises(RenderError, match="it may include"):
            made(found(own, shipped))


def test_a_link_leads_nowhere(own, shipped, tmp_path):
    """Out of a folder that is not trusted; and through a linked folder, which no digest would see."""
    (tmp_path / "secret.yaml").write_text("password: x\n")
    (own / "acme" / "x1" / "secret.j2").symlink_to(tmp_path / "secret.yaml")
    (own / "acme" / "x1" / "phone.j2").write_text('{% include "acme/x1/secret.j2" %}')
    with pytest.raises(RenderError, match="no such template"):
        made(found(own, shipped))
    assert made(found(own, shipped, trusted=True)) == "password: x\n"
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "a.j2").write_text("a = 1\n")
    (own / "acme" / "x1" / "parts").symlink_to(tmp_path / "parts")
    (own / "acme" / "x1" / "phone.j2").write_text('{% include "acme/x1/parts/a.j2" %}')
    for trusted in (True, False):
        with pytest.raises(RenderError, match="no such template"):
            made(found(own, shipped, trusted=trusted))


def test_a_block_that_the_extended_template_lacks_is_said(own, shipped):
    (own / "acme" / "x1" / "phone.j2").write_text(
        '{% extends "shipped/acme/x1/phone.j2" %}{% block moer %}mine = 1\n{% endblock %}\n'
    )
    with pytest.raises(RenderError, match="fills a block 'moer' that shipped/acme/x1/phone"):
        made(found(own, shipped))


def test_a_brands_digest_covers_its_file(shipped):
    before = load(shipped).digests
    (shipped / "acme" / "brand.yaml").write_text("name: Other\n")
    after = load(shipped).digests
    assert all(before[name] != after[name] for name in ("acme", "acme/x1"))


def test_a_brands_templates_lie_where_its_digest_sees_them(shipped):
    (shipped / "acme" / "brand.yaml").write_text(
        "name: Acme\nfiles: [{name: a.cfg, template: x1/phone.j2, scope: brand, syntax: key-value}]\n"
    )
    with pytest.raises(
        CatalogueError, match=r"brand.yaml: line 2: files: x1/phone.j2: a brand's templates are"
    ):
        load(shipped)


REAL = load()
FREE = [family for family in REAL.families.values() if family.spec.parameter]


@pytest.mark.parametrize("family", FREE, ids=lambda f: f.id)
def test_every_shipped_family_can_be_extended(tmp_path, family):
    """The template that holds the free settings has a block `more`, which a child of an operator's own fills."""
    line = family.spec.parameter.replace("{name}", "KazooTest").replace("{value}", "v4lu3")
    found = []
    for number, file in enumerate(file for file in family.spec.files if file.scope == "phone"):
        own, name = tmp_path / str(number), f"{family.folder}/{file.template}"
        (own / name).parent.mkdir(parents=True)
        (own / name).write_text(
            f'{{% extends "shipped/{name}" %}}{{% block more %}}{{% raw %}}{line}{{% endraw %}}\n{{% endblock %}}\n'
        )
        catalogue = load([Folder(own, trusted=False), Folder(BUNDLED)])
        model = next(iter(catalogue.families[family.id].models.values()))
        try:
            files = Renderer(catalogue, [family.id]).phone_files(samples.one(model), model)
        except RenderError as error:
            if "fills a block 'more' that" not in str(error):  # a file that holds no settings
                raise
        else:
            found.append(any(b"v4lu3" in file.data for file in files))
    assert any(found), "no template of the family has the block"
