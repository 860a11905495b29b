"""Every model that provisioner-v5 has: documents that it left behind name them so."""

import pytest

from kazoo_provisioner.catalogue.load import load

CATALOGUE = load()

V5 = {
    "cisco": {
        "ata18x": "186 188",
        "linksysata": "ag310 pap2t rtp300 spa1001 spa2102 spa3102 spa8000 wrp400 wrtp54g wrt54g2",
        "sip79x1g": "7940g 7941g 7961g",
        "sip79xx": "7940 7960",
        "spa": "901 921 922 941 942 962",
        "spa5xx": "303 501g 502g 504g 525g 525g2",
    },
    "mocet": {"3xxx": "3062 3092"},
    "polycom": {
        "firmware325": "430",
        "firmware3333": "320 330",
        "ptx151": "ptx151",
        "spipm": "321 331 335 450 550 560 650 670 5000 6000 7000 1500 vvx300 vvx500 vvx600",
        "splm": "301 501 600 601 4000",
        "spom": "300 500",
    },
    "snom": {"7xx": "710 720 760"},
    "yealink": {"t1x": "t18", "t2x": "t20 t22 t26 t28", "t3x": "t32 t38", "t4x": "t42 t46", "wxx": "w52"},
    "audiocodes": {"4xx": "420"},
}
"""By brand and family. The last of `spipm` and `audiocodes` are of its branch v5-dev2."""

KAZOO = [
    "t19",
    "t19p",
    "t21p",
    "t22p",
    "t23p",
    "t26p",
    "t27p",
    "t28p",
    "t29g",
    "t32g",
    "t38g",
    "t41p",
    "t42g",
    "t46g",
    "t48g",
]
"""Names that Kazoo's own sender makes of the models in documents, besides theirs."""

IDS = [
    (brand, model)
    for brand, families in V5.items()
    for models in families.values()
    for model in models.split()
]


def test_the_list_is_whole() -> None:
    assert len(IDS) == 67 + 4  # 67 of v5, three VVX and one AudioCodes of v5-dev2


@pytest.mark.parametrize(("brand", "model"), IDS, ids=lambda x: x)
def test_every_id_of_v5_resolves(brand: str, model: str) -> None:
    found = CATALOGUE.resolve(brand, model)
    assert found is not None
    assert found.brand == brand
    assert CATALOGUE.resolve(brand.upper(), f" {model.upper()}") is found
    if model.isdigit():
        assert CATALOGUE.resolve(brand, int(model)) is found  # Kazoo 4.3 and kazoo-ui make numbers of these


@pytest.mark.parametrize("model", KAZOO)
def test_what_kazoo_makes_of_yealinks_resolves(model: str) -> None:
    assert CATALOGUE.resolve("yealink", model) is not None


@pytest.mark.parametrize("brand", ["yealink", "polycom", "cisco", "grandstream", "obihai", "vtech", "htek"])
def test_the_brands_of_kazoos_key_tables_are_there(brand: str) -> None:
    assert CATALOGUE.brand(brand) == brand


def test_the_size_of_it() -> None:
    models = [model for family in CATALOGUE.families.values() for model in family.models.values()]
    assert len(models) > 405
    assert len(CATALOGUE.brands) > 20
    assert len({model.id for model in models}) == len(models)
