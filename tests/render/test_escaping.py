"""Escaping belongs to the syntax, whatever a template's author does."""

from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kazoo_provisioner.catalogue.models import Model
from kazoo_provisioner.model import text
from kazoo_provisioner.render import samples
from kazoo_provisioner.render.engine import Renderer
from tests.model.builders import JSON
from tests.render.helpers import NASTY, broken, failure, made, renderer


def xml(tmp_path, template, phone=None, **templates) -> str:
    phone = phone or samples.phone((samples.line(1),), name=NASTY)
    return made(tmp_path, {"phone.j2": template, **templates}, phone, syntax="xml")


@pytest.mark.parametrize(
    "template",
    [
        "<a>{{ phone.name }}</a>",
        "<a>{% autoescape false %}{{ phone.name }}{% endautoescape %}</a>",
        "{% macro m(x) %}{{ x }}{% endmacro %}<a>{{ m(phone.name) }}</a>",
        "{% macro m(x) %}{{ x }}{% endmacro %}{% macro n(x) %}{{ m(x) }}{% endmacro %}<a>{{ n(phone.name) }}</a>",
        "{% set x %}{{ phone.name }}{% endset %}<a>{{ x }}</a>",
        "{% set x = phone.name %}<a>{{ x }}</a>",
        "{% macro m() %}{{ caller() }}{% endmacro %}<a>{% call m() %}{{ phone.name }}{% endcall %}</a>",
        "<a>{% block b %}{{ phone.name }}{% endblock %}</a>",
        "<a>{{ '' ~ phone.name }}</a>",
        "<a>{{ [phone.name] | join(',') }}</a>",
        "<a>{{ '%s' | format(phone.name) }}</a>",
        "<a>{{ phone.name | string | trim }}</a>",
        "<a>{% filter trim %}{{ phone.name }}{% endfilter %}</a>",
        "<a>{% for x in [phone.name] %}{{ x }}{% endfor %}</a>",
        '<a>{% include "acme/x1/part.j2" %}</a>',
        '{% from "acme/x1/part.j2" import q with context %}<a>{{ q() }}</a>',
    ],
)
def test_xml_is_written_once_and_read_back_as_it_was(tmp_path, template):
    part = "{% macro q() %}{{ phone.name }}{% endmacro %}{{ phone.name }}"
    assert ET.fromstring(xml(tmp_path, template, **{"part.j2": part})).text == NASTY


def test_xml_attributes_are_escaped_too(tmp_path):
    found = ET.fromstring(xml(tmp_path, """<a b="{{ phone.name }}" c='{{ phone.name }}'/>"""))
    assert found.attrib == {"b": NASTY, "c": NASTY}


def test_a_templates_own_markup_stays(tmp_path):
    assert (
        xml(tmp_path, "{% macro m(x) %}<b>{{ x }}</b>{% endmacro %}<a>{{ m('<') }}</a>")
        == "<a><b>&lt;</b></a>"
    )
    assert xml(tmp_path, "<a>{{ '<b/>' }}</a>") == "<a>&lt;b/&gt;</a>"


def test_autoescape_false_writes_a_macro_twice_rather_than_never(tmp_path):
    template = "{% macro m(x) %}{{ x }}{% endmacro %}<a>{% autoescape false %}{{ m(phone.name) }}{% endautoescape %}</a>"
    found = ET.fromstring(xml(tmp_path, template))
    assert list(found) == []
    assert "<b>" not in xml(tmp_path, template)


def test_lines_take_values_as_they_are(tmp_path):
    phone = samples.phone((), name=NASTY)
    template = "{% macro m(x) %}{{ x }}{% endmacro %}a = {{ phone.name }}\nb = {{ m(phone.name) }}\n"
    assert made(tmp_path, template, phone) == f"a = {NASTY}\nb = {NASTY}\n"


@pytest.mark.parametrize(
    "gone",
    [
        "safe",
        "escape",
        "e",
        "forceescape",
        "tojson",
        "xmlattr",
        "urlize",
        "striptags",
        "attr",
        "pprint",
        "indent",
        "wordwrap",
        "random",
    ],
)
@pytest.mark.parametrize("syntax", ["xml", "key-value"])
def test_filters_that_switch_escaping_off_are_gone(tmp_path, gone, syntax):
    says = broken(tmp_path, f"a\n{{{{ phone.name | {gone} }}}}", syntax=syntax)
    assert says == f"acme/x1/phone.j2 line 2: No filter named '{gone}'."
    # Inside an `if` Jinja looks filters up when it gets there.
    assert "No filter named" in failure(
        tmp_path, f"{{% if true %}}{{{{ phone.name | {gone} }}}}{{% endif %}}", syntax=syntax
    )


@pytest.mark.parametrize("name", ["lipsum()", "cycler('a')", "joiner()", "dict()"])
def test_globals_are_gone(tmp_path, name):
    assert "is undefined" in failure(tmp_path, f"{{{{ {name} }}}}", syntax="xml")


@given(st.text(max_size=40), st.sampled_from(["key-value", "xml"]))
def test_any_name_is_read_back_as_it_was(tmp_path_factory, name, syntax):
    engine, model = ENGINES.get(syntax) or ENGINES.setdefault(
        syntax, renderer(tmp_path_factory.mktemp(syntax), TEMPLATES[syntax], syntax=syntax)
    )
    name = text.name(name) or "x"
    (file,) = engine.phone_files(samples.phone((), name=name), model)
    from kazoo_provisioner.render.check import parse

    assert [value for _, value in parse(engine.catalogue.family_of(model), file)] == ["1", name, "2"]


ENGINES: dict[str, tuple[Renderer, Model]] = {}
TEMPLATES = {
    "key-value": "a = 1\nb = {{ phone.name }}\nc = 2\n",
    "xml": "<r><a>1</a><b>{{ phone.name }}</b><c>2</c></r>",
}


@given(JSON)
def test_what_is_printed_is_text_or_an_error(value):
    from markupsafe import Markup

    from kazoo_provisioner.render.engine import printed
    from kazoo_provisioner.render.formats import SYNTAXES

    for syntax in SYNTAXES.values():
        try:
            written = printed(syntax)(value)
        except TypeError:
            assert not isinstance(value, str | int)
            continue
        assert isinstance(written, str)
        assert not syntax.markup or isinstance(written, Markup | str)
        assert not syntax.markup or "<" not in written
