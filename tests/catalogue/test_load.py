"""family.yaml: every error names its file and key; what a document says finds its model."""

import re

import pytest
from hypothesis import given

from kazoo_provisioner.catalogue.load import CatalogueError, file_name, files_of, load
from tests.catalogue.folders import SPEC, catalogue, family
from tests.model.builders import JSON

FILE = {"name": "{mac}.cfg", "template": "phone.j2"}


def errors_of(root):
    with pytest.raises(CatalogueError) as caught:
        load(root)
    return caught.value.errors


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"colour": "red"}, "colour: there is no such setting"),
        ({"models": {"x10": {"colour": "red"}}}, "colour: there is no such setting"),
        ({"files": [FILE | {"colour": "red"}]}, "files[0].colour: there is no such setting"),
        ({"syntax": None}, "missing required field `syntax`"),
        ({"files": []}, "files: "),
        ({"models": {}}, "models: "),
        ({"codecs": []}, "codecs: "),
        ({"codecs": ["ILBC"]}, "codecs[0]: not one of the values"),
        ({"defaults": {"keys": 4}}, "models.x10: lines: give it here or in defaults"),
        ({"defaults": {"lines": 4}}, "models.x10: keys: give it here or in defaults"),
        ({"defaults": {"lines": 0, "keys": 1}}, "defaults.lines: "),
        ({"defaults": {"lines": 2, "keys": "many"}}, "defaults.keys: "),
        ({"brand": "Acme", "_in": "Acme/x1"}, "brand: "),
        ({"brand": "other", "_in": "acme/x1"}, "says other/x1 but lies in acme/x1"),
        ({"family": "fx"}, "family: fx: Kazoo cuts a leading f"),
        ({"family": "335"}, ": Kazoo cuts a leading f, and kazoo-ui makes numbers of"),
        ({"family": "3e2"}, "family: "),
        ({"family": "0x1f"}, "family: "),
        ({"models": {"X10": {}}}, "a key: "),
        ({"models": {"x10\n": {}}}, "a key: "),
        ({"models": {"x10": {"aliases": ["X 10"]}}}, "aliases[0]: "),
        ({"files": [FILE | {"scope": "world"}]}, "files[0].scope: not one of the values"),
        ({"files": [FILE | {"name": "../{mac}"}]}, "files[0].name: "),
        ({"files": [FILE | {"name": "{mac}.cfg\n"}]}, "files[0].name: "),
        ({"files": [FILE | {"name": "{mac}{x.cfg"}]}, "files: {mac}{x.cfg: a brace without its partner"),
        (
            {"files": [FILE | {"name": "{mac}{colour}.cfg"}]},
            "files: {mac}{colour}.cfg: x10 has no var 'colour'",
        ),
        ({"files": [FILE | {"template": "gone.j2"}]}, "files: gone.j2: no such template"),
        ({"files": [FILE | {"models": ["x99"]}]}, "x99: models: no such model here"),
        (
            {"cannot": {"vlan": {"why": "x", "source": "y", "models": ["x99"]}}},
            "x99: models: no such model here",
        ),
        ({"cannot": {"vlan": {"why": "x"}}}, "missing required field `source`"),
        ({"files": [FILE, FILE]}, "files: {mac}.cfg: x10 has two files of that name"),
        (
            {"files": [FILE | {"scope": "model"}]},
            "files: {mac}.cfg: a file of scope model knows no MAC address",
        ),
        (
            {"files": [FILE | {"scope": "family", "name": "{MAC}.cfg"}]},
            "a file of scope family knows no MAC address",
        ),
        (
            {"files": [FILE | {"scope": "account", "name": "{model}.xml"}]},
            "a file of scope account knows no model",
        ),
        (
            {"files": [FILE | {"scope": "account", "name": "{code}.xml"}]},
            "a file of scope account knows no model",
        ),
        ({"models": {"x10": {"vars": {"mac": "1"}}}}, "models.x10.vars: mac: means something else"),
        (
            {"models": {"x10": {"vars": {"code": "a/b"}}}, "files": [FILE | {"name": "{mac}{code}.cfg"}]},
            "files: {mac}{code}.cfg: x10 makes a name of it that no URL can hold",
        ),
        ({"user_agents": ["("]}, "user_agents: (: missing )"),
    ],
    ids=lambda v: v if isinstance(v, str) else None,
)
def test_each_error_names_its_file_and_key(tmp_path, changes, says):
    folder = family(tmp_path, **changes)
    (error,) = errors_of(tmp_path)
    assert error.startswith(f"{folder / 'family.yaml'}: ")
    assert says in error
    if "Object missing required" not in error:
        assert re.match(r"line [0-9]+: ", error.removeprefix(f"{folder / 'family.yaml'}: ")), error


def test_what_is_no_yaml_and_what_is_no_folder(tmp_path):
    (error,) = errors_of(tmp_path)
    assert error == f"{tmp_path}: holds no <brand>/<family>/family.yaml"
    folder = family(tmp_path)
    for text, says in (
        ("brand: [", "line 1"),
        ("brand: a\nbrand: b", "line 2: 'brand' is given twice"),
        ("", "Expected `object`, got `null`"),
        ("- 1", "Expected `object`, got `array`"),
    ):
        (folder / "family.yaml").write_text(text)
        (error,) = errors_of(tmp_path)
        assert error.startswith(f"{folder / 'family.yaml'}:")
        assert says in error
    (folder / "family.yaml").write_bytes(b"brand: \xff")
    assert errors_of(tmp_path) == [f"{folder / 'family.yaml'}: is not UTF-8 text"]


def test_all_errors_come_at_once(tmp_path):
    family(tmp_path, colour="red")
    family(tmp_path, family="x2", syntax=None, models={"x20": {}})
    family(tmp_path, family="x3", models={"x30": {}})
    assert len(errors_of(tmp_path)) == 2


@pytest.mark.parametrize(
    ("other", "says"),
    [
        ({"models": {"x10": {}}}, "x10 is also acme/x1/x10"),
        ({"models": {"x20": {"aliases": ["x10"]}}}, "x10 is also acme/x1/x10"),
        ({"models": {"x20": {"aliases": ["x10p"]}}}, "x10p is also acme/x1/x10"),
        ({"models": {"x10p": {}}}, "x10p is also acme/x1/x10"),
        ({"brand": "zeta", "models": {"x10": {}}}, "x10 is also acme/x1/x10; old kazoo-ui needs them unique"),
    ],
)
def test_clashes_are_found(tmp_path, other, says):
    family(tmp_path)
    family(tmp_path, **({"family": "x2"} | other))
    errors = errors_of(tmp_path)
    assert any(says in error and "x2/family.yaml" in error for error in errors)


def test_two_brands_of_one_name_are_found(tmp_path):
    family(tmp_path)
    folder = family(tmp_path, brand="zeta", models={"z1": {}})
    (folder.parent / "brand.yaml").write_text("name: Zeta\naliases: [acme]\n")
    assert any(
        "zeta/brand.yaml: line 2: aliases: acme also means acme" in error for error in errors_of(tmp_path)
    )


def test_aliases_of_two_brands_may_be_the_same(tmp_path):
    family(tmp_path)
    family(tmp_path, brand="zeta", models={"z10": {"aliases": ["x10p"]}})
    found = load(tmp_path)
    assert found.resolve("acme", "x10p").id == "x10"
    assert found.resolve("zeta", "x10p").id == "z10"


def test_a_model_takes_from_the_defaults_what_it_leaves_out(tmp_path):
    found = catalogue(
        tmp_path,
        defaults={
            "lines": 2,
            "keys": 4,
            "modules": 2,
            "module_keys": 10,
            "vars": {"a": 1, "b": 2},
            "sources": ["guide"],
        },
        models={
            "x10": {},
            "x20": {"name": "Twenty", "lines": 6, "codecs": ["PCMA"], "vars": {"b": 3}, "sure": True},
        },
    )
    ten, twenty = found.resolve("acme", "x10"), found.resolve("acme", "x20")
    assert (ten.name, ten.lines, ten.keys, ten.all_keys, ten.feature_keys) == ("X10", 2, 4, 24, 0)
    assert (ten.codecs, ten.vars, ten.sources, ten.sure) == (
        ("G722", "PCMU"),
        {"a": 1, "b": 2},
        (),
        False,
    )
    assert (twenty.name, twenty.lines, twenty.codecs, twenty.vars, twenty.sure) == (
        "Twenty",
        6,
        ("PCMA",),
        {"a": 1, "b": 3},
        True,
    )
    assert found.family_of(twenty).id == "acme/x1"


def test_aliases_both_ways(tmp_path):
    (tmp_path / "acme").mkdir()
    (tmp_path / "acme" / "brand.yaml").write_text("name: Acme\naliases: [acme-phones]\n")
    found = catalogue(
        tmp_path,
        models={"t46": {"aliases": ["t46g"]}, "t38g": {"aliases": ["t38"]}},
    )
    for name, model in (
        ("t46", "t46"),
        ("t46g", "t46"),
        ("T46G", "t46"),
        ("t38", "t38g"),
        ("t38g", "t38g"),
        (" T38 ", "t38g"),
    ):
        assert found.resolve("acme", name).id == model
        assert found.resolve("Acme-Phones", name).id == model


def test_the_bundled_yealink_models_by_both_names():
    found = load()
    for name in ("t46", "t38", "t22", "t28", "t42", "t48"):
        short = found.resolve("yealink", name)
        assert short is not None
        long = found.resolve("yealink", name + ("g" if name in ("t46", "t38", "t42", "t48") else "p"))
        assert long is short


def test_a_model_is_a_string_a_number_or_a_list_of_which_the_first_known_wins(tmp_path):
    found = catalogue(tmp_path, models={"335": {}, "x10": {}})
    for model, expected in (
        ("335", "335"), (335, "335"), (["x99", "x10", "335"], "x10"), ([335], "335"), (["X10"], "x10"),
        ([], None), (["x99"], None), ([["x10"]], None), (True, None), (335.0, None), ({"x10": 1}, None), (None, None), ("", None),
    ):  # fmt: skip
        got = found.resolve("acme", model)
        assert (got.id if got else None) == expected, model


def test_no_brand_or_an_unknown_one_is_no_model(tmp_path):
    found = catalogue(tmp_path)
    for brand in (None, "", "other", 5, True, ["acme"], {"acme": 1}, "acme\x00", "x" * 10_000):
        assert found.resolve(brand, "x10") is None


@given(JSON, JSON)
def test_hostile_values_find_nothing_and_break_nothing(brand, model):
    found = HOSTILE
    assert found.resolve(brand, model) is None or isinstance(brand, str)
    found.resolve("yealink", model)
    found.resolve(brand, "t46g")


HOSTILE = load()


def test_file_names(tmp_path):
    found = catalogue(
        tmp_path,
        {"c.j2": "a = 1\n"},
        models={"x10": {"vars": {"code": "028"}}, "x20": {"vars": {"code": 29}}},
        files=[
            FILE,
            {"name": "{MAC}.xml", "template": "phone.j2", "models": ["x20"]},
            {"name": "y{code}-{model}.cfg", "template": "c.j2", "scope": "model"},
            {"name": "book.xml", "template": "c.j2", "scope": "account"},
        ],
    )
    (one,) = found.families.values()
    ten, twenty = one.models["x10"], one.models["x20"]
    assert [file_name(f, ten, "00aa") for f in files_of(one, ten)] == ["00aa.cfg", "y028-x10.cfg", "book.xml"]
    assert [file_name(f, twenty, "00aa") for f in files_of(one, twenty)] == [
        "00aa.cfg",
        "00AA.xml",
        "y29-x20.cfg",
        "book.xml",
    ]
    with pytest.raises(KeyError):
        file_name(files_of(one, ten)[1], None)


def test_a_familys_digest_covers_its_files_and_its_brands(tmp_path):
    folder = family(tmp_path)

    def digest():
        return load(tmp_path).families["acme/x1"].digest

    seen = {digest()}
    assert {digest()} == seen
    for path, content in (
        (folder / "phone.j2", "other"),
        (folder / "deep.j2", "x"),
        (folder.parent / "shared.j2", "x"),
        (folder.parent / "shared.j2", "y"),
    ):
        path.write_text(content)
        assert digest() not in seen
        seen.add(digest())
    family(tmp_path, brand="other", models={"o1": {}})
    assert digest() in seen, "another brand is no business of this one"
    assert SPEC["family"] == "x1"
