"""Free settings: which layer and which document counts, and what is no parameter."""

import pytest
from hypothesis import given

from kazoo_provisioner.layers import ParameterSettings, PhoneLayer
from kazoo_provisioner.model import parameters
from tests.model.builders import JSON

OF = ("yealink", "yealink/t4x", "yealink/t46")


def built(layers=(), account=None, device=None, of=OF):
    warned = []
    doc = {} if account is None else {"provision": {"parameters": account}}
    provision = {} if device is None else {"parameters": device}
    found = parameters.build(layers, doc, provision, of, lambda code, detail: warned.append((code, detail)))
    return {one.name: one for one in found}, warned


def layer(**of):
    return PhoneLayer(parameters={name.replace("__", "/"): group for name, group in of.items()})


def test_the_later_wins_and_says_where_it_comes_from():
    layers = (("default", layer(yealink={"a": 1, "b": "x"})), ("account z", layer(yealink={"b": "y"})))
    found, warned = built(layers, {"b": "z", "c": True}, {"c": "w", "d": 2.5})
    assert {n: (p.value, p.source, p.trusted) for n, p in found.items()} == {
        "a": ("1", "settings default", True),
        "b": ("z", "account document", False),
        "c": ("w", "device document", False),
        "d": ("2.5", "device document", False),
    }
    assert warned == []


def test_the_more_particular_goes_before_within_a_layer():
    group = layer(
        yealink__t46={"a": "model"}, yealink={"a": "brand"}, yealink__t4x={"a": "family"}, snom={"a": "no"}
    )
    assert built((("default", group),))[0]["a"].value == "model"
    assert built((("default", group),), of=OF[:2])[0]["a"].value == "family"
    assert built((("default", group),), of=("snom",))[0]["a"].value == "no"
    found, _ = built((), {"a": 1, "yealink": {"a": 2}, "yealink/t46": {"a": 3}, "snom": {"a": 4}})
    assert found["a"].value == "3"


def test_what_an_operator_overrides_no_document_changes():
    over = layer(yealink={"a": ParameterSettings("operator", override=True)})
    found, warned = built(
        (("default", over), ("zone x", layer(yealink={"a": "weaker"}))), {"a": "t"}, {"a": None}
    )
    assert (found["a"].value, found["a"].override) == ("operator", True)
    assert [code for code, _ in warned] == ["parameter", "parameter"]


def test_a_document_can_take_away_what_a_weaker_one_set():
    assert built((("default", layer(yealink={"a": 1})),), {"b": 1}, {"a": None, "b": None})[0] == {}


@pytest.mark.parametrize("bad", ["a\nb", "x" * 1025, ["a"], "\u2028", "a\x00"])
def test_a_value_no_file_can_hold_is_left_out(bad):
    found, warned = built((), None, {"a": bad, "b": "fine"})
    assert list(found) == ["b"]
    assert warned
    assert "x" * 100 not in warned[0][1]


def test_there_is_a_limit():
    found, warned = built((), None, {f"n{i}": i for i in range(parameters.LIMIT + 5)})
    assert len(found) == parameters.LIMIT
    assert len(warned) == 1


@given(JSON, JSON)
def test_any_json_is_parameters_or_a_warning(account, device):
    found, _ = built((), account, device)
    for one in found.values():
        assert not one.trusted
        assert not one.override
