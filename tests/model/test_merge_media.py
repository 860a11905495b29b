"""Documents into a phone, for those of 3.18, 4.x and master: expiry, SRTP, codecs."""

import pytest

from kazoo_provisioner.catalogue.fit import fit
from kazoo_provisioner.catalogue.load import load
from tests.model.builders import (
    FOUR,
    GENERATIONS,
    GONE,
    MASTER,
    OLD,
    codes_of,
    device,
    layer,
    line,
    merged,
    phone,
    user,
)

every = pytest.mark.parametrize("generation", GENERATIONS)
OTHER = "device00000000000000000000000002"


# --- expiry


@pytest.mark.parametrize(
    ("generation", "changes", "seconds", "warned"),
    [
        (FOUR, {"sip__expire_seconds": "360"}, 360, 0),
        (MASTER, {"sip__expire_seconds": 300}, 300, 0),
        (MASTER, {"sip__expire_seconds": 300.0}, 300, 0),
        (OLD, {"sip__registration_expiration": 900}, 900, 0),
        (OLD, {"sip__registration_expiration": "900"}, 900, 0),
        (OLD, {"sip__registration_expiration": 900, "sip__expire_seconds": 400}, 400, 0),
        (MASTER, {"sip__expire_seconds": GONE}, 300, 0),
        (MASTER, {"sip__expire_seconds": ""}, 300, 0),
        (MASTER, {"sip__expire_seconds": None}, 300, 0),
        (MASTER, {"sip__expire_seconds": 0}, 300, 1),
        (MASTER, {"sip__expire_seconds": -1}, 300, 1),
        (MASTER, {"sip__expire_seconds": "soon"}, 300, 1),
        (MASTER, {"sip__expire_seconds": 10**9}, 300, 1),
        (MASTER, {"sip__expire_seconds": {"x": 1}}, 300, 1),
        (OLD, {"sip__registration_expiration": 1, "sip__expire_seconds": "x"}, 300, 2),
    ],
)
def test_expiry(generation, changes, seconds, warned):
    result = merged(device(generation, **changes))
    assert result.phone.lines[0].expires == seconds
    assert codes_of(result) == ["expires"] * warned


def test_expiry_where_no_document_says_comes_from_settings():
    assert line(device(sip__expire_seconds=GONE), layer=layer(expires=1800)).expires == 1800


# --- SRTP


@pytest.mark.parametrize(
    ("generation", "media", "srtp", "warned"),
    [
        (MASTER, {"encryption": {"methods": [], "enforce_security": True}}, "off", []),
        (MASTER, {"encryption": {"methods": ["srtp"], "enforce_security": False}}, "optional", []),
        (MASTER, {"encryption": {"methods": ["srtp"]}}, "optional", []),
        (MASTER, {"encryption": {"methods": ["srtp"], "enforce_security": True}}, "required", []),
        (FOUR, {"encryption": {"methods": ["srtp"], "enforce_security": "true"}}, "required", []),
        (FOUR, {"encryption": {"methods": ["zrtp"], "enforce_security": True}}, "off", ["zrtp"]),
        (FOUR, {"encryption": {"methods": ["zrtp", "srtp"], "enforce_security": True}}, "required", ["zrtp"]),
        (FOUR, {"encryption": {"methods": "srtp"}}, "off", []),
        (FOUR, {"encryption": ["srtp"]}, "off", []),
        (OLD, {"secure_rtp": "srtp"}, "required", []),
        (OLD, {"secure_rtp": "none"}, "off", []),
        (OLD, {"secure_rtp": "zrtp"}, "off", ["zrtp"]),
        (OLD, {"secure_rtp": True}, "required", []),
        (OLD, {"secure_rtp": False}, "off", []),
        (OLD, {}, "off", []),
    ],
)
def test_srtp(generation, media, srtp, warned):
    result = merged(device(generation, media=media))
    assert result.phone.lines[0].srtp == srtp
    assert codes_of(result) == warned


def test_srtp_of_the_owner_where_the_device_says_nothing():
    owner = user(media__encryption={"methods": ["srtp"], "enforce_security": True})
    assert line(device(media={}), owner).srtp == "required"
    # An empty list on the device is what Kazoo saves for "none", and goes before the owner's.
    assert line(device(media__encryption={"methods": []}), owner).srtp == "off"
    assert line(device(media__encryption={"methods": ["srtp"]}), owner).srtp == "optional"


# --- codecs


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("OPUS", "OPUS"), ("opus@48000h@20i", "OPUS"), ("G722", "G722"), ("G722@8000h", "G722"), ("PCMU", "PCMU"), ("pcma", "PCMA"),
        ("G729", "G729"), ("GSM", "GSM"), ("speex@16000h", "SPEEX"), ("speex@32000h", "SPEEX"), ("Speex", "SPEEX"),
        ("CELT@32000h", "CELT"), ("CELT@48000h", "CELT"), ("CELT_48", "CELT"), ("CELT_64", "CELT"),
        ("G7221@16000h", "G7221_16"), ("G722_16", "G7221_16"), ("G7221@32000h", "G7221_32"), ("G722_32", "G7221_32"),
    ],
)  # fmt: skip
@every
def test_codec_names_and_aliases(generation, name, codec):
    assert line(device(generation, media__audio={"codecs": [name]})).codecs == (codec,)


def test_g722_1_is_not_g722():
    assert line(device(media__audio={"codecs": ["G722_16", "G722"]})).codecs == ("G7221_16", "G722")


@every
def test_codecs_keep_their_order_each_once(generation):
    codecs = ["PCMA", "G722", "PCMA", "PCMU", "G722@8000h"]
    assert line(device(generation, media__audio={"codecs": codecs})).codecs == ("PCMA", "G722", "PCMU")


def test_codecs_of_the_owner_where_the_device_has_none():
    owner = user(media__audio={"codecs": ["G729"]})
    assert line(device(media__audio=GONE), owner).codecs == ("G729",)
    assert line(device(media__audio={"codecs": []}), owner).codecs == ("G729",)
    assert line(device(), owner).codecs == ("G722", "PCMU")


@pytest.mark.parametrize("codecs", [GONE, None, [], "PCMA", {"0": "PCMA"}, 5])
def test_no_codecs_are_pcmu(codecs):
    assert line(device(media__audio={"codecs": codecs} if codecs is not GONE else GONE)).codecs == ("PCMU",)


def test_unknown_codecs_are_warned_of():
    result = merged(device(media__audio={"codecs": ["ILBC", None, 5, ["PCMU"], "PCMA", "G7221", ""]}))
    assert result.phone.lines[0].codecs == ("PCMA",)
    assert codes_of(result) == ["codec"] * 6
    assert merged(device(media__audio={"codecs": ["ILBC"]})).phone.lines[0].codecs == ("PCMU",)


def test_codecs_that_the_model_has_none_of_are_pcmu_and_warned():
    made = phone(device(media__audio={"codecs": ["G7221@16000h"]}))
    model = load().resolve("yealink", "t46g")
    assert model is not None
    fitted, warnings = fit(made, model)
    assert fitted.lines[0].codecs == ("PCMU",)
    assert [w.code for w in warnings] == ["codec"]
    assert "PCMU" in warnings[0].detail
