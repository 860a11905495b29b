"""The syntaxes that phones read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kazoo_provisioner.model.text import is_clean
from kazoo_provisioner.render.formats import (
    SYNTAXES,
    FormatError,
    UnwritableError,
    duplicates,
    parse_key_value,
    parse_xml,
)


def test_name_and_value_lines():
    text = "#!version:1.0.0.1\n# comment = 1\n\n[ section ]\na.1.b = x\nb=\n c  =  y = z # no comment \ninclude:config common.cfg\n%NULL% = 1\n"
    assert parse_key_value(text) == [
        ("a.1.b", "x"), ("b", ""), ("c", "y = z # no comment"), ("include:config", "common.cfg"), ("%NULL%", "1"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        "a",
        "a: 1",
        "a b = 1",
        "= 1",
        "<a/>",
        "a = 1\r",
        "a = 1\rb = 2",
        "[x] y",
        "a\n= 1",
        "é = 1",
        "a;b = 1",
        "\x00 = 1",
    ],
)
def test_lines_that_are_neither(text):
    with pytest.raises(FormatError, match="line 1") as caught:
        parse_key_value(text)
    assert "line 2" not in str(caught.value)


def test_a_format_error_does_not_show_the_line():
    with pytest.raises(FormatError) as caught:
        parse_key_value("ok = 1\nhunter2")
    assert str(caught.value) == "line 2 is not name = value"


def test_xml_by_path():
    text = '<?xml version="1.0"?><r v="1"><a>x</a><a b="&lt;">y<c/>z</a> \n</r>'
    assert parse_xml(text) == [
        ("/r[1]/@v", "1"),
        ("/r[1]/a[1]", "x"),
        ("/r[1]/a[2]/@b", "<"),
        ("/r[1]/a[2]", "yz"),
    ]


@pytest.mark.parametrize(
    "text",
    ["", "x", "<a>", "<a></b>", "<a/><b/>", "<a>&nbsp;</a>", "<a b=c/>", "<a b='1' b='2'/>", "<a>\x01</a>", "<a>&</a>", "<a>\ufffe</a>",
     '<!DOCTYPE a [<!ENTITY x "y">]><a>&x;</a>', '<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>', "<a>\x00</a>", "<a>]]></a>"],
)  # fmt: skip
def test_xml_that_is_none(text):
    with pytest.raises(FormatError):
        parse_xml(text)


def test_duplicates():
    assert duplicates([("a", "1"), ("b", "1"), ("a", "2"), ("a", "3")]) == ["a", "a"]
    assert duplicates([]) == []


FRAMES = {
    "key-value": "a = {}\nb = 1\n",
    "xml": "<r><a>{}</a><b>1</b></r>",
    "colon": "a b: {}\nc: 1\n",
    "csv": "{},1\n",
    "vcard": "FN:{}\nTEL:1\n",
    "ini": "A = {}\nB = 1\n",
    "quoted": 'A="{}"\nB="1"\n',
    "quoted-colon": 'a: "{}"\nb: "1"\n',
    "fanvil-text": "<<A FILE>>Version:2.0\n<M MODULE>\n--B--:\nA A :{}\nB :1\n<<END OF FILE>>\n",
    "set": 'SET A "{}"\nSET B "1"\n',
}


@pytest.mark.parametrize("name", sorted(SYNTAXES))
@given(value=st.text(max_size=60).filter(is_clean).map(lambda v: " ".join(v.split())))
def test_what_is_written_is_read_back_and_nothing_else(name, value):
    syntax = SYNTAXES[name]
    frame = FRAMES[name]
    if any(char in value for char in syntax.lacks):
        with pytest.raises(UnwritableError):
            syntax.write(value)
        value = syntax.display(value)
    assert syntax.display(value) == value
    values = [v for _, v in syntax.parse(frame.format(syntax.write(value)))]
    assert values == ([value] if value or not syntax.markup else []) + ["1"]


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text):
    for syntax in SYNTAXES.values():
        try:
            pairs = syntax.parse(text)
        except FormatError:
            continue
        assert all(isinstance(part, str) for pair in pairs for part in pair)


def test_rows_of_an_ini_table():
    """Fields between commas, where quotes hold what would end one."""
    text = '; x\n[ T ]\nFORMAT T_Index = T_A, T_B;\nT 0 = a, "b;c, d";\nT 1 = , ;\n[ \\T ]\n'
    assert SYNTAXES["ini"].parse(text) == [("T 0/1", "a"), ("T 0/2", "b;c, d"), ("T 1/1", ""), ("T 1/2", "")]
    for broken in ("T 0 = a, b", 'T 0 = a"b;', "A = b; c", "A", "[T"):
        with pytest.raises(FormatError):
            SYNTAXES["ini"].parse(broken)
