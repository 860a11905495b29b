"""Text made fit for a phone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kazoo_provisioner.model import text
from kazoo_provisioner.model.phone import Contact, Key, Phonebook, Server, TimeZone
from tests.model.builders import JSON

UNCLEAN = [chr(c) for c in (*range(0x20), *range(0x7F, 0xA0))] + list(
    "\u2028\u2029\ufeff\u200e\u200f\u061c\ufffe\uffff"
)
UNCLEAN += [
    chr(c) for c in (*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0xD800, 0xDBFF, 0xDC00, 0xDFFF, 0xE000)
]
ANY = st.text(st.characters(codec=None, exclude_categories=[]), max_size=80) | st.text(
    st.sampled_from([*UNCLEAN, "a", " ", "é", "語"]), max_size=80
)


@given(ANY | JSON, st.integers(1, 80))
def test_names_are_clean_short_and_stay_as_they_are(value, limit):
    made = text.name(value, limit)
    assert text.is_clean(made)
    assert len(made) <= limit
    assert made == made.strip()
    assert "  " not in made
    assert text.name(made, limit) == made


@given(ANY | JSON, st.integers(1, 80))
def test_exact_values_are_as_given_or_refused(value, limit):
    try:
        made = text.exact(value, "sip.password", limit)
    except text.UnusableValueError as error:
        assert "sip.password" in str(error)  # noqa: PT017 - both ways are right
        assert isinstance(value, str | int)
        return
    assert text.is_clean(made)
    if isinstance(value, str):
        assert made == value.strip()
    elif isinstance(value, int) and not isinstance(value, bool):
        assert made == str(value)
    else:
        assert made == ""


def test_an_error_names_the_field_never_the_value():
    with pytest.raises(text.UnusableValueError) as caught:
        text.exact("hunter2\nadmin = 1", "sip.password")
    assert "hunter2" not in str(caught.value)
    with pytest.raises(text.UnusableValueError) as caught:
        text.exact("hunter2" * 50, "sip.password")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("char", UNCLEAN, ids=lambda c: f"{ord(c):04x}")
def test_no_struct_takes_unclean_text(char):
    bad = f"a{char}b"
    assert not text.is_clean(bad)
    for make in (
        lambda: Server(bad),
        lambda: Key(1, "presence", bad),
        lambda: Key(1, "presence", "1", bad),
        lambda: Contact(bad, "1"),
        lambda: Phonebook("a", bad, ()),
        lambda: TimeZone(bad, 0),
    ):
        with pytest.raises(text.UnusableValueError, match="holds a control character"):
            make()
    assert text.name(bad) == "a b"
    with pytest.raises(text.UnusableValueError):
        text.exact(bad, "x")


def test_texts_in_a_tuple_are_checked_too():
    from kazoo_provisioner.render import samples

    with pytest.raises(text.UnusableValueError, match=r"Phone\.ntp"):
        samples.phone((), ntp=("pool.ntp.org", "x\ny"))
    with pytest.raises(text.UnusableValueError, match=r"Line\.password"):
        samples.line(1, password="a\u2028b")


@pytest.mark.parametrize("good", ["Zoë", "語学", "a'b\"c<d>&;#%", "emoji 📞", "e\u0301", "\u200d", "नमस्ते"])
def test_what_people_are_called_passes(good):
    assert text.is_clean(good)
    assert text.name(good) == good
    assert text.exact(good, "x") == good


def test_names_of_ten_thousand_characters_are_cut():
    assert text.name("x" * 10_000) == "x" * text.NAME_LENGTH
    assert text.name(12) == "12"
    assert text.name(True) == ""
    assert text.name(None) == ""
