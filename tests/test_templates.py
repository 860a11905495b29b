"""Every model's files: goldens, every field mapped, nothing injected, names known, common files harmless."""

import os
import re
import subprocess
from collections import Counter
from functools import lru_cache
from pathlib import Path

import pytest

from kazoo_provisioner.catalogue.fit import admit, fit
from kazoo_provisioner.catalogue.load import load
from kazoo_provisioner.catalogue.models import Brand, Family, Model
from kazoo_provisioner.model import text
from kazoo_provisioner.model.phone import Contact, Parameter, Phone, Phonebook, Server
from kazoo_provisioner.render import samples as phones
from kazoo_provisioner.render.check import parse, problems
from kazoo_provisioner.render.engine import File, Renderer
from kazoo_provisioner.render.formats import SYNTAXES, Pairs
from tests.support.changes import IDENTITY, base, changes, unproxied

CATALOGUE = load()
RENDERER = Renderer(CATALOGUE)
GOLDEN = Path(__file__).parent / "golden"
NAMES = Path(__file__).resolve().parents[2] / "shared" / "vendor-names" / "check"
MODELS = [model for family in CATALOGUE.families.values() for model in family.models.values()]
FAMILIES = list(CATALOGUE.families.values())

by_model = pytest.mark.parametrize("model", MODELS, ids=lambda m: f"{m.brand}-{m.family}-{m.id}")
by_family = pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f.id.replace("/", "-"))


def parsed(phone: Phone, model: Model) -> dict[str, Pairs]:
    family = CATALOGUE.family_of(model)
    return {file.name: parse(family, file) for file in RENDERER.phone_files(fit(phone, model)[0], model)}


def signature(model: Model) -> tuple[object, ...]:
    """Models with one signature differ in their name and file code alone."""
    data = {k: v for k, v in model.vars.items() if k != "code"}
    return (
        model.lines,
        model.keys,
        model.feature_keys,
        model.modules,
        model.module_keys,
        model.codecs,
        *sorted(data.items()),
    )


@lru_cache
def representatives() -> tuple[Model, ...]:
    seen: dict[tuple[object, ...], Model] = {}
    for model in MODELS:
        seen.setdefault((model.brand, model.family, signature(model)), model)
    return tuple(seen.values())


def check_golden(folder: Path, files: dict[str, bytes]) -> None:
    if os.environ.get("UPDATE_GOLDEN"):
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.iterdir():
            old.unlink()
        for name, data in files.items():
            (folder / name).write_bytes(data)
    assert folder.is_dir(), f"{folder}: no golden files; make golden writes them"
    assert sorted(p.name for p in folder.iterdir()) == sorted(files)
    for name, data in files.items():
        assert (folder / name).read_text() == data.decode(), f"{folder / name} differs; make golden"


def golden_cases() -> list[tuple[Model, str]]:
    """Every distinct output; a switched-off line and no line at all once for each family."""
    cases, families = [], set()
    for model in representatives():
        first = (model.brand, model.family) not in families
        families.add((model.brand, model.family))
        cases += [(model, sample) for sample in phones.SAMPLES if first or sample in ("one", "full")]
    return cases


@pytest.mark.parametrize(
    ("model", "sample"),
    golden_cases(),
    ids=lambda x: x if isinstance(x, str) else f"{x.brand}-{x.family}-{x.id}",
)
def test_golden(model: Model, sample: str) -> None:
    files = RENDERER.phone_files(phones.SAMPLES[sample](model), model)
    folder = GOLDEN / model.brand / model.family / f"{model.id}-{sample}"
    check_golden(folder, {file.name: file.data for file in files})


def shared(owner: Family | Brand) -> list[File]:
    """The files that no one phone owns."""
    return RENDERER.common_files(owner) + RENDERER.account_files(owner, phones.PHONEBOOK)


@by_family
def test_golden_common(family: Family) -> None:
    files = shared(family)
    if not files:
        return
    check_golden(GOLDEN / family.spec.brand / family.spec.family / "common", {f.name: f.data for f in files})


@pytest.mark.parametrize("brand", CATALOGUE.brands.values(), ids=lambda b: b.id)
def test_golden_of_a_brand(brand: Brand) -> None:
    files = RENDERER.common_files(brand) + RENDERER.account_files(brand, phones.PHONEBOOK)
    if files:
        check_golden(GOLDEN / brand.id / "brand" / "common", {f.name: f.data for f in files})


def test_golden_has_nothing_else() -> None:
    expected = {GOLDEN / m.brand / m.family / f"{m.id}-{s}" for m, s in golden_cases()}
    expected |= {GOLDEN / f.spec.brand / f.spec.family / "common" for f in FAMILIES if shared(f)}
    expected |= {GOLDEN / b.id / "brand" / "common" for b in CATALOGUE.brands.values() if shared(b)}
    assert {p for p in GOLDEN.glob("*/*/*") if p.is_dir()} == expected


@by_family
def test_a_family_says_what_it_rests_on(family: Family) -> None:
    """Who confirms it, what makes its phones look again, and what a tenant may not set."""
    spec = family.spec
    assert spec.guides
    assert spec.resync or "resync" in spec.cannot
    for model in family.models.values():
        assert model.sources, f"{model.id}: say where its counts come from"


SECOND_HAND = re.compile(
    r"(wazo|fusionpbx|fspbx|tancredi|sipxecs|provisioner|elastix|freepbx|general knowledge|from memory).*|.*second.?hand.*",
    re.IGNORECASE,
)


@by_model
def test_who_is_sure_names_the_makers_source(model: Model) -> None:
    """`models --count` says how many counts a maker's own source confirms: other projects are none."""
    assert not model.sure or any(not SECOND_HAND.fullmatch(source) for source in model.sources)


KEPT = {
    "user": "qquserqq", "auth": "qqauthqq", "sip password": "qqpasswordqq", "realm": "qqrealmqq.example.com",
    "registrar": "qqregistrarqq.example.com", "proxy": "qqproxyqq.example.com", "url": "http://qqurlqq.example.com/p/a/",
    "admin": "qqadminqq", "user's": "qqlocalqq", "provisioning user": "qqprovuserqq", "provisioning password": "qqprovpasswordqq",
    "firmware": "http://qqfirmwareqq.example.com/fw.rom",
}  # fmt: skip
"""What a tenant's free setting must not reach, in words that can be found again."""


@by_family
def test_what_a_tenant_must_not_reach_is_guarded(family: Family) -> None:
    """Every parameter that carries an address, a name, a password, or a URL of ours is one that operators alone may set."""
    if not family.spec.parameter:
        return
    model = one_of(family)
    line = phones.line(
        1, username=KEPT["user"], auth_name=KEPT["auth"], password=KEPT["sip password"], realm=KEPT["realm"],
        registrars=(Server(KEPT["registrar"]),), outbound_proxies=(Server(KEPT["proxy"]),),
    )  # fmt: skip
    phone = phones.phone(
        (line,), provisioning_url=KEPT["url"], admin_password=KEPT["admin"], user_password=KEPT["user's"],
        provisioning_username=KEPT["provisioning user"], provisioning_password=KEPT["provisioning password"],
        firmware_url=KEPT["firmware"], firmware_version="1",
    )  # fmt: skip
    before, _, rest = family.spec.parameter.partition("{name}")
    between, _, _ = rest.partition("{value}")
    form = re.compile(
        rf"{re.escape(before)}(?P<name>{family.spec.parameter_name}){re.escape(between.replace('{name}', ''))}"
        r"(?P<value>[^\n<]*qq[a-z]+qq)"
    )
    found = {
        match["name"]: match["value"][:60]
        for file in RENDERER.phone_files(fit(phone, model)[0], model)
        for match in form.finditer(file.data.decode())
    }
    assert found, "nothing of this is in the file in the form that the family gives"

    def taken(name: str) -> bool:
        free = Parameter(name, "x", "device document")
        return bool(admit(phones.replace(phone, parameters=(free,)), family)[0].parameters)

    open_ = {name: value for name, value in found.items() if taken(name)}
    assert not open_


@by_family
def test_free_settings_reach_the_file(family: Family) -> None:
    """A parameter that our templates don't know is in the file; one that they write is ours unless overridden."""
    if not family.spec.parameter:
        assert "parameters" in family.spec.cannot
        return
    model = one_of(family)
    names = (
        "KazooTest",
        "P99999",
        "kazoo test",
        "kazoo.test.name",
        "KAZOO_TEST",
        "kazootest",
        "account.99.kazoo",
    )
    name = next(n for n in names if re.fullmatch(family.spec.parameter_name, n))
    free = Parameter(name, "v4lu3", "settings default", trusted=True)
    files, became = RENDERER.with_parameters(phones.replace(phones.one(model), parameters=(free,)), model)
    assert became == {name: "added"}
    assert all(file.data.count(b"v4lu3") <= 1 for file in files)
    assert any(b"v4lu3" in file.data for file in files)
    before = {f.name: parse(family, f) for f in RENDERER.phone_files(phones.one(model), model)}
    for file in files:
        values = Counter(value for _, value in parse(family, file))
        more = set(values - Counter(value for _, value in before[file.name]))
        # Besides the value: what the form itself holds, such as the name as an attribute.
        assert all(value in ("v4lu3", name) or value in family.spec.parameter for value in more), more


def test_file_names_are_unique_over_all_families() -> None:
    """A common or account file's name means one file, whichever family asks."""
    seen: dict[str, bytes] = {}
    for owner in CATALOGUE.owners:
        for file in shared(owner):
            assert seen.setdefault(file.name.lower(), file.data) == file.data, file.name


def test_check_finds_nothing_wrong() -> None:
    """Every model, four samples: well-formed, no parameter twice, what is required is there."""
    assert problems(RENDERER) == []


@by_model
def test_every_field_changes_the_output(model: Model) -> None:
    """Change one field at a time; where nothing moves, family.yaml must say that the phones cannot."""
    family = CATALOGUE.family_of(model)
    start, plain = base(model), unproxied(base(model))
    before, plain_before = parsed(start, model), parsed(plain, model)
    silent = []
    for field, what, change in changes(model):
        if field in IDENTITY:
            continue
        if field.startswith("line.registrars"):
            same = parsed(change(plain), model) == plain_before
        else:
            same = parsed(change(start), model) == before
        declared = [
            name for name, c in family.spec.cannot.items()
            if (field == name or field.startswith(f"{name}.")) and (not c.models or model.id in c.models)
        ]  # fmt: skip
        if same and not declared:
            silent.append(f"{field} ({what})")
    assert not silent


@by_model
def test_key_kinds_differ(model: Model) -> None:
    """Where a model has keys, each kind is something else than none."""
    if not model.all_keys:
        return
    number = model.all_keys
    none = phones.phone((phones.line(1),), combo_keys=(phones.Key(number, "none"),))
    before = parsed(none, model)
    for kind in ("line", "presence", "speed_dial", "parking", "personal_parking", "voicemail"):
        key = phones.Key(number, kind, "" if kind == "line" else "1234", "" if kind == "line" else "L")
        assert parsed(phones.replace(none, combo_keys=(key,)), model) != before, kind


@by_family
def test_cannot_names_real_fields(family: Family) -> None:
    known = {field for model in family.models.values() for field, _, _ in changes(model)}
    known |= (
        {"resync", "parameters", "line.registrars.proxied"}
        | {field.rpartition(".")[0] for field in known}
        | {"timezone.dst.start", "timezone.dst.end"}
    )
    assert set(family.spec.cannot) <= known


HOSTILE = {
    "newline": "a\nfeatures.dnd.enable = 1\nb", "cr": "a\rx = 1\rb", "quotes": "a\"b'c", "less": "a<b/><c", "amp": "a&b&lt;",
    "semicolon": "a;b", "hash": "a#b", "nul": "a\x00b", "ls": "a\u2028x = 1", "nel": "a\x85x = 1", "bidi": "\u202ea\u200fb",
    "long": "x" * 10_000, "surrogate": "a\ud800b", "cdata": "]]><x y=\"1\"/>", "pi": "<?xml version='1.0'?>",
    "close": '"/><reg reg.1.auth.password="x', "comment": "--><x/><!--", "jinja": "{{ 7*7 }}{% raw %}", "percent": "%NULL%",
    "equals": "a = b", "bracket": "[section]", "include": "include:config <http://x/>", "emoji": "😀" * 70, "backslash": "a\\n\\",
}  # fmt: skip
MARK = "qqmarkqq"
HA1 = re.compile(r"[0-9a-f]{32}")
"""What the filter `ha1` makes of a line's name, realm and password: other text, another hash."""
STRINGS = ("provisioning_username", "provisioning_password", "line.username", "line.auth_name", "line.password", "line.realm", "line.display_name", "line.label", "line.voicemail",
           "line.pickup", "hotline", "admin_password", "user_password", "combo_keys.value", "combo_keys.label", "language")  # fmt: skip


def lacks_quotes(model: Model) -> bool:
    return '"' in SYNTAXES[CATALOGUE.family_of(model).spec.syntax].lacks


def with_text(phone: Phone, field: str, value: str) -> Phone:
    where, _, name = field.rpartition(".")
    if where == "line":
        return phones.replace(phone, lines=tuple(phones.replace(one, **{name: value}) for one in phone.lines))
    if where == "combo_keys":
        return phones.replace(
            phone, combo_keys=tuple(phones.replace(k, **{name: value}) for k in phone.combo_keys)
        )
    return phones.replace(phone, **{field: value})


def one_of(family: Family) -> Model:
    """A model of a family with keys, if it has any: escaping is the syntax's, and a family's templates are shared."""
    models = list(family.models.values())
    return next((model for model in models if model.all_keys > 4), models[0])


@pytest.mark.parametrize(
    "model", [one_of(family) for family in FAMILIES], ids=lambda m: f"{m.brand}-{m.family}-{m.id}"
)
@pytest.mark.parametrize("hostile", HOSTILE)
def test_nothing_can_be_injected(model: Model, hostile: str) -> None:
    """A hostile value changes the parameters that carry it, and neither adds nor changes another."""
    start = base(model)
    for field in STRINGS:
        raw = f"{MARK}{HOSTILE[hostile]}{MARK}"
        value = text.name(raw, 256)
        if "display" not in field and "label" not in field and '"' in value and lacks_quotes(model):
            continue  # such a syntax refuses it: tests/render/test_formats.py
        if not text.is_clean(raw) and (start.combo_keys or "combo_keys" not in field):
            with pytest.raises(text.UnusableValueError):
                with_text(start, field, raw)
            with pytest.raises(text.UnusableValueError):
                text.exact(raw, field)
        before, after = (parsed(with_text(start, field, v), model) for v in (MARK, value))
        assert before.keys() == after.keys()
        for name in before:
            assert [n for n, _ in before[name]] == [n for n, _ in after[name]], field
            moved = [(a, b) for a, b in zip(before[name], after[name], strict=True) if a != b]
            assert all(MARK in a[1] or HA1.fullmatch(a[1]) for a, _ in moved), (field, moved)


@by_family
@pytest.mark.parametrize("hostile", HOSTILE)
def test_nothing_can_be_injected_into_a_phonebook(family: Family, hostile: str) -> None:
    value = text.name(HOSTILE[hostile])
    shapes = []
    for name in (MARK, f"{MARK}{value}"[:64]):
        book = Phonebook(phones.ACCOUNT, name, (Contact(name, "1001"), Contact("Last", "1002")))
        shapes.append([[n for n, _ in parse(family, file)] for file in RENDERER.account_files(family, book)])
    assert shapes[0] == shapes[1]


@by_family
def test_common_and_account_files_hold_no_secret(family: Family) -> None:
    for file in RENDERER.common_files(family) + RENDERER.account_files(family, phones.PHONEBOOK):
        assert not file.sensitive
        for name, value in parse(family, file):
            assert not (
                value and re.search(r"(password|passwd|secret|aes_key|\bkey\b)", name, re.IGNORECASE)
            ), name


@by_model
def test_secrets_are_in_sensitive_files_only(model: Model) -> None:
    for file in RENDERER.phone_files(phones.full(model), model):
        if b"Secret" in file.data:
            assert file.sensitive, file.name


@by_family
def test_names_are_known_to_the_vendor(family: Family) -> None:
    """Against the lists of names where they are present; what they lack is documented, with the guide."""
    if not NAMES.exists():
        pytest.skip("the lists of vendors' parameter names are not here")
    folder = GOLDEN / family.spec.brand / family.spec.family
    files = [
        p
        for p in sorted(folder.glob("*/*"))
        if not any(word in p.name for word in ("phonebook", "directory", ".boot"))
        and not p.parent.name.endswith("-hostile")
    ]
    which = family.spec.names or family.spec.brand
    if not (NAMES.parent / f"{which}.txt").exists():
        assert family.spec.guides, "no list of names: a guide must confirm them"
        return
    run = subprocess.run([NAMES, which, *files], capture_output=True, text=True, check=False)
    assert run.returncode in (0, 1), run.stderr
    unknown = {line.strip() for line in run.stdout.splitlines() if line.startswith("  ")}
    assert unknown <= set(family.spec.documented)
