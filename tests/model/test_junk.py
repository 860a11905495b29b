"""Any JSON where a document is expected: a phone, or a verdict, and nothing else."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kazoo_provisioner.layers import PhonesSettings
from kazoo_provisioner.model import merge, phonebook, wire
from kazoo_provisioner.model.ids import Mac
from tests.model.builders import (
    ACCOUNT,
    DB,
    DEVICE,
    GENERATIONS,
    JSON,
    MAC,
    USER,
    account,
    callflow,
    damaged,
    device,
    feature,
    user,
)

OTHER = "device00000000000000000000000002"
KEYS = {
    "0": {"type": "line"},
    "1": {"type": "presence", "value": USER},
    "2": {"type": "parking", "value": 3},
    "3": {"type": "personal_parking", "value": {"value": USER, "label": "x"}},
    "4": {"type": "speed_dial", "value": {"value": "+4930", "label": "x"}},
}
REALISTIC = {
    **{
        DEVICE + generation: device(
            generation,
            provision__combo_keys=KEYS,
            provision__lines={"2": {"device_id": OTHER}},
            provision__vlan={"enable": True, "number": 5},
            provision__overrides={"hotline": "1", "combo_keys": {"1": None}},
            timezone="Europe/Berlin",
            media__encryption={"methods": ["srtp"], "enforce_security": True},
        )
        for generation in GENERATIONS
    },
    USER: user(media__audio={"codecs": ["PCMA"]}, provision={"overrides": {"feature_keys": KEYS}}),
    ACCOUNT: account(
        zones__home="eu", contact_list__includes=["featurecode"], provision={"overrides": {"hotline": "2"}}
    ),
    OTHER: device(sip__username="two"),
    "cf1": callflow("1001", name="Anna"),
    "cf2": feature("park_and_retrieve", "3"),
    "cf3": feature("voicemail", "97", flow__data={"action": "check"}),
    "vm": {"pvt_type": "vmbox", "name": "Box", "contact_list": {"exclude": False}},
}


def read_everything(docs):
    """From documents as they arrive to a phone and a phonebook, as sync does it."""
    stored: dict[str, tuple[str, wire.Doc]] = {}
    verdicts = set()
    for doc_id, doc in docs.items():
        found = wire.trim(DB, doc_id, doc)
        if found is None:
            continue
        try:
            stored[doc_id] = (found[0], wire.decode(wire.encode(found[1])))
        except UnicodeEncodeError:
            continue  # ingest keeps the last good one
        wire.targets(*stored[doc_id])
        wire.mac_of(*stored[doc_id])
    own = stored.get(ACCOUNT, ("account", {}))[1]
    above = own.get("pvt_tree")
    features = [doc for kind, doc in stored.values() if kind == "feature"]
    context = merge.Account(
        ACCOUNT, own, tuple(a for a in above if isinstance(a, dict)) if isinstance(above, list) else (),
        merge.star_codes(features), PhonesSettings().layer(None, None, ACCOUNT),
    )  # fmt: skip
    for doc_id, (kind, doc) in stored.items():
        if kind == "device":
            try:
                merge.build(doc_id, doc, Mac(MAC), context, stored.get)
            except merge.Cannot as error:
                verdicts.add(error.code)
    phonebook.build(ACCOUNT, own, stored)
    assert verdicts <= {"no_realm", "unusable_value"}


def test_the_realistic_documents_make_phones():
    read_everything(REALISTIC)


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_a_realistic_set_with_random_damage(data):
    docs = dict(REALISTIC)
    for doc_id in data.draw(st.sets(st.sampled_from(sorted(docs)), min_size=1, max_size=3)):
        docs[doc_id] = data.draw(damaged(docs[doc_id]))
    read_everything(docs)


KINDS = st.sampled_from(["account", "user", "device", "callflow", "vmbox", "menu", "conference", "directory"])
FIELDS = st.sampled_from(
    [
        "name",
        "sip",
        "media",
        "provision",
        "timezone",
        "language",
        "enabled",
        "pvt_enabled",
        "owner_id",
        "realm",
        "presence_id",
        "numbers",
        "patterns",
        "featurecode",
        "flow",
        "contact_list",
        "first_name",
        "last_name",
        "mac_address",
        "pvt_tree",
        "zones",
        "pvt_reseller_id",
        "pvt_created",
        "device_type",
    ]
)


@given(
    st.dictionaries(
        st.sampled_from([DEVICE, USER, ACCOUNT, "cf1"]),
        st.tuples(KINDS, st.dictionaries(FIELDS, JSON)),
        max_size=4,
    )
)
def test_documents_of_nothing_but_junk(docs):
    read_everything({doc_id: {**doc, "pvt_type": kind} for doc_id, (kind, doc) in docs.items()})
