"""Sample phones: what `check` and the tests render every model with."""

from typing import Any

import msgspec

from kazoo_provisioner.catalogue.fit import fit
from kazoo_provisioner.catalogue.models import Model
from kazoo_provisioner.model.phone import Contact, Key, Line, Phone, Phonebook, Server
from kazoo_provisioner.model.timezone import timezone

ACCOUNT = "acc0unt0000000000000000000000001"
MAC = "001565aabbcc"
KINDS = ("presence", "speed_dial", "parking", "personal_parking", "voicemail", "line", "none")
PASSWORDS: tuple[str, str, str, str] = ("s1p-Secret-%d", "adm1n-Secret", "us3r-Secret", "prov-Secret")

replace = msgspec.structs.replace


def line(number: int, **changes: Any) -> Line:
    """One line with everything set, in a way that tells it from the others."""
    values: dict[str, Any] = {
        "number": number,
        "device_id": f"dev{number:029d}",
        "enabled": True,
        "username": f"user_{number}",
        "auth_name": f"auth_{number}",
        "password": PASSWORDS[0] % number,
        "realm": f"r{number}.example.com",
        "display_name": f"Display {number}",
        "label": f"Label {number}",
        "registrars": (
            Server(f"sip{number}a.example.com", 5062, "udp"),
            Server(f"sip{number}b.example.com", 5063, "udp"),
        ),
        "outbound_proxies": (
            Server(f"proxy{number}a.example.com", 5064, "udp"),
            Server(f"proxy{number}b.example.com", 5065, "udp"),
        ),
        "expires": 360,
        "nat_keepalive": 25,
        "srtp": "optional",
        "codecs": ("G722", "PCMU", "PCMA"),
        "voicemail": "*97",
        "pickup": "*87",
    }
    return Line(**(values | changes))


def key(number: int, lines: int = 1) -> Key:
    """Make the key of a number: kinds in turn."""
    kind = KINDS[(number - 1) % len(KINDS)]
    of_line = (number - 1) % lines + 1
    if kind in ("line", "none"):
        return Key(number, kind, line=of_line)  # type: ignore[arg-type]
    values = {
        "presence": f"1{number:03d}",
        "speed_dial": f"+4930{number:04d}",
        "parking": f"*3{number}",
        "personal_parking": f"*31{number:03d}",
        "voicemail": "*97",
    }
    return Key(number, kind, values[kind], f"Key {number}", of_line)  # type: ignore[arg-type]


def phone(lines: tuple[Line, ...], **changes: Any) -> Phone:
    """Make a phone with these lines and no keys."""
    values: dict[str, Any] = {
        "account_id": ACCOUNT,
        "device_id": "dev00000000000000000000000000001",
        "mac": MAC,
        "name": "Front desk",
        "lines": lines,
        "combo_keys": (),
        "feature_keys": (),
        "timezone": timezone("Europe/Berlin"),
        "time_format": "24",
        "date_format": "little-endian",
        "language": "en-us",
        "hotline": "",
        "vlan": None,
        "voicemail_beep": True,
        "ntp": ("0.pool.ntp.org", "1.pool.ntp.org"),
        "admin_password": PASSWORDS[1],
        "user_password": PASSWORDS[2],
        "provisioning_url": f"http://prov.example.com/p/{ACCOUNT}/",
        "poll_interval": 3600,
    }
    return Phone(**(values | changes))


def one(model: Model) -> Phone:
    """Make the usual phone: one line, no keys set, no passwords of its own."""
    only = line(1, registrars=(Server("r1.example.com"),), outbound_proxies=(), srtp="off", nat_keepalive=30)
    return fit(phone((only,), admin_password="", user_password=""), model)[0]


def full(model: Model) -> Phone:
    """Make a phone with all lines, all keys, everything set."""
    lines = tuple(line(number) for number in range(1, model.lines + 1))
    return fit(
        phone(
            lines,
            combo_keys=tuple(key(n, len(lines)) for n in range(1, model.all_keys + 1)),
            feature_keys=tuple(key(n, len(lines)) for n in range(1, model.feature_keys + 1)),
            hotline="1000",
            vlan=42,
            voicemail_beep=False,
            provisioning_username="prov",
            provisioning_password=PASSWORDS[3],
            firmware_url="http://firmware.example.com/phone.rom",
            firmware_version="1.2.3",
        ),
        model,
    )[0]


def disabled(model: Model) -> Phone:
    """Make a phone whose one line is switched off."""
    return fit(phone((line(1, enabled=False),)), model)[0]


def bare(model: Model) -> Phone:
    """Make the phone of a device that registers nothing."""
    return fit(phone(()), model)[0]


def hostile(model: Model) -> Phone:
    """Make a phone whose every text tries to be something else: markup, comments, quotes, a parameter."""
    only = line(
        1,
        display_name=HOSTILE,
        label=HOSTILE,
        username="us=er;1#",
        auth_name="us=er;1#",
        password="p<&>'#;=:%/\\ 1",  # noqa: S106 - of nobody
    )
    keys = tuple(replace(key(n), label=HOSTILE) for n in range(1, min(model.all_keys, 6) + 1))
    return fit(phone((only,), name=HOSTILE, combo_keys=keys), model)[0]


HOSTILE = """\"/><x y='1'>&amp;</x><!-- # ; a = b: "c" [d] %NULL% \\n {{ 7*7 }} Zoë"""

SAMPLES = {"one": one, "full": full, "disabled": disabled, "bare": bare, "hostile": hostile}

PHONEBOOK = Phonebook(
    ACCOUNT,
    "Acme & Söhne <GmbH>",
    (
        Contact("Anna Schmidt", "1001"),
        Contact('Bob "B" O\'Neill & Co', "+4930123456"),
        Contact("Zoë <main>", "*4"),
    ),
)
