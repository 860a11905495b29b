"""An account's phonebook."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kazoo_provisioner.model import phonebook, text
from kazoo_provisioner.model.phone import Contact
from tests.model.builders import ACCOUNT, DEVICE, USER, account, callflow, device, feature, kept, user


def book(docs, own=None):
    trimmed = {doc_id: kept(doc, doc_id) for doc_id, doc in docs.items()}
    made = phonebook.build(ACCOUNT, kept(own or account(), ACCOUNT)[1], trimmed)
    assert made.account_id == ACCOUNT
    return made


def names(docs, own=None):
    return [(c.name, c.number) for c in book(docs, own).contacts]


def test_users_are_listed_by_the_callflow_that_gives_them_a_number():
    docs = {USER: user(), "u2": user(first_name="Bob", last_name="Ross"), "cf": callflow("1001")}
    assert names(docs) == [("Anna Schmidt", "1001")]


def test_a_user_whose_callflow_goes_on_to_voicemail_is_still_the_user():
    flow = callflow("1001", flow__children={"_": {"module": "voicemail"}}, name="Flow")
    assert names({USER: user(), "cf": flow}) == [("Anna Schmidt", "1001")]
    flow = callflow("1001", flow__children={"_": {"module": "ring_group"}}, name="Flow")
    assert names({USER: user(), "cf": flow}) == [("Flow", "1001")]


@pytest.mark.parametrize(
    ("kind", "module"),
    [
        ("vmbox", "voicemail"),
        ("menu", "menu"),
        ("conference", "conference"),
        ("directory", "directory"),
        ("device", "device"),
    ],
)
def test_boxes_menus_conferences_directories_and_devices_are_listed_by_callflow(kind, module):
    target = {"pvt_type": kind, "name": "The target"}
    assert names({"t": target, "cf": callflow("500", module, "t")}) == [("The target", "500")]
    assert (
        names({"t": target | {"contact_list": {"exclude": True}}, "cf": callflow("500", module, "t")}) == []
    )


@pytest.mark.parametrize("exclude", [True, "true"])
def test_exclude_leaves_out(exclude):
    out = {"contact_list": {"exclude": exclude}}
    assert names({USER: user() | out, "cf": callflow("1001")}) == []
    assert names({USER: user(), "cf": callflow("1001") | out}) == []
    assert names({DEVICE: device() | out, "cf": callflow("1001", "device", DEVICE)}) == []


@pytest.mark.parametrize("exclude", [False, "false", None, 5, []])
def test_what_excludes_nobody(exclude):
    assert names({USER: user(contact_list={"exclude": exclude}), "cf": callflow("1001")}) == [
        ("Anna Schmidt", "1001")
    ]


def test_includes_adds_feature_codes():
    docs = {"cf": feature("hotdesk[action=login]", "11", numbers=["*11"], name="Log in")}
    assert names(docs) == []
    assert names(docs, account(contact_list__includes=["extension", "featurecode"])) == [("Log in", "*11")]
    for junk in ("featurecode", None, 5, {"featurecode": True}, [["featurecode"]]):
        assert names(docs, account(contact_list__includes=junk)) == []


def test_a_callflow_to_somebody_who_is_gone_is_not_listed():
    assert names({"cf": callflow("1001", name="Ghost")}) == []


def test_other_callflows_are_listed_by_their_own_name():
    assert names({"cf": callflow("600", "ring_group", "x", name="Sales")}) == [("Sales", "600")]
    assert names({"cf": callflow("600", "ring_group", "x", flow__data={"name": "Sales"})}) == [
        ("Sales", "600")
    ]
    assert names({"cf": callflow("600", "ring_group", "x")}) == []


@pytest.mark.parametrize(
    ("numbers", "number"),
    [
        (["+4930123456", "1001"], "1001"),
        (["10011", "1001", "1000"], "1000"),
        (["+4930123456"], "+4930123456"),
        (["undefinedMAIN", "1001"], "1001"),
        (["1001\nadmin", "", None, 5, "1002"], "1002"),
        (["\u0661\u0660\u0660\u0661"], None),
        (["1" * 33], None),
        ([], None),
        ("1001", None),
        ({"0": "1001"}, None),
    ],
)
def test_the_number_to_dial_is_an_extension_before_an_outside_one(numbers, number):
    found = names({USER: user(), "cf": callflow("x", numbers=numbers)})
    assert found == ([("Anna Schmidt", number)] if number else [])


def test_the_book_is_sorted_named_and_cut():
    docs = {USER: user(first_name="zoë"), "u2": user(first_name="Anton"), "u3": user(first_name="bert")}
    docs |= {f"cf{n}": callflow(str(1000 + n), "user", u) for n, u in enumerate((USER, "u2", "u3"))}
    made = book(docs)
    assert made.contacts == (
        Contact("Anton Schmidt", "1001"),
        Contact("bert Schmidt", "1002"),
        Contact("zoë Schmidt", "1000"),
    )
    assert made.name == "Acme"
    assert book({}, account(name="")).name == "Phonebook"
    many = {USER: user()} | {f"cf{n}": callflow(str(n)) for n in range(1500)}
    assert len(book(many).contacts) == phonebook.MAX_CONTACTS


@given(
    st.dictionaries(
        st.sampled_from(["a", "b", "c", USER, DEVICE]),
        st.one_of(
            st.builds(lambda n, name, to: callflow(n, "user", to, name=name), st.text("0123*+#x", max_size=3), st.text(max_size=3), st.sampled_from([USER, "a"])),
            st.builds(lambda f, n: user(first_name=f, last_name=n), st.text(max_size=3), st.text(max_size=3)),
            st.builds(lambda n: device(name=n), st.text(max_size=3)),
        ),
    )
)  # fmt: skip
def test_entries_are_sorted_each_once_with_a_number_and_clean(docs):
    made = book(docs).contacts
    keys = [(c.name.casefold(), c.name, c.number) for c in made]
    assert keys == sorted(set(keys))
    assert all(c.name and c.number and text.is_clean(c.name + c.number) for c in made)
    assert made == book(dict(reversed(docs.items()))).contacts, "whatever order the documents come in"
