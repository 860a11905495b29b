"""Settings: clear errors that never show a value, layers, secrets."""

import copy
import logging
import pickle
import traceback
from pathlib import Path

import msgspec
import pytest
from hypothesis import example, given

from kazoo_provisioner.layers import BUILT_IN, PhoneLayer, PhonesSettings, ServerSettings
from kazoo_provisioner.settings import Settings, SettingsError, load, read_yaml
from kazoo_provisioner.yamlfile import Secret, convert, fingerprint
from tests.model.builders import JSON

ACCOUNT = "account0000000000000000000000001"
PASSWORD = "hunter2-Secret"


def written(tmp_path, text):
    path = tmp_path / "settings.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def refused(tmp_path, text):
    """The error of a file, after making sure that nothing in it, or in what it came from, shows the password."""
    path = written(tmp_path, text)
    with pytest.raises(SettingsError) as caught:
        load(path)
    shown = "".join(traceback.format_exception(caught.value))
    assert PASSWORD not in shown
    message = str(caught.value)
    assert message.startswith(f"{path}:")
    return message.removeprefix(f"{path}:").strip()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("colour: red", "colour: there is no such setting"),
        ("web: {colour: red}", "web.colour: there is no such setting"),
        ("phones: {default: {colour: red}}", "phones.default.colour: there is no such setting"),
        ("phones: {default: {registrars: [{host: a, colour: red}]}}", "phones.default.registrars[0].colour: there is no such setting"),
        ("web: {listen: [a]}\nweb: {listen: [b]}", "line 2: 'web' is given twice"),
        ("phones:\n  default:\n    srv: true\n    srv: false", "line 4: 'srv' is given twice"),
        ("web: [", "line 1: "),
        ("web: {listen: x}", "web.listen: Expected `array`, got `str`"),
        ("source: {poll: fast}", "source.poll: Expected `float`, got `str`"),
        ("source: {poll: 0}", "source.poll: "),
        ("source: {type: couchbase}", "source.type: not one of the values it can have"),
        ("source: {couch: {urls: [couch1:5984]}}", "source.couch.urls: an address begins with http:// or https://"),
        ("source: {couch: {urls: ['http://admin:hunter2@couch1']}}", "source.couch.urls: put user and password into source.couch.user"),
        ("source: {couch: {user: admin}}", "source.couch: give user and password, or neither"),
        ("store: {history: 0}", "store.history: "),
        ("store: {path: 5}", "store.path: must be text, not int"),
        ("log: {level: loud}", "log.level: not one of the values it can have"),
        ("- 1", "Expected `object`, got `array`"),
        ("5: 1", "a key: "),
        ("[a]: 1", "line 1: a key must be text"),
        ("phones: {accounts: {abc: {}}}", "phones: 'abc' is not an account id"),
        (f"phones: {{resellers: {{{ACCOUNT.upper()}: {{}}}}}}", "is not an account id"),
        ("phones: {default: {ntp: []}}", "phones.default.ntp: give at least one host"),
        (f"phones: {{accounts: {{{ACCOUNT}: {{ntp: []}}}}}}", f"phones.accounts.{ACCOUNT}.ntp: give at least one host"),
        ("phones: {zones: {eu: {timezone: Mars/Olympus}}}", "phones.zones.eu.timezone: there is no such zone"),
        ("phones: {default: {timezone: ../../etc/passwd}}", "phones.default.timezone: there is no such zone"),
        ("phones: {default: {timezone: Europe}}", "phones.default.timezone: there is no such zone"),
        ("phones: {default: {ntp: ['a b']}}", "phones.default.ntp[0]: "),
        ("phones: {default: {ntp: [\"a\\n\"]}}", "phones.default.ntp[0]: "),
        ("phones: {default: {public_url: 'ftp://x'}}", "phones.default.public_url: "),
        ("phones: {default: {public_url: \"http://x\\n\"}}", "phones.default.public_url: "),
        ("phones: {default: {public_url: \"http://x\\0y\"}}", "phones.default.public_url: "),
        ("phones: {default: {registrars: [{host: \"a\\n\"}]}}", "phones.default.registrars[0].host: "),
        ("phones: {default: {language: \"de\\n\"}}", "phones.default.language: "),
        ("phones: {default: {registrars: [{host: a, port: 70000}]}}", "phones.default.registrars[0].port: "),
        ("phones: {default: {registrars: [{port: 5060}]}}", "missing required field `host`"),
        ("phones: {default: {time_format: 12}}", "phones.default.time_format: "),
        ("source: {path: 2024-13-45}", "holds a date or number that there cannot be"),
        ("a: !!int abc", "holds a date or number that there cannot be"),
        ("a: !!python/object/apply:os.system [x]", "line 1: "),
        ("a: " + "[" * 5000, "is nested too deeply"),
        ("a: \x01", "is not YAML"),
        ('phones:\n  zones: {"\\ud800": {}}', "line 2: half a character"),
        ('phones: {default: {public_url: "\\udfff"}}', "line 1: half a character"),
    ],
)  # fmt: skip
def test_an_error_names_the_file_the_setting_and_what_is_wrong(tmp_path, text, says):
    assert says in refused(tmp_path, text)


@pytest.mark.parametrize(
    "text",
    [
        "web: {listen: %s}", "web: {serve_without_account: %s}", "source: {poll: %s}", "source: {type: %s}", "store: {history: %s}",
        "log: {level: %s}", "log: %s", "phones: %s", "phones: {default: %s}", "phones: {zones: %s}", "phones: {accounts: {x: %s}}",
        "phones: {default: {transport: %s}}", "phones: {default: {poll_interval: %s}}", "phones: {default: {ntp: %s}}",
        "phones: {default: {ntp: ['%s x']}}", "phones: {default: {public_url: %s}}", "phones: {default: {registrars: [%s]}}",
        "phones: {default: {registrars: [{host: '%s x'}]}}", "phones: {default: {registrars: [{host: a, transport: %s}]}}",
        "phones: {default: {language: %s}}", "phones: {default: {date_format: %s}}", "phones: {default: {timezone: %s}}",
        "phones: {default: {admin_password: \"%s\\n\"}}", "phones: {default: {admin_password: [%s]}}",
        "phones: {default: {admin_password: *%s}}", "phones: {default: {admin_password: !%s x}}", "phones: {default: {admin_password: '%s}}",
        "phones: {default: {admin_password: !!int %s}}", "phones: {default: {admin_password: \"\\%s\"}}", "phones: {default: {admin_password: !<%s> x}}",
        "phones: {default: {admin_password: %s: x}}", "phones:\n  default:\n  admin_password: %s\n x", "%%TAG %s\n---\na: 1", "%s", "[%s]",
        "phones: {default: {admin_password: |%s\n}}", "phones: {default: {admin_password: !!binary %s}}", "phones: {default: {admin_password: !%s!x y}}",
    ],
)  # fmt: skip
def test_a_password_in_a_wrong_place_is_not_shown(tmp_path, text):
    refused(tmp_path, text.replace("%s", PASSWORD).replace("%%", "%"))


def test_a_password_that_was_typed_as_a_number(tmp_path):
    says = refused(tmp_path, "phones: {default: {admin_password: 83746582}}")
    assert says == "line 1: phones.default.admin_password: must be text, not int"


def test_a_file_that_cannot_be_read(tmp_path):
    with pytest.raises(SettingsError, match=r"gone\.yaml: cannot be read: No such file"):
        load(tmp_path / "gone.yaml")
    with pytest.raises(SettingsError, match="cannot be read: Is a directory"):
        load(tmp_path)
    path = tmp_path / "latin.yaml"
    path.write_bytes("a: \u00e9".encode("latin-1"))
    with pytest.raises(SettingsError, match="is not UTF-8 text"):
        load(path)


def test_an_empty_file_is_all_defaults(tmp_path):
    made = load(written(tmp_path, "# nothing\n"))
    assert made.phones == PhonesSettings()
    assert made.templates.folders == ()
    assert made.store.path == tmp_path / "var/store"


def test_relative_paths_are_relative_to_the_files_folder(tmp_path, monkeypatch):
    (tmp_path / "etc").mkdir()
    text = "source: {path: dbs}\nstore: {path: ../store}\ntemplates: {folders: [{path: own}]}\n"
    path = written(tmp_path / "etc", text)
    monkeypatch.chdir(tmp_path)
    for named in (path, path.relative_to(tmp_path)):
        made = load(named)
        assert made.source.path == tmp_path / "etc" / "dbs"
        assert made.store.path == tmp_path / "etc" / ".." / "store"
        assert [one.path for one in made.templates.folders] == [tmp_path / "etc" / "own"]
    made = load(
        written(tmp_path, f"source: {{path: {tmp_path}/x}}\ntemplates: {{folders: [{{path: /y}}]}}\n")
    )
    assert made.source.path == tmp_path / "x"
    assert [str(one.path) for one in made.templates.folders] == ["/y"]


def test_everything_that_can_be_set(tmp_path):
    made = load(
        written(
            tmp_path,
            f"""
phones:
  default: {{admin_password: {PASSWORD}, ntp: [a.example.com, "::1"], timezone: Europe/Berlin, time_format: "24"}}
  zones: {{eu: {{registrars: [{{host: sip.example.com, port: 5061, transport: tls}}]}}}}
  resellers: {{{ACCOUNT}: {{language: de_DE}}}}
  accounts: {{{ACCOUNT}: {{public_url: "https://white.example.com:8443/a/p?x=1", user_password: "ü"}}}}
""",
        )
    ).phones
    assert made.default.admin_password == Secret(PASSWORD)
    layer = made.layer("eu", ACCOUNT, ACCOUNT)
    assert layer.registrars == (ServerSettings("sip.example.com", 5061, "tls"),)
    assert (layer.language, layer.timezone, layer.time_format) == ("de_DE", "Europe/Berlin", "24")
    assert layer.user_password == Secret("ü")


# --- layers


def test_layers_merge_field_by_field():
    phones = PhonesSettings(
        default=PhoneLayer(expires=100, srv=True, registrars=(ServerSettings("a"),)),
        zones={"eu": PhoneLayer(srv=False, registrars=())},
        accounts={ACCOUNT: PhoneLayer(nat_keepalive=0)},
    )
    made = phones.layer("eu", None, ACCOUNT)
    assert (made.expires, made.srv, made.registrars, made.nat_keepalive) == (100, False, (), 0), (
        "false, none and 0 are said"
    )
    assert phones.layer(None, None, "x").registrars == (ServerSettings("a"),)
    assert phones.layer("", "", "").srv is True
    assert PhonesSettings().layer("eu", "r", "a") == BUILT_IN


def test_every_field_of_a_layer_has_a_built_in_value():
    assert [f for f in PhoneLayer.__struct_fields__ if getattr(BUILT_IN, f) is None] == []


# --- secrets


def test_a_secret_is_shown_nowhere():
    secret = Secret(PASSWORD)
    layer = PhoneLayer(admin_password=secret)
    shown = [repr(secret), str(secret), f"{secret}", f"{secret!r}", f"{secret!s}", "%s %r" % (secret, secret)]  # noqa: UP031
    shown += [
        repr(layer),
        repr(Settings(phones=PhonesSettings(default=layer))),
        repr([secret]),
        repr({"a": secret}),
    ]
    record = logging.LogRecord("x", 20, "", 0, "%s", (secret,), None)
    shown.append(record.getMessage())
    try:
        _boom(secret)
    except ZeroDivisionError as error:
        shown += traceback.TracebackException.from_exception(error, capture_locals=True).format()
    assert not [text for text in shown if PASSWORD in text]
    assert secret.reveal() == PASSWORD
    with pytest.raises(TypeError):
        format(secret, ">40")
    with pytest.raises(TypeError):
        msgspec.json.encode(layer)
    assert not hasattr(secret, "__dict__")


def _boom(password):
    return 1 / 0 if password else None


def test_secrets_compare_by_what_they_hide():
    assert Secret("a") == Secret("a")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert len({Secret("a"), Secret("a"), Secret("b")}) == 2
    assert copy.deepcopy(Secret("a")) == Secret("a")
    assert pickle.loads(pickle.dumps(Secret("a"))) == Secret("a")


@pytest.mark.parametrize("bad", ["a\nb", "a\x00", "a\u2028b", "\u202ea", "x" * 129])
def test_a_password_no_phone_can_take_is_refused(bad):
    with pytest.raises(SettingsError, match="admin_password: must be printable and at most 128"):
        convert({"admin_password": bad}, PhoneLayer, Path("x"))


def test_a_password_that_is_taken_makes_a_phone():
    from kazoo_provisioner.model.text import is_clean

    for code in range(0x3000):
        try:
            convert({"admin_password": chr(code)}, PhoneLayer, Path("x"))
        except SettingsError:
            continue
        assert is_clean(chr(code)), hex(code)


def test_fingerprints_tell_secrets_apart():
    one, two = (fingerprint(PhoneLayer(admin_password=Secret(s))) for s in "ab")
    assert one != two
    assert one == fingerprint(PhoneLayer(admin_password=Secret("a")))
    assert fingerprint(Settings()) == fingerprint(Settings())


@given(JSON)
@example("\ud800")
def test_any_yaml_data_is_settings_or_a_settings_error(value):
    for kind in (Settings, PhoneLayer, PhonesSettings):
        try:
            convert(value, kind, Path("x.yaml"))
        except SettingsError as error:
            assert str(error).startswith("x.yaml: ")  # noqa: PT017 - both ways are right


def test_yaml_that_holds_itself(tmp_path):
    for text in ("&a [*a]", "web: &a [*a]", "&a {web: *a}", "phones: &a {default: {ntp: [&b [*b]]}}"):
        refused(tmp_path, text)
    assert read_yaml(written(tmp_path, "a: &x [1]\nb: *x\n")) == {"a": [1], "b": [1]}
