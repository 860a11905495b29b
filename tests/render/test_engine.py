"""Templates into files: strict, and silent about values."""

from xml.etree import ElementTree as ET

import pytest

from kazoo_provisioner.model.phone import Phonebook
from kazoo_provisioner.render import samples
from kazoo_provisioner.render.check import collapsed, problems
from kazoo_provisioner.render.engine import File, Once, Renderer, code_version
from kazoo_provisioner.render.errors import RenderError
from tests.catalogue.folders import family
from tests.render.helpers import PHONE, broken, failure, made, renderer

# --- what a template sees and prints


def test_a_file_has_its_name_type_and_hash(tmp_path):
    engine, model = renderer(
        tmp_path, "name = {{ phone.name }}\nmac = {{ file_name }} {{ family.name }} {{ model.id }}\n"
    )
    (file,) = engine.phone_files(PHONE, model)
    assert file == File(
        f"{samples.MAC}.cfg",
        "text/plain; charset=utf-8",
        True,
        f"name = Front desk\nmac = {samples.MAC}.cfg Acme X1 x10\n".encode(),
    )
    assert len(file.hash) == 32
    assert engine.phone_files(PHONE, model) == [file]


def test_booleans_and_numbers_are_written_as_phones_read_them(tmp_path):
    assert made(tmp_path, "{{ true }} {{ false }} {{ 5 }} {{ phone.poll_interval }}") == "1 0 5 3600"


@pytest.mark.parametrize(
    "printed", ["none", "phone.vlan", "phone.lines", "phone", "1.5", "{}", "phone.timezone", "[1]"]
)
def test_none_and_whatever_is_no_text_is_an_error(tmp_path, printed):
    says = failure(tmp_path, f"a = 1\nb = {{{{ {printed} }}}}\n")
    assert says.startswith("acme/x1/phone.j2")
    assert "a template printed" in says
    assert "Front desk" not in says


def test_what_is_missing_names_template_and_line(tmp_path):
    says = failure(tmp_path, "a = 1\nb = 2\nc = {{ phone.colour }}\n")
    assert says.startswith("acme/x1/phone.j2 line 3: ")
    assert "colour" in says
    for use in (
        "{% if colour %}{% endif %}",
        "{% for x in colour %}{% endfor %}",
        "{{ colour.shade }}",
        "{{ colour + 1 }}",
    ):
        assert failure(tmp_path, f"a = 1\n{use}\n").startswith("acme/x1/phone.j2 line 2: ")
    assert made(tmp_path, "a = {{ colour | default('red') }}") == "a = red"


def test_an_error_in_an_included_template_names_that_one(tmp_path):
    templates = {
        "phone.j2": 'a = 1\n{% include "acme/x1/part.j2" %}\n',
        "part.j2": "b = 1\nc = 2\nd = {{ phone.colour }}\n",
    }
    assert failure(tmp_path, templates).startswith("acme/x1/part.j2 line 3: ")
    templates = {
        "phone.j2": 'a = 1\n{% from "acme/x1/part.j2" import m %}\n{{ m() }}\n',
        "part.j2": "{% macro m() %}\nd = {{ colour }}\n{% endmacro %}\n",
    }
    assert failure(tmp_path, templates).startswith("acme/x1/part.j2 line 2: ")


def test_an_empty_file_is_an_error(tmp_path):
    assert "made an empty file" in failure(tmp_path, " \n{# nothing #}\n")


@pytest.mark.parametrize(
    "template",
    ["{{ 1 // 0 }}", "{{ phone.name.nothing() }}", "{{ '%d' | format('x') }}", "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
     "{{ '\\ud800' }}", "{{ phone.lines[5].realm }}", "{{ range(phone.name) }}", "{% include phone.name %}", "{{ phone.name() }}"],
)  # fmt: skip
def test_whatever_a_template_does_is_a_render_error(tmp_path, template):
    assert failure(tmp_path, template).startswith("acme/x1/phone.j2")


def test_common_files_see_no_phone(tmp_path):
    engine, _ = renderer(
        tmp_path,
        "a = {{ phone.name }}\n",
        files=[{"name": "c.cfg", "template": "phone.j2", "scope": "family"}],
    )
    (one,) = engine.catalogue.families.values()
    with pytest.raises(RenderError, match="'phone' is undefined"):
        engine.common_files(one)
    engine, _ = renderer(
        tmp_path,
        "a = {{ phone.name }}\n",
        files=[{"name": "b.cfg", "template": "phone.j2", "scope": "account"}],
    )
    (one,) = engine.catalogue.families.values()
    with pytest.raises(RenderError, match="'phone' is undefined"):
        engine.account_files(one, samples.PHONEBOOK)


def test_common_files_are_made_once_and_differ_by_name_alone(tmp_path):
    files = [
        {"name": "y{code}.cfg", "template": "phone.j2", "scope": "model"},
        {"name": "all.cfg", "template": "all.j2", "scope": "family"},
    ]
    models = {f"x{n}": {"vars": {"code": n % 2}} for n in range(4)}
    templates = {"phone.j2": "code = {{ model.vars.code }}\n", "all.j2": "n = {{ models | length }}\n"}
    engine, _ = renderer(tmp_path, templates, files=files, models=models)
    (one,) = engine.catalogue.families.values()
    found = {file.name: file for file in engine.common_files(one)}
    assert {name: file.data for name, file in found.items()} == {
        "y0.cfg": b"code = 0\n", "y1.cfg": b"code = 1\n", "all.cfg": b"n = 4\n"
    }  # fmt: skip
    assert not any(file.sensitive for file in found.values())
    templates["phone.j2"] = "id = {{ model.id }}\n"
    engine, _ = renderer(tmp_path, templates, files=files, models=models)
    (one,) = engine.catalogue.families.values()
    with pytest.raises(RenderError, match=r"acme/x1: models differ in y0\.cfg, which they share"):
        engine.common_files(one)


def test_a_phones_files_know_each_others_names(tmp_path):
    files = [
        {"name": "{mac}.cfg", "template": "phone.j2"},
        {"name": "book.xml", "template": "b.j2", "scope": "account"},
    ]
    templates = {"phone.j2": 'book = {{ names["b.j2"] }}\n', "b.j2": "{{ phonebook.name }}\n"}
    assert made(tmp_path, templates, files=files) == "book = book.xml\n"


# --- nothing leaks


SECRETS = ("s1p-Secret-1", "adm1n-Secret", "us3r-Secret")


@pytest.mark.parametrize("secret", ["phone.lines[0].password", "phone.admin_password", "phone.user_password"])
@pytest.mark.parametrize(
    "use",
    ["{{ names[%s] }}", "{{ model.vars[%s].x }}", "{{ {}[%s] + 1 }}", "{{ '%%d' | format(%s) }}", "{{ 1 + %s }}", "{{ range(%s) }}",
     "{% include %s %}", "{% import %s as x %}", "{{ [%s] }}", "{{ phone[%s] }}", "{{ %s.colour }}", "{{ [][%s] }}"],
)  # fmt: skip
def test_no_secret_in_an_error(tmp_path, use, secret):
    says = failure(tmp_path, use.replace("%s", secret).replace("%%", "%"))
    assert not [s for s in SECRETS if s in says]


def test_no_secret_in_an_error_when_it_needs_quoting_or_says_what_we_say(tmp_path):
    for password in ("a'b\"c", "back\\slash", "a template printed hunter2"):
        phone = samples.phone((samples.line(1, password=password),))
        for use in ("names[phone.lines[0].password]", "range(phone.lines[0].password)"):
            says = failure(tmp_path, f"{{{{ {use} }}}}", phone)
            assert password not in says
            assert repr(password)[1:-1] not in says


# --- errors at construction


@pytest.mark.parametrize(
    ("templates", "says"),
    [
        ({"phone.j2": "a\n{% if %}"}, "acme/x1/phone.j2 line 2: "),
        ({"phone.j2": "{% colour %}"}, "acme/x1/phone.j2 line 1: "),
        (
            {"phone.j2": '{% include "acme/x1/part.j2" %}', "part.j2": "a\nb\n{% for %}"},
            "acme/x1/part.j2 line 3: ",
        ),
        (
            {"phone.j2": '{% if 0 %}{% include "acme/x1/part.j2" %}{% endif %}', "part.j2": "{{"},
            "acme/x1/part.j2 line 1: ",
        ),
        (
            {"phone.j2": '{% from "acme/x1/part.j2" import m %}', "part.j2": "{{ 1 | safe }}"},
            "acme/x1/part.j2 line 1: ",
        ),
        (
            {
                "phone.j2": '{% extends "acme/x1/part.j2" %}',
                "part.j2": '{% include "acme/x1/more.j2" %}',
                "more.j2": "{%",
            },
            "acme/x1/more.j2",
        ),
        ({"phone.j2": '{% include "acme/x1/gone.j2" %}'}, "acme/x1/gone.j2"),
        ({"phone.j2": '{% include "acme/other/part.j2" %}'}, "it may include acme/x1/"),
        ({"phone.j2": '{% include "acme/parts/part.j2" %}'}, "it may include acme/x1/"),
        ({"phone.j2": '{% include "other/part.j2" %}'}, "it may include acme/x1/"),
        ({"phone.j2": "{% include file_name %}"}, "a name that it computes"),
        ({"phone.j2": '{% include "../../etc/passwd" %}'}, "../../etc/passwd"),
    ],
)
def test_a_broken_template_is_found_when_they_are_read(tmp_path, templates, says):
    assert says in broken(tmp_path, templates)


def test_templates_that_include_each_other_are_read_once(tmp_path):
    part = '{% macro m() %}1{% endmacro %}{% if 0 %}{% include "acme/x1/phone.j2" %}{% endif %}'
    assert (
        made(tmp_path, {"phone.j2": 'a = {% include "acme/x1/part.j2" %}', "part.j2": part + "1"}) == "a = 1"
    )


def test_a_template_that_is_no_text(tmp_path):
    family(tmp_path)
    (tmp_path / "acme/x1/phone.j2").write_bytes(b"\xff")
    from kazoo_provisioner.catalogue.load import load

    with pytest.raises(RenderError, match=r"acme/x1/phone\.j2: is not UTF-8 text"):
        Renderer(load(tmp_path))


def test_a_syntax_that_there_is_not(tmp_path):
    assert broken(tmp_path, "x", syntax="toml").startswith(
        "acme/x1/family.yaml: syntax: there is no 'toml', only colon, "
    )


# --- check


def test_check_finds_what_templates_do_wrong(tmp_path):
    def found(template, **changes):
        return problems(renderer(tmp_path, template, **changes)[0])

    assert found("name = {{ phone.name }}\n") == []
    assert found("name = 1\n", required=["name"]) == []
    assert any(
        "password is missing or empty" in p for p in found("name = 1\npassword =\n", required=["password"])
    )
    assert any("name stands there twice" in p for p in found("name = 1\nname = 2\n"))
    assert any("is not name = value" in p for p in found("name: 1\n"))
    assert any("line 1" in p for p in found("<a>", syntax="xml"))
    assert any("acme/x1/phone.j2 line 1: " in p for p in found("a = {{ phone.lines[0].realm }}\n")), (
        "the bare sample has no line"
    )
    book = [{"name": "b.cfg", "template": "phone.j2", "scope": "account"}]
    assert any("has no attribute" in p for p in found("a = {{ phonebook.colour }}\n", files=book))


def test_account_files(tmp_path):
    engine, _ = renderer(
        tmp_path,
        "<b>{% for c in phonebook.contacts %}<c n='{{ c.number }}'>{{ c.name }}</c>{% endfor %}</b>",
        syntax="xml",
        files=[{"name": "b.xml", "template": "phone.j2", "scope": "account", "type": "text/xml"}],
    )
    (one,) = engine.catalogue.families.values()
    (file,) = engine.account_files(one, samples.PHONEBOOK)
    assert (file.name, file.type, file.sensitive) == ("b.xml", "text/xml", False)
    read = ET.fromstring(file.data.decode())
    assert [(c.text, c.get("n")) for c in read] == [(c.name, c.number) for c in samples.PHONEBOOK.contacts]
    assert engine.account_files(one, Phonebook("a", "b", ()))[0].data == b"<b></b>"


def test_the_version_of_the_code_is_stable():
    assert code_version() == code_version()
    assert len(code_version()) == 16


def test_the_version_of_the_code_covers_the_time_zones(monkeypatch):
    from kazoo_provisioner.render import engine

    before = code_version()
    monkeypatch.setattr(engine, "version", lambda name: "9999.9")
    assert code_version() != before


# --- once


def test_once_makes_the_same_as_the_macro_and_asks_it_once(tmp_path):
    unset = "{% macro unset(first, end, model) %}{% for n in range(first, end) %}key.{{ n }} = {{ model.id }}\n{% endfor %}{% endmacro %}\n"
    phone = '{% from "acme/x1/keys.j2" import unset %}\na = {{ phone.name }}\n{{ once(unset, 1, 3, model) }}'
    engine, model = renderer(tmp_path, {"phone.j2": phone, "keys.j2": unset})
    expected = b"key.1 = x10\nkey.2 = x10\n"
    (first,) = engine.phone_files(PHONE, model)
    assert expected in first.data
    made_once = engine._environments["key-value", True].globals["once"]._made
    assert list(made_once.values()) == [expected.decode()]
    (key,) = made_once
    made_once[key] = "remembered = 1\n"
    (second,) = engine.phone_files(PHONE, model)
    assert b"remembered = 1\n" in second.data
    assert b"key.1" not in second.data


@pytest.mark.parametrize("argument", ["phone", "phone.name", "phone.lines[0]", "none", "phone.lines"])
def test_once_refuses_what_is_of_one_phone(tmp_path, argument):
    says = failure(tmp_path, f"{{% macro m(x) %}}b = 1{{% endmacro %}}\n{{{{ once(m, {argument}) }}}}\n")
    assert "once() takes a macro" in says
    assert "Front desk" not in says


LEAK = "{% macro m(n) %}a = {{ phone.lines[0].password }}\n{% endmacro %}\n"


@pytest.mark.parametrize(
    "phone",
    [
        LEAK + "{{ once(m, 1) }}",
        '{% from "acme/x1/leak.j2" import m with context %}{{ once(m, 1) }}',
        '{% import "acme/x1/leak.j2" as leak with context %}{{ once(leak.m, 1) }}',
        '{% include "acme/x1/uses.j2" %}',
        '{% from "acme/x1/leak.j2" import m %}{{ once(m, 1) }}',
    ],
    ids=["own", "from with context", "import with context", "included", "imported"],
)
def test_once_never_gives_one_phones_secret_to_another(tmp_path, phone):
    """A macro that sees the phone is refused, and one of an imported template does not see it."""
    files = {"phone.j2": phone, "leak.j2": LEAK, "uses.j2": LEAK + "{{ once(m, 1) }}"}
    says = failure(tmp_path, files)
    assert "once() takes a macro that another template imports" in says or "'phone' is undefined" in says


def test_once_wants_a_macro(tmp_path):
    assert "once() takes a macro" in failure(tmp_path, "{{ once(range, 3) }}\n")


def test_once_does_not_grow_for_ever(tmp_path, monkeypatch):
    monkeypatch.setattr(Once, "LIMIT", 10)
    phone = '{% from "acme/x1/m.j2" import m %}\n{% for n in range(35) %}a{{ n }} = {{ once(m, n) }}\n{% endfor %}'
    engine, model = renderer(tmp_path, {"phone.j2": phone, "m.j2": "{% macro m(n) %}{{ n }}{% endmacro %}\n"})
    (file,) = engine.phone_files(PHONE, model)
    assert b"a34 = 34" in file.data
    assert len(engine._environments["key-value", True].globals["once"]._made) <= 10


def test_what_is_different_is_not_collapsed() -> None:
    found = [
        "a/b/m1 with sample 'x': one",
        "a/b/m2 with sample 'x': one",
        "a/b/m1 with sample 'x': two",
        "three: x",
    ]
    assert collapsed([*found, "four: x"]) == [
        "a/b/m1 with sample 'x': one (and 1 more models or samples)",
        "a/b/m1 with sample 'x': two",
        "three: x",
        "four: x",
    ]
