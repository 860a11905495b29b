"""What phones ask a provisioner-v5 for: request lines and User-Agents, brand by brand.

Sources, all facts of provisioner-v5's public repository, branches v5, v5-dev and v5-dev2:
- README: phones ask ``http://host/<account>``; the host is the provider's.
- helper/utils.php: the account is any ``/<32 hex>/`` in the path, the file is what stands last; the host counts
  without ``www.`` and port, in any case.
- cli_process.php: request lines and User-Agents of phones, some without an account.
- endpoint/<brand>/brand_data.json: which files each model asks for. Files: the names that stand there.
- v5-dev2, config.json and endpoint/base.php: files below a folder, without an account; phone books below
  ``directory/<mac>/``.
- "vendors": what phones ask for whoever serves them.
"""

from collections.abc import Iterator
from typing import NamedTuple

ACCOUNT = "0f1e2d3c4b5a69788796a5b4c3d2e1f0"
HOST = "prov.old.example.com"
FOLDER = "/provisioner/"
LEGACY = f"[{{host: {HOST}}}, {{prefix: {FOLDER}}}]"
"""As web.legacy_paths says it."""


class Phone(NamedTuple):
    """A phone of ours, for the brands whose files we have."""

    brand: str
    model: str
    mac: str


T22 = Phone("yealink", "t22", "001565000022")
T38 = Phone("yealink", "t38", "001565000038")
T46 = Phone("yealink", "t46", "001565000046")
VVX = Phone("polycom", "vvx500", "0004f2000500")
PHONES = (T22, T38, T46, VVX)


class Request(NamedTuple):
    """A request, and what is to be read from it."""

    brand: str
    host: str
    path: str
    agent: str
    account: str
    file: str
    mac: str
    status: int
    """From a service that has PHONES; 0: brands whose files we do not have."""


def forms(file: str) -> Iterator[tuple[str, str, str]]:
    """All the ways of asking for a file: host, path, account."""
    yield HOST, f"/{ACCOUNT}/{file}", ACCOUNT  # README, cli_process.php
    yield HOST, f"/{file}", ""  # cli_process.php: the MAC address alone says whose it is
    yield f"WWW.{HOST.upper()}:80", f"/{ACCOUNT}/{file}", ACCOUNT  # helper/utils.php, provider's domain
    yield HOST, f"/{ACCOUNT}//{file}", ACCOUNT  # cisco/spa: a URL that ends in "/", and "/$MA.xml"
    yield HOST, f"/{ACCOUNT}/{file}?x=1", ACCOUNT  # helper/utils.php reads a query too
    yield (
        "192.0.2.1:8080",
        f"{FOLDER}{ACCOUNT}/{file}",
        ACCOUNT,
    )  # helper/utils.php: any folder before the account
    yield "192.0.2.1", f"{FOLDER}{file}", ""  # v5-dev2: config.json, paths.root


def asked(
    brand: str, agent: str, file: str, mac: str, *, status: int = 0, bare: int | None = None
) -> list[Request]:
    """Return every form of a request. `bare`: the answer without an account, where it differs."""
    made = []
    for host, path, account in forms(file):
        expected = status if account or bare is None else bare
        made.append(
            Request(brand, host, path, agent, account, file.rpartition("/")[2].lower(), mac, expected)
        )
    return made


# endpoint/yealink/brand_data.json: t1x (t18), t2x (t20 t22 t26 t28), t3x (t32 t38), t4x (t42 t46), wxx (w52).
YEALINK = [
    (T22, "yealink SIP-T22P 7.61.0.80 00:15:65:00:00:22", "05"),  # cli_process.php
    (T38, "Yealink SIP-T38G 38.70.0.185 00:15:65:00:00:38", "38"),  # vendors, D.1
    (T46, "Yealink SIP-T46G 28.72.0.1 00:15:65:00:00:46", "28"),  # vendors, D.1
]


def yealink() -> Iterator[Request]:
    for phone, agent, code in YEALINK:
        mac = phone.mac
        yield from asked("yealink", agent, f"y0000000000{code}.cfg", "", status=200)
        yield from asked("yealink", agent, f"{mac}.cfg", mac, status=200)
        yield from asked("yealink", agent, f"{mac.upper()}.cfg", mac, status=200)  # the patterns ignore case
        # Set in the phone by v5's t1x, t2x and t3x: it has ours as soon as it has read <mac>.cfg.
        yield from asked("yealink", agent, "phonebook1.xml", "", status=404)
        yield from asked(
            "yealink", agent, f"directory/{mac}/phonebook1.xml", mac, status=404
        )  # v5-dev2, yealink/base.php
    yield from asked("yealink", YEALINK[2][1], f"{T46.mac}.boot", T46.mac, status=200)  # vendors, D.1
    for agent, code, mac in (
        ("Yealink SIP-T18P 18.0.0.80 00:15:65:00:00:18", "18", "001565000018"),
        ("W52P 25.30.0.2 00:15:65:00:00:52", "25", "001565000052"),
    ):
        yield from asked("yealink", agent, f"y0000000000{code}.cfg", "")
        yield from asked("yealink", agent, f"{mac}.cfg", mac)


# endpoint/polycom/brand_data.json: spipm (321 331 335 450 550 560 650 670 5000 6000 7000 1500, and in v5-dev2 vvx300
# vvx500 vvx600), firmware325 (430), firmware3333 (320 330), splm (301 501 600 601 4000), spom (300 500).
POLYCOM_COMMON = {
    "spipm": ("335", ["sip.cfg", "features.cfg"]),
    "firmware325": ("430", ["server_327.cfg", "phone1_327.cfg", "sip_327.cfg"]),
    "firmware3333": ("330", ["sip_3333.cfg"]),
    "splm": ("501", ["phone1_318.cfg", "server_318.cfg", "sip_318.cfg"]),
    "spom": ("500", ["server_213.cfg", "phone1_213.cfg", "sip_213.cfg"]),
}
# The folders of v5's <mac>.cfg: LOG_FILE_, OVERRIDES_, CONTACTS_ and LICENSE_DIRECTORY.
POLYCOM_OPTIONAL = [
    "{mac}_reg.cfg", "{mac}-directory.xml", "contacts/{mac}-directory.xml", "overrides/{mac}-phone.cfg",
    "overrides/{mac}-web.cfg", "licenses/{mac}-license.cfg", "logs/{mac}-app.log", "logs/{mac}-boot.log",
]  # fmt: skip


def polycom() -> Iterator[Request]:
    agent = "FileTransport PolycomVVX-VVX_500-UA/4.1.4.7430 Type/Application"  # vendors, D.2
    mac = VVX.mac
    # The names of ours are relative, so a phone asks for them where it found <mac>.cfg.
    for file in (f"{mac}.cfg", f"{mac}-reg.cfg"):
        yield from asked("polycom", agent, file, mac, status=200)
    yield from asked("polycom", agent, "000000000000.cfg", "", status=200)
    for file in ("000000000000-directory.xml", "contacts/000000000000-directory.xml"):
        yield from asked("polycom", agent, file, "", status=200, bare=404)
    # v5-dev2, polycom/base.php
    yield from asked(
        "polycom", agent, f"directory/{mac}/000000000000-directory.xml", mac, status=200, bare=404
    )
    for name in POLYCOM_OPTIONAL:
        yield from asked("polycom", agent, name.format(mac=mac), mac, status=404)
    for file in ("sip.cfg", "features.cfg", "sip.ld", "licenses/000000000000-license.cfg"):
        yield from asked("polycom", agent, file, "", status=404)
    for model, common in POLYCOM_COMMON.values():
        agent = f"FileTransport PolycomSoundPointIP-SPIP_{model}-UA/4.0.3.7562 (SN:0004f2000{model}) Type/Application"
        mac = f"0004f2000{model}"
        for name in ("{mac}.cfg", *POLYCOM_OPTIONAL):
            yield from asked("polycom", agent, name.format(mac=mac), mac)
        for file in (*common, "000000000000-directory.xml"):
            yield from asked("polycom", agent, file, "")
    # cli_process.php
    agent = "FileTransport PolycomSoundStationIP-SSIP_5000-UA/4.0.3.7562 (SN:001565000000) Type/Application"
    yield from asked("polycom", agent, "001565000000_reg.cfg", "001565000000")


# endpoint/cisco/brand_data.json: spa (901 921 922 941 942 962), spa5xx (303 501g 502g 504g 525g 525g2), linksysata,
# ata18x, sip79xx, sip79x1g. The last four have no patterns in v5: it made them for TFTP alone.
CISCO = [
    ("Linksys/SPA-942-6.1.5(a) (88019FA84784)", "000e08000942", ["spa942.cfg"], ["{mac}.xml", "spa{mac}.xml", "directory-{mac}.xml"]),
    ("Linksys/SPA-921-5.1.8 (4MJ00HC02158)", "000e08000921", ["spa921.cfg"], ["{mac}.xml", "directory-{mac}.xml"]),
    ("Cisco/SPA504G-7.4.9c (0018730000A4)(CCQ162306EA)", "0018730000a4", ["spa504G.cfg", "directory.xml"], ["{mac}.xml", "spa{mac}.xml"]),
    ("Cisco/SPA525G-7.5.5 (CBT1434034C)", "001873000525", ["spa525G.cfg"], ["{mac}.xml", "directory/{mac}/directory.xml"]),
    ("Linksys/PAP2T-3.1.15(LS) (FH900G123456)", "000e080000a2", ["pap2t.cfg"], ["spa{mac}.xml"]),
    ("", "000142000186", [], ["ata{mac}.txt"]),
    ("", "000142007960", ["SIPDefault.cnf", "XMLDefault.cnf.xml", "RINGLIST.DAT", "ringlist.xml"], ["SIP{MAC}.cnf", "SEP{MAC}.cnf.xml"]),
    ("", "000142007941", ["dialplan.xml"], ["SEP{MAC}.cnf.xml", "CTLSEP{MAC}.tlv"]),
]  # fmt: skip


def others() -> Iterator[Request]:
    for agent, mac, common, own in CISCO:
        for file in common:
            yield from asked("cisco", agent, file, "")
        for name in own:
            yield from asked("cisco", agent, name.format(mac=mac, MAC=mac.upper()), mac)
    # endpoint/snom/brand_data.json: 7xx (710 720 760); cli_process.php. The phone takes the capital letters.
    agent = "Mozilla/4.0 (compatible; snom710-SIP 8.7.3.8 1.1.5-IFX-05.01.12)"
    for file in ("000413742517.xml", "000413ABCDEF.xml"):
        yield from asked("snom", agent, file, file[:12].lower())
    yield from asked("snom", agent, "snom710.htm", "")  # vendors, D.7
    yield from asked("snom", agent, "snom710-000413742517.htm", "000413742517")
    # endpoint/mocet/brand_data.json: 3xxx (3062 3092). What it calls itself is not known.
    yield from asked("mocet", "", "001f92000001.xml", "001f92000001")
    # endpoint/audiocodes/brand_data.json of v5-dev2: 4xx (420); vendors, D.15
    yield from asked(
        "audiocodes", "AUDC-IPPhone/2.2.8.61 (420HD-Rev0; 00908F602AAC)", "00908f602aac.cfg", "00908f602aac"
    )
    # endpoint/aastra of v5 and v5-dev2; vendors, D.8
    agent = "Aastra6731i MAC:00-08-5D-29-4C-6B V:3.3.1.4365-SIP"
    yield from asked("aastra", agent, "aastra.cfg", "")
    yield from asked("aastra", agent, "00085D294C6B.cfg", "00085d294c6b")
    # Grandstream phones are not in v5's branches, but in its master; vendors, D.6
    agent = "Grandstream Model HW GXP2135 SW 1.0.7.97 DevId 000b828aa872"
    for file in ("cfg000b828aa872", "cfg000b828aa872.xml"):
        yield from asked("grandstream", agent, file, "000b828aa872")
    yield from asked("grandstream", agent, "cfg.xml", "")


REQUESTS = [*yealink(), *polycom(), *others()]
