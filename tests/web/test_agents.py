"""User-Agents of every vendor: their MAC address and firmware, and nothing else taken for one."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kazoo_provisioner.web.agents import firmware_of_agent, mac_of_agent

MAC = "0015654aa937"

AGENTS = [
    # Yealink
    ("Yealink SIP-T46G 28.72.0.1 00:15:65:4a:a9:37", MAC, "28.72.0.1"),
    ("Yealink SIP-T56A 58.80.0.25 0015654aa937", MAC, "58.80.0.25"),
    ("yealink SIP-T22P 7.61.0.80 00:15:65:4A:A9:37", MAC, "7.61.0.80"),
    ("W52P 25.30.0.2 00:15:65:4a:a9:37", MAC, "25.30.0.2"),
    ("Yealink AX83H 180.86.0.10 80:5e:c0:01:02:03", "805ec0010203", "180.86.0.10"),
    # Polycom
    ("FileTransport PolycomVVX-VVX_400-UA/4.1.4.7430 Type/Application", "", "4.1.4.7430"),
    ("FileTransport PolycomVVX-VVX_410-UA/5.9.5.0614 Type/Updater", "", "5.9.5.0614"),
    ("FileTransport PolycomSoundPointIP-SPIP_335-UA/4.0.3.7562", "", "4.0.3.7562"),
    ("FileTransport PolycomSoundStationIP-SSIP_5000-UA/4.0.3.7562 (SN:001565000000) Type/Application", "", "4.0.3.7562"),
    # Cisco, Linksys
    ("Cisco/SPA504G-7.4.9c (0015654AA937)(CCQ162306EA)", MAC, "7.4.9c"),
    ("Cisco/SPA525G-7.5.5 (CBT1434034C)", "", "7.5.5"),
    ("Linksys/SPA-942-6.1.5(a) (88019FA42805)", "", "6.1.5"),
    ("LINKSYS/SPA-921-5.1.8 (4MJ00HC02158)", "", "5.1.8"),
    ("Sipura/SPA2002-3.1.13 (88019FA42805)", "", "3.1.13"),
    ("Cisco-CP-7832-3PCC/11.0.1 (00562b043615)", "00562b043615", "11.0.1"),
    ("Cisco/ATA191-MPP-11-1-0-MSR4 (FCH2443D9R4)", "", "11-1-0-MSR4"),
    # Grandstream
    ("Grandstream Model HW GXP2135 SW 1.0.7.97 DevId 000b828aa872", "000b828aa872", "1.0.7.97"),
    ("Grandstream Model HW HT801  V1.1A SW 1.0.17.5 DevId c074ad273a10", "c074ad273a10", "1.0.17.5"),
    ("Grandstream GXP2000 (gxp2000e.bin:1.2.5.3/boot55e.bin:1.1.6.9) DevId 000b822726c8", "000b822726c8", "1.2.5.3"),
    # Snom
    ("Mozilla/4.0 (compatible; snomD785-SIP 10.1.169.16 2010.12-00001-gd311851f1 (Feb 25 2019 - 14:19:43) 00041396D9B4 SXM:0 UXM:0 UXMC:0)", "00041396d9b4", "10.1.169.16"),
    ("Mozilla/4.0 (compatible; snom710-SIP 8.7.3.8 1.1.5-IFX-05.01.12)", "", "8.7.3.8"),
    ("Mozilla/4.0 (compatible; Snom M900 05.20.0001 000413b60680)", "000413b60680", "05.20.0001"),
    # Aastra, Mitel
    ("Aastra6731i MAC:00-08-5D-29-4C-6B V:3.3.1.4365-SIP", "00085d294c6b", "3.3.1.4365"),
    ("Mitel6940 MAC:14-00-E9-29-4C-6B V:6.4.0.4006-SIP", "1400e9294c6b", "6.4.0.4006"),
    # Fanvil, Htek, Flyingvoice, Escene
    ("Fanvil X5U-V2 2.12.1 0c3800000001", "0c3800000001", "2.12.1"),
    ("Htek UC926 2.0.4.2 00:1f:c1:00:00:00", "001fc1000000", "2.0.4.2"),
    ("Flyingvoice FIP13G V0.6.24 00:21:F2:22:AE:F1", "0021f222aef1", "0.6.24"),
    ("ES320VN2 v4.0", "", "4.0"),
    # Panasonic, Gigaset, AudioCodes, Alcatel-Lucent
    ("Panasonic_KX-UT113/01.133 (0080f0c8c381)", "0080f0c8c381", "01.133"),
    ("N510 IP PRO/42.258.00.000.000;7C2F806257D7", "7c2f806257d7", "42.258.00.000.000"),
    ("Gigaset N870 IP PRO/83.V2.11.0+build.a546b91;7C2F80E0D605", "7c2f80e0d605", "83.V2.11.0+build.a546b91"),
    ("AUDC-IPPhone/2.2.8.61 (440HDG-Rev0; 00908F602AAC)", "00908f602aac", "2.2.8.61"),
    ("ALE M3-CE 2.11.01.1604 3c28a620089e", "3c28a620089e", "2.11.01.1604"),
    ("Alcatel IP Touch 4028/2.01.20", "", "2.01.20"),
    # Avaya, Patton, Thomson, VTech
    ("Mozilla/4.0 (compatible; MSIE 6.0) AVAYA/J179-4.1.3.0.6 (MAC:c81fea83e85a)", "c81fea83e85a", "4.1.3.0.6"),
    ("SmartNode (Model:SN4112/JS/EUI; Serial:00A0BA08933C; Version:x)", "00a0ba08933c", ""),
    ("THOMSON ST2030 hw5 fw2.72 00-14-7F-E1-47-B3", "00147fe147b3", "2.72"),
    ("Vesa VCS754", "", ""),
    # No phones
    ("", "", ""),
    ("curl/8.5.0", "", "8.5.0"),
    ("Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0", "", "5.0"),
]  # fmt: skip


@pytest.mark.parametrize(("agent", "mac", "firmware"), AGENTS)
def test_what_phones_say(agent: str, mac: str, firmware: str) -> None:
    assert (mac_of_agent(agent), firmware_of_agent(agent)) == (mac, firmware)


@pytest.mark.parametrize(
    "agent",
    [
        "x gd311851f1", "x CCQ162306EA", "x FCH2443D9R4", "x g0015654aa937", "x 0015654aa937f", "x 00:15:65:4a:a9:37:01",
        "x 01:00:15:65:4a:a9:37", "x 00:15:65-4a-a9-37", "x 0015:65:4a:a9:37", "x 00-15:65-4a:a9-37", "x 0015.654a.a937",
        "x 550e8400-e29b-41d4-a716-446655440000", "x (SN:0015654aa937)", "x 000000000000", "x ff:ff:ff:ff:ff:ff",
        "x 1.2.3.0015654aa937", "x 0015654aa937.5", "x 0015654aa93", "x \u0660\u0660\u0661\u0665\u0666\u0665\u0664aa937",
    ],
)  # fmt: skip
def test_what_is_no_mac_address(agent: str) -> None:
    assert mac_of_agent(agent) == ""


def test_only_the_beginning_is_read() -> None:
    assert mac_of_agent(" " * 244 + MAC) == MAC
    assert mac_of_agent(" " * 245 + MAC) == ""
    assert firmware_of_agent(" " * 260 + "1.2.3") == ""
    assert firmware_of_agent("x/1." + "9" * 1000) == "1." + "9" * 30


PIECES = [
    "0015654aa937",
    "00:15:65:4a:a9:37",
    "MAC:",
    "SN:",
    "(",
    ")",
    " ",
    ";",
    "-",
    ":",
    ".",
    "1.2",
    "SW ",
    "v",
    "Linksys",
]


@given(
    st.one_of(
        st.text(),
        st.lists(st.sampled_from(PIECES)).map("".join),
        st.binary().map(lambda b: b.decode("latin-1")),
    )
)
def test_any_agent_is_read(agent: str) -> None:
    assert re.fullmatch(r"(?:[0-9a-f]{12})?", mac_of_agent(agent))
    assert re.fullmatch(r"(?:[0-9a-zA-Z.+_-]{1,32})?", firmware_of_agent(agent))
