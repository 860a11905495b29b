"""Free settings in finished files: added, refused, replaced; never in another place."""

import pytest

from kazoo_provisioner.catalogue.fit import admit
from kazoo_provisioner.model.phone import Parameter
from kazoo_provisioner.render import samples
from tests.render.helpers import NASTY, renderer

PHONE = samples.phone((samples.line(1),))


def made(tmp_path, template, *given, **changes):
    changes = {"parameter": "{name} = {value}"} | changes
    engine, model = renderer(tmp_path, template, **changes)
    phone = samples.replace(PHONE, parameters=given)
    phone, warnings = admit(phone, engine.catalogue.family_of(model))
    files, became = engine.with_parameters(phone, model)
    return files[0].data.decode(), became, [warning.code for warning in warnings]


def one(name, value="new", **changes):
    return Parameter(name, value, "device document", **changes)


KV = "a.b = ours\n{{ parameters }}\nz = 1\n"
XML = '<r a.b="ours">\n  <P1>ours</P1>\n{{ parameters }}\n</r>\n'


def test_nothing_is_left_where_there_are_none(tmp_path):
    assert made(tmp_path, KV) == ("a.b = ours\nz = 1\n", {}, [])


def test_what_the_templates_do_not_know_is_added(tmp_path):
    text, became, _ = made(tmp_path, KV, one("c.d"), one("e", "1 = 2 # x"))
    assert text == "a.b = ours\nc.d = new\ne = 1 = 2 # x\nz = 1\n"
    assert became == {"c.d": "added", "e": "added"}


@pytest.mark.parametrize("name", ["a.b", "A.B"])
def test_ours_counts_unless_it_is_overridden(tmp_path, name):
    text, became, _ = made(tmp_path, KV, one(name))
    assert text == "a.b = ours\nz = 1\n"
    assert "our templates write it" in became[name]
    text, became, _ = made(tmp_path, KV, one(name, trusted=True, override=True))
    assert text == f"{name} = new\nz = 1\n"
    assert became == {name: "replaces ours"}


def test_a_name_within_another_is_another(tmp_path):
    text, became, _ = made(
        tmp_path, "a.b.c = ours\nxa.b = ours\n{{ parameters }}\n", one("a.b", override=True)
    )
    assert text == "a.b.c = ours\nxa.b = ours\na.b = new\n"
    assert became == {"a.b": "added"}


def test_in_markup_values_are_written_for_it(tmp_path):
    changes = {"syntax": "xml", "parameter": "<{name}>{value}</{name}>", "parameter_name": "P[0-9]{1,6}"}
    text, became, warned = made(
        tmp_path, XML, one("P1", NASTY, override=True), one("P2", NASTY), one("a><b", "x"), **changes
    )
    assert warned == ["parameter"]
    assert became == {"P1": "replaces ours", "P2": "added"}
    assert text.count("&lt;b&gt;") == 2
    assert "<P1>a&lt;" in text
    changes |= {"parameter": '{name}="{value}"', "parameter_name": r"[a-z.]{1,20}"}
    text, _, _ = made(
        tmp_path,
        XML.replace("{{", "<x\n{{").replace("}}", "}}\n/>"),
        one("a.b", override=True),
        one("c.d", '"'),
        **changes,
    )
    assert '<r a.b="new">' in text
    assert '<x\nc.d="&#34;"\n/>' in text


def test_a_value_the_syntax_lacks_is_left_out_and_said(tmp_path):
    text, became, _ = made(
        tmp_path,
        'A="1"\n{{ parameters }}\n',
        one("B", 'x"y'),
        one("C"),
        syntax="quoted",
        parameter='{name}="{value}"',
    )
    assert text == 'A="1"\nC="new"\n'
    assert became["B"].startswith("not used: its value holds a double quote")


@pytest.mark.parametrize("name", ["a b ", " a b", "a  b", "a b\u00a0"])
def test_a_name_is_one_name(tmp_path, name):
    """A phone would read these as the name that is guarded or ours."""
    changes = {"parameter_name": "[a-z][a-z ]*", "guarded": ["a b"]}
    text, became, warned = made(tmp_path, "{{ parameters }}\nz = 1\n", one(name), **changes)
    assert (text, became, warned) == ("z = 1\n", {}, ["parameter"])


@pytest.mark.parametrize(
    "name", ["sip_server", "edk.1.action", "remote_phonebook.1.url", "x.password", "Telnet_On"]
)
def test_some_words_are_guarded_everywhere(tmp_path, name):
    assert made(tmp_path, "{{ parameters }}\nz = 1\n", one(name))[2] == ["parameter_guarded"]
    assert made(tmp_path, "{{ parameters }}\nz = 1\n", one(name, trusted=True))[2] == []


def test_a_family_without_a_form_takes_none(tmp_path):
    text, became, _ = made(tmp_path, "a = 1\n", one("b"), parameter=None)
    assert text == "a = 1\n"
    assert became == {"b": "not used: this family takes no free settings"}


GUARDS = {"guarded": ["a\\..*", "(static\\.)?prov.*url"]}


@pytest.mark.parametrize("name", ["a.b", "A.x", "prov.url", "static.prov.server.URL"])
def test_a_tenant_sets_nothing_that_is_guarded(tmp_path, name):
    text, became, warned = made(tmp_path, "{{ parameters }}\nz = 1\n", one(name), **GUARDS)
    assert (text, became, warned) == ("z = 1\n", {}, ["parameter_guarded"])
    text, _, warned = made(tmp_path, "{{ parameters }}\nz = 1\n", one(name, trusted=True), **GUARDS)
    assert (text, warned) == (f"{name} = new\nz = 1\n", [])
