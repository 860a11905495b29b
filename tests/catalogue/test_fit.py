"""A phone cut down to its model, each cut warned of."""

from kazoo_provisioner.catalogue.fit import fit
from kazoo_provisioner.model.phone import Key
from kazoo_provisioner.render import samples
from tests.catalogue.folders import catalogue


def model(tmp_path, **defaults):
    return catalogue(tmp_path, defaults={"lines": 2, "keys": 4, **defaults}).resolve("acme", "x10")


def keys(*numbers, line=1):
    return tuple(Key(n, "parking", f"*3{n}", f"Park {n}", line) for n in numbers)


def test_what_fits_stays_as_it_is(tmp_path):
    phone = samples.phone((samples.line(1, codecs=("PCMU",)),), combo_keys=keys(1, 4))
    assert fit(phone, model(tmp_path)) == (phone, ())


def test_lines_keys_and_codecs_beyond_the_model_are_left_out(tmp_path):
    phone = samples.phone(
        tuple(samples.line(n, codecs=("OPUS", "PCMU", "G722")) for n in (1, 2, 3)),
        combo_keys=keys(1, 4, 5),
        feature_keys=keys(1),
    )
    made, warnings = fit(phone, model(tmp_path))
    assert [line.number for line in made.lines] == [1, 2]
    assert made.lines[0].codecs == ("PCMU", "G722"), "their order is the document's"
    assert [key.number for key in made.combo_keys] == [1, 4]
    assert made.feature_keys == ()
    assert [w.code for w in warnings] == ["lines", "codec", "keys", "keys"], (
        "the same codecs of two lines: once"
    )
    assert "x10" in warnings[0].detail.lower()
    assert "OPUS" in warnings[1].detail


def test_keys_go_on_to_the_modules(tmp_path):
    phone = samples.phone((), combo_keys=keys(4, 5, 24, 25))
    made, _ = fit(phone, model(tmp_path, modules=2, module_keys=10))
    assert [key.number for key in made.combo_keys] == [4, 5, 24]


def test_no_codec_that_the_model_has_is_pcmu(tmp_path):
    made, warnings = fit(samples.phone((samples.line(1, codecs=("G729", "OPUS")),)), model(tmp_path))
    assert made.lines[0].codecs == ("PCMU",)
    assert warnings[0].detail.endswith("PCMU instead")


def test_a_key_of_a_line_that_was_cut_goes_with_it(tmp_path):
    lines = tuple(samples.line(n, codecs=("PCMU",)) for n in (1, 3))
    made, warnings = fit(
        samples.phone(lines, combo_keys=(Key(1, "line"), Key(2, "line", line=3))), model(tmp_path)
    )
    assert made.combo_keys == (Key(1, "line"),)
    assert [w.code for w in warnings] == ["lines"]


def test_fitting_twice_is_fitting_once(tmp_path):
    phone = samples.phone(
        tuple(samples.line(n) for n in (1, 2, 3)), combo_keys=keys(1, 9), feature_keys=keys(2)
    )
    once, _ = fit(phone, model(tmp_path))
    assert fit(once, model(tmp_path)) == (once, ())
