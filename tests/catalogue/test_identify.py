"""Who asks: the examples of makers' User-Agents and file names that we know."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kazoo_provisioner.catalogue.identify import Identifier
from kazoo_provisioner.catalogue.load import load

CATALOGUE = load()
WHO = Identifier(CATALOGUE)

AGENTS = [
    ("Yealink SIP-T46G 28.72.0.1 00:15:65:4a:a9:37", "yealink", "t46g", "28.72.0.1", "0015654aa937"),
    ("Yealink SIP-T56A 58.80.0.25 001565f429a4", "yealink", "t56a", "58.80.0.25", "001565f429a4"),
    ("W52P 25.30.0.2 00:15:65:4a:a9:37", "yealink", "w52p", "25.30.0.2", "0015654aa937"),
    ("VP530P 23.70.0.40 00:15:65:4a:a9:37", "yealink", "vp530", "23.70.0.40", "0015654aa937"),
    ("yealink SIP-T22P 7.61.0.80 00:15:65:00:00:01", "yealink", "t22p", "7.61.0.80", "001565000001"),
    ("Yealink AX83H 180.85.0.1 00:15:65:4a:a9:37", "yealink", "ax83h", "180.85.0.1", "0015654aa937"),
    ("FileTransport PolycomVVX-VVX_400-UA/4.1.4.7430 Type/Application", "polycom", "vvx400", "4.1.4.7430", ""),
    ("FileTransport PolycomSoundPointIP-SPIP_335-UA/4.0.3.7562 Type/Application", "polycom", "335", "4.0.3.7562", ""),
    ("FileTransport PolycomSoundStationIP-SSIP_5000-UA/4.0.3.7562 (SN:001565000000) Type/Application", "polycom", "5000", "4.0.3.7562", None),
    ("Cisco/SPA504G-7.4.9c (001565000000)(CCQ162306EA)", "cisco", "504g", "7.4.9c", "001565000000"),
    ("Linksys/SPA-942-6.1.5(a) (88019FA42805)", "cisco", "942", "6.1.5(a)", ""),
    ("Cisco-CP-7832-3PCC/11.0.1 (00562b043615)", "cisco", "7832", "11.0.1", "00562b043615"),
    ("Cisco/ATA191-MPP-11-1-0-MSR4 (FCH2443D9R4)", "cisco", "ata191", None, ""),
    ("Grandstream Model HW GXP2135 SW 1.0.7.97 DevId 000b828aa872", "grandstream", "gxp2135", "1.0.7.97", "000b828aa872"),
    ("Grandstream Model HW HT801 V1.1A SW 1.0.17.5 DevId c074ad273a10", "grandstream", "ht801", "1.0.17.5", "c074ad273a10"),
    ("Grandstream Model HW HT801  V1.1A SW 1.0.17.5 DevId c074ad273a10", "grandstream", "ht801", "1.0.17.5", "c074ad273a10"),
    ("Grandstream GXP2000 (gxp2000e.bin:1.2.5.3/boot55e.bin:1.1.6.9) DevId 000b822726c8", "grandstream", "", "1.2.5.3", "000b822726c8"),
    ("Mozilla/4.0 (compatible; snomD785-SIP 10.1.169.16 2010.12-00001-gd311851f1 (Feb 25 2019 - 14:19:43) 00041396D9B4 SXM:0 UXM:0 UXMC:0)", "snom", "d785", "10.1.169.16", "00041396d9b4"),
    ("Mozilla/4.0 (compatible; Snom M900 05.20.0001 000413b60680)", "snom", "m900", "05.20.0001", "000413b60680"),
    ("Mozilla/4.0 (compatible; snom710-SIP 8.7.3.8 1.1.5-IFX-05.01.12)", "snom", "710", "8.7.3.8", ""),
    ("Aastra6731i MAC:00-08-5D-29-4C-6B V:3.3.1.4365-SIP", "aastra", "6731i", "3.3.1.4365", "00085d294c6b"),
    ("Mitel6940 MAC:14-00-E9-29-4C-6B V:6.4.0.4006-SIP", "mitel", "6940", "6.4.0.4006", "1400e9294c6b"),
    ("Fanvil X5U-V2 2.12.1 0c3800000000", "fanvil", "x5u-v2", "2.12.1", "0c3800000000"),
    ("Htek UC926 2.0.4.2 00:1f:c1:00:00:01", "htek", "uc926", "2.0.4.2", "001fc1000001"),
    ("Vesa VCS754", "vtech", "vcs754", "", ""),
    ("Panasonic_KX-UT113/01.133 (0080f0c8c381)", "panasonic", "kx-ut113", "01.133", "0080f0c8c381"),
    ("N510 IP PRO/42.258.00.000.000;7C2F806257D7", "gigaset", "n510ippro", "42.258.00.000.000", "7c2f806257d7"),
    ("Gigaset N870 IP PRO/83.V2.11.0+build.1;7C2F80E0D605", "gigaset", "n870ippro", None, "7c2f80e0d605"),
    ("AUDC-IPPhone/2.2.8.61 (440HDG-Rev0; 00908F602AAC)", "audiocodes", "440hd", "2.2.8.61", "00908f602aac"),
    ("ALE M3-CE 2.11.01.1604 3c28a620089e", "alcatel", "m3", "2.11.01.1604", "3c28a620089e"),
    ("Flyingvoice FIP13G V0.6.24 00:21:F2:22:AE:F1", "flyingvoice", "fip13g", "0.6.24", "0021f222aef1"),
    ("Mozilla/4.0 (compatible; MSIE 6.0) AVAYA/J179-4.1.3.0.6 (MAC:c81fea83e85a)", "avaya", "j179", "4.1.3.0.6", "c81fea83e85a"),
    ("Linphone/3.12.0 (belle-sip/1.6.3)", "linphone", "", None, ""),
]  # fmt: skip
"""User-Agent, brand, model as people name it, firmware, MAC address; None: whatever it makes of it."""


@pytest.mark.parametrize(
    ("agent", "brand", "model", "firmware", "mac"), AGENTS, ids=[a[0][:40] for a in AGENTS]
)
def test_an_agent_names_model_firmware_and_mac(agent, brand, model, firmware, mac):
    seen = WHO.agent(agent)
    assert seen is not None
    assert seen.brand == CATALOGUE.brand(brand)
    if model:
        found = CATALOGUE.resolve(brand, model)
        assert found is not None
        assert seen.model == found.id
        assert seen.family == found.family
        assert WHO.mismatch(found.id, agent) is None
        other = next(
            m for f in CATALOGUE.families.values() for m in f.models.values() if m.brand != found.brand
        )
        said = WHO.mismatch(other.id, agent)
        assert said is not None
        assert said.model == found.id
    assert firmware is None or seen.firmware == firmware
    assert mac is None or seen.mac == mac


@pytest.mark.parametrize(
    "agent", ["", "curl/8.1", "Mozilla/5.0 (X11; Linux x86_64)", "python-requests/2", "x" * 5000]
)
def test_nobody_is_recognised_in_these(agent):
    assert WHO.agent(agent) is None
    assert WHO.mismatch("t46", agent) is None


@given(st.text(max_size=300))
def test_any_text_is_an_agent_and_a_name(text):
    WHO.agent(text)
    WHO.file(text)


MAC = "0015654aa937"
FILES = [
    (f"{MAC}.boot", "yealink/t4x", MAC), ("y000000000028.cfg", "yealink/t4x", ""), (f"{MAC}-phone.cfg", "polycom/vvx", MAC),
    ("000000000000.cfg", "polycom/vvx", ""), ("000000000000-directory.xml", "polycom/vvx", ""), (f"cfg{MAC}.xml", "grandstream/", MAC),
    (f"cfg{MAC}.xml", "htek/", MAC), (f"{MAC.upper()}.cfg", "mitel/", MAC), (f"snomD785-{MAC.upper()}.htm", "snom/", MAC),
    (f"spa{MAC}.cfg", "cisco/", MAC), (f"SEP{MAC.upper()}.cnf.xml", "cisco/", MAC), (f"Config{MAC.upper()}.cfg", "panasonic/", MAC),
    (f"config.{MAC}.xml", "alcatel/", MAC), (f"algom{MAC.upper()}.conf", "algo/", MAC), (f"VCS754_{MAC}.cfg", "vtech/", MAC),
    (f"{MAC}.xml", "gigaset/", MAC),
]  # fmt: skip


@pytest.mark.parametrize(("name", "family", "mac"), FILES)
def test_a_name_says_whose_phones_ask_for_it(name, family, mac):
    families, found = WHO.file(name)
    assert any(one.startswith(family) for one in families)
    assert found == mac


def test_zeros_are_no_phone():
    families, mac = WHO.file("000000000000.cfg")
    assert "polycom/vvx" in families
    assert "yealink/t4x" not in families
    assert mac == ""


def test_every_pattern_of_an_agent_names_its_groups():
    for family in CATALOGUE.families.values():
        for pattern in family.spec.user_agents:
            assert "(?P<" in pattern or family.spec.brand in ("linphone", "mocet"), (family.id, pattern)
