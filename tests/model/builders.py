"""Documents as three generations of Kazoo write them, and short ways from them to a phone."""

from typing import Any

from hypothesis import strategies as st

from kazoo_provisioner.layers import PhoneLayer, PhonesSettings
from kazoo_provisioner.model import merge, wire
from kazoo_provisioner.model.ids import Mac, db_of_account
from kazoo_provisioner.model.phone import Line, Phone

ACCOUNT = "account0000000000000000000000001"
DB = db_of_account(ACCOUNT)
DEVICE = "device00000000000000000000000001"
USER = "user0000000000000000000000000001"
MAC = Mac("00156527c98e")
Doc = dict[str, Any]

OLD = "3.18"
FOUR = "4.x"
MASTER = "master"
GENERATIONS = (OLD, FOUR, MASTER)


def device(generation: str = MASTER, /, **changes: Any) -> Doc:
    """A desk phone's document, as that generation saves it, with what concerns nobody here left in."""
    doc: Doc = {
        "_id": DEVICE,
        "_rev": "1-7280940a25dcb8eac5ab129dd8fbe5c6",
        "pvt_type": "device",
        "pvt_account_id": ACCOUNT,
        "pvt_created": 63645260666,
        "name": "Front desk",
        "device_type": "sip_device",
        "owner_id": USER,
        "mac_address": "00:15:65:27:C9:8E" if generation != MASTER else "00156527c98e",
        "call_forward": {"enabled": False, "number": "+18554642600"},
        "sip": {
            "method": "password",
            "username": "user_abc",
            "password": "s3cret",
            "invite_format": "contact",
        },
        "provision": {"endpoint_brand": "yealink", "endpoint_family": "t4x", "endpoint_model": "t46g"},
        "media": {"audio": {"codecs": ["G722", "PCMU"]}, "video": {"codecs": ["H264"]}},
    }
    if generation == OLD:
        doc["sip"]["registration_expiration"] = 600
        doc["media"]["secure_rtp"] = "none"
    else:
        doc["sip"]["expire_seconds"] = "360" if generation == FOUR else 360
        doc["media"]["encryption"] = {"enforce_security": False, "methods": []}
    if generation != OLD:
        doc["enabled"] = True
    return overlaid(doc, changes)


def user(**changes: Any) -> Doc:
    doc: Doc = {"pvt_type": "user", "first_name": "Anna", "last_name": "Schmidt", "username": "anna"}
    return overlaid(doc | {"presence_id": "1001", "hotdesk": {"enabled": False}}, changes)


def account(**changes: Any) -> Doc:
    doc: Doc = {"pvt_type": "account", "name": "Acme", "realm": "acme.example.com", "pvt_enabled": True}
    return overlaid(doc, changes)


def callflow(number: str, module: str = "user", target: str = USER, **changes: Any) -> Doc:
    flow = {"module": module, "data": {"id": target}, "children": {}}
    return overlaid({"pvt_type": "callflow", "numbers": [number], "flow": flow}, changes)


def feature(code: str, number: Any, /, **changes: Any) -> Doc:
    doc: Doc = {
        "pvt_type": "callflow",
        "featurecode": {"name": code, "number": number},
        "patterns": [rf"^\*{number}([0-9]*)$"],
        "flow": {"module": "park", "data": {"action": "auto"}, "children": {}},
    }
    return overlaid(doc, changes)


GONE = object()
"""As a change: the field is not there."""


def overlaid(doc: Doc, changes: Doc) -> Doc:
    """Lay changes over a document; ``__`` stands for a dot."""
    for path, value in changes.items():
        *parents, last = path.split("__")
        at = doc
        for parent in parents:
            at = at.setdefault(parent, {})
        if value is GONE:
            at.pop(last, None)
        else:
            at[last] = value
    return doc


def kept(doc: Doc, doc_id: str, db: str = DB) -> tuple[str, Doc]:
    found = wire.trim(db, doc_id, doc)
    assert found is not None
    return found[0], wire.decode(wire.encode(found[1]))


def context(
    doc: Doc | None = None, *above: Doc, codes: Any = (), layer: PhoneLayer | None = None
) -> merge.Account:
    trimmed = kept(account() if doc is None else doc, ACCOUNT)[1]
    ancestors = tuple(kept(a, ACCOUNT)[1] for a in above)
    layer = layer or PhonesSettings().layer(None, None, ACCOUNT)
    return merge.Account(
        ACCOUNT, trimmed, ancestors, merge.star_codes(kept(c, "cf")[1] for c in codes), layer
    )


def merged(
    doc: Doc, owner: Doc | None = None, others: dict[str, Doc] | None = None, **of_account: Any
) -> merge.Merged:
    """Merge whole documents the way the writer does: trimmed, stored, read back."""
    documents = dict(others or {})
    if owner is not None:
        documents[USER] = owner
    docs = {doc_id: kept(one, doc_id) for doc_id, one in documents.items()}
    above = of_account.pop("above", ())
    own = of_account.pop("own", None)
    return merge.build(DEVICE, kept(doc, DEVICE)[1], MAC, context(own, *above, **of_account), docs.get)


def phone(
    doc: Doc, owner: Doc | None = None, others: dict[str, Doc] | None = None, **of_account: Any
) -> Phone:
    return merged(doc, owner, others, **of_account).phone


def line(doc: Doc, owner: Doc | None = None, **of_account: Any) -> Line:
    (only,) = phone(doc, owner, **of_account).lines
    return only


def layer(**changes: Any) -> PhoneLayer:
    """The settings of an account where the default layer says this."""
    return PhonesSettings(default=PhoneLayer(**changes)).layer(None, None, ACCOUNT)


def codes_of(result: merge.Merged) -> list[str]:
    return [warning.code for warning in result.warnings]


WORDS = st.sampled_from(
    [
        *(
            "",
            "true",
            "false",
            "inherit",
            "1",
            "03",
            "*3",
            "^\\*3",
            "0",
            "line",
            "none",
            "presence",
            "speed_dial",
        ),
        *(
            "parking",
            "personal_parking",
            "voicemail",
            "srtp",
            "zrtp",
            "G722",
            "park_and_retrieve",
            "check",
            "user",
        ),
        *(
            USER,
            DEVICE,
            "Europe/Berlin",
            "a\nb",
            "\u2028",
            "\u202e",
            "\ud800",
            "x" * 300,
            "12",
            "little-endian",
        ),
        *("+49301234", "1001"),
    ]
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    WORDS,
    st.text(max_size=6),
    st.just(2**63),
    st.just(-1),
)
NAMES = st.one_of(
    st.sampled_from(
        [
            *(
                "type",
                "value",
                "label",
                "device_id",
                "0",
                "1",
                "01",
                "methods",
                "name",
                "number",
                "module",
                "data",
            ),
            *(
                "id",
                "overrides",
                "lines",
                "combo_keys",
                "enable",
                "includes",
                "exclude",
                "_",
                "action",
                "home",
            ),
        ]
    ),
    st.text(max_size=3),
)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)


def paths_of(doc: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a JSON document."""
    found = [at]
    items = doc.items() if isinstance(doc, dict) else enumerate(doc) if isinstance(doc, list) else ()
    for name, value in items:
        found.extend(paths_of(value, (*at, name)))
    return found


def with_junk(doc: Any, path: tuple[Any, ...], junk: Any) -> Any:
    """The document with another subtree at a path."""
    if not path:
        return junk
    copy = dict(doc) if isinstance(doc, dict) else list(doc)
    copy[path[0]] = with_junk(doc[path[0]], path[1:], junk)
    return copy


@st.composite
def damaged(draw: st.DrawFn, doc: Doc) -> Doc:
    """A realistic document with one to three subtrees replaced by any JSON; it stays an object."""
    result = doc
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from([p for p in paths_of(result) if p]))
        result = with_junk(result, path, draw(JSON))
    return result
