"""The pages against the code, both ways: what one says and the other has not is an error."""

import ast
import json
import re
import shutil
import textwrap
from pathlib import Path
from typing import Any, get_args, get_type_hints

import click
import msgspec
import pytest
import yaml

from kazoo_provisioner import app, cli, layers, settings
from kazoo_provisioner.catalogue.folders import BUNDLED
from kazoo_provisioner.catalogue.load import load
from kazoo_provisioner.catalogue.table import markdown
from kazoo_provisioner.render import samples
from kazoo_provisioner.render.check import problems
from kazoo_provisioner.render.engine import Renderer
from kazoo_provisioner.render.formats import SYNTAXES
from kazoo_provisioner.sources.couch.database import Reason
from kazoo_provisioner.web.metrics import METRICS
from kazoo_provisioner.web.status import Status
from tests.support.code import PACKAGE, functions, logged, problem_codes, reasons, tree, warning_codes
from tests.support.shapes import field_paths

ROOT = Path(__file__).resolve().parents[1]
EXAMPLE = ROOT / "config" / "kazoo-provisioner.yaml"
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("deploy/**/*.md")])

# What the pages say


def section(page: str, heading: str) -> str:
    """The text below a heading, up to the next one of its level."""
    text = (ROOT / page).read_text()
    level = heading.split(" ", 1)[0]
    found = re.search(
        rf"^{re.escape(heading)}\n(.*?)(?=^#{{1,{len(level)}}} |\Z)", text, re.MULTILINE | re.DOTALL
    )
    assert found, f"{page}: no heading {heading!r}"
    return found[1]


def rows(text: str) -> list[list[str]]:
    """Cells of every table row whose first cell is one name in backticks."""
    lines = [line for line in text.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def names(text: str) -> list[str]:
    return [row[0].strip("`") for row in rows(text)]


def no_doubles(found: list[str]) -> set[str]:
    assert len(found) == len(set(found)), sorted(found)
    return set(found)


def test_every_event_is_described() -> None:
    described = no_doubles(names(section("docs/logs.md", "## Events")))
    assert described == set(logged())
    assert len(described) > 20  # or this test reads nothing


def test_events_have_the_levels_and_fields_that_are_described() -> None:
    code = logged()
    for name, level, _, fields, *_ in rows(section("docs/logs.md", "## Events")):
        levels, given = code[name.strip("`")]
        assert set(level.split(" or ")) == levels, name
        assert set(re.findall(r"`(\w+)`", fields)) == given, name


def test_every_reason_is_described() -> None:
    described = set(names(section("docs/logs.md", "## Reasons of a request")))
    assert described == reasons()


def test_every_problem_is_described() -> None:
    assert no_doubles(names(section("docs/logs.md", "## Problems of a phone"))) == problem_codes()


def test_every_warning_is_described() -> None:
    assert no_doubles(names(section("docs/logs.md", "## Warnings of a phone"))) == warning_codes()


def test_every_reason_of_a_whole_read_is_described() -> None:
    described = names(section("docs/operations.md", "### Why a database is read as a whole"))
    assert no_doubles(described) == set(get_args(Reason))


# /status


def status_fields(module: str) -> set[str]:
    """Keys of what a module's `status` returns."""
    (function,) = [f for f in functions(tree(PACKAGE / module)) if f.name == "status"]
    (given,) = [n.value for n in ast.walk(function) if isinstance(n, ast.Return)]
    assert isinstance(given, ast.Dict)
    fields = [key.value for key in given.keys if isinstance(key, ast.Constant)]
    assert len(fields) == len(given.keys), f"{module}: a key that is no constant"
    return no_doubles(fields)


def test_every_field_of_status_is_described() -> None:
    service, _, source = section("docs/operations.md", "## /status").partition("In `source`:")
    assert no_doubles(names(service)) == field_paths(Status)
    no_doubles(names(source))
    of = {"couch": "sources/couch/source.py", "directory": "sources/directory.py"}
    assert {row[1] for row in rows(source)} <= {"both", *of}
    for kind, module in of.items():
        described = {row[0].strip("`") for row in rows(source) if row[1] in ("both", kind)}
        assert described == status_fields(module) | {"at"}, kind  # the writer adds that (sync.run)


def test_every_metric_is_described_with_its_type_and_labels() -> None:
    described = rows(section("docs/operations.md", "## /metrics"))
    no_doubles([row[0] for row in described])
    said = {row[0].strip("`"): (row[1], tuple(re.findall(r"`(\w+)`", row[2]))) for row in described}
    assert said == {name: (kind.type, kind.labels) for name, kind in METRICS.items()}


# Settings


def settings_paths(kind: Any, at: str = "") -> set[str]:
    """Every setting below a struct; layers are entered once, by `phones.default`."""
    found = set()
    for name, hint in get_type_hints(kind).items():
        if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
            found |= settings_paths(hint, f"{at}{name}.")
        else:
            found.add(f"{at}{name}")
    return found


def yaml_paths(value: Any, at: str = "") -> set[str]:
    if not isinstance(value, dict) or not value:
        return {at.removesuffix(".")}
    return {path for name, inner in value.items() for path in yaml_paths(inner, f"{at}{name}.")}


def uncommented(text: str) -> str:
    """The example with its settings that have no default: lines that begin with # alone."""
    return re.sub(r"(?m)^(\s*)#(?=\S)", r"\1", text)


def layers_example() -> dict[str, Any]:
    """The zones, resellers and accounts at the end of the example."""
    text = EXAMPLE.read_text().partition("# The same three")[2].partition("\n")[2]
    found: dict[str, Any] = yaml.safe_load(textwrap.dedent(re.sub(r"(?m)^# ?", "", text)))
    return found


def test_the_example_has_every_setting() -> None:
    assert yaml_paths(yaml.safe_load(uncommented(EXAMPLE.read_text()))) == settings_paths(settings.Settings)


def test_the_defaults_in_the_example_are_true() -> None:
    loaded = settings.load(EXAMPLE)
    plain = settings.Settings()
    base = EXAMPLE.parent
    replace = msgspec.structs.replace
    expected = replace(
        plain,
        source=replace(plain.source, path=base / plain.source.path),
        store=replace(plain.store, path=base / plain.store.path),
        phones=replace(plain.phones, default=replace(layers.BUILT_IN, public_url=None)),
    )
    assert loaded == expected
    for field in set(layers.PhoneLayer.__struct_fields__) - {"public_url"}:
        assert getattr(loaded.phones.default, field) == getattr(layers.BUILT_IN, field), field


def test_the_example_names_no_public_url_but_shows_one(tmp_path: Path) -> None:
    """Who copies it must say how phones reach us, and finds out at once when it was forgotten."""
    with pytest.raises(settings.SettingsError, match=r"phones\.default\.public_url"):
        app.read_settings(EXAMPLE)
    said = tmp_path / "settings.yaml"
    said.write_text(EXAMPLE.read_text().replace("    #public_url:", "    public_url:"))
    assert "example.com" in str(app.read_settings(said).phones.default.public_url)


def test_what_has_no_default_is_none() -> None:
    active = yaml_paths(yaml.safe_load(EXAMPLE.read_text()))
    for path in settings_paths(settings.Settings) - active:
        value: Any = settings.Settings()
        for name in path.split("."):
            value = getattr(value, name)
        assert value is None, path


def test_the_example_of_layers_loads_and_names_every_field_of_a_server(tmp_path: Path) -> None:
    example = layers_example()
    assert set(example) == {"zones", "resellers", "accounts"}
    file = tmp_path / "settings.yaml"
    file.write_text(yaml.safe_dump({"phones": example}))
    loaded = settings.load(file)
    assert loaded.phones.zones
    assert loaded.phones.resellers
    assert loaded.phones.accounts
    servers = [s for zone in example["zones"].values() for s in zone["outbound_proxies"]]
    assert {key for server in servers for key in server} == set(layers.ServerSettings.__struct_fields__)


# Commands, targets, links


def test_every_command_and_option_is_described() -> None:
    readme = (ROOT / "README.md").read_text()
    options: set[str] = set()
    for name, command in cli.main.commands.items():
        if command.hidden:
            continue
        assert f"`kazoo-provisioner {name}" in readme, name
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                options |= set(parameter.opts)
    assert {"--config", "-c", "--out"} <= options
    for option in sorted(options | {"--help", "-h", "--version"}):
        assert re.search(rf"`{option}(?: [A-Z]+)?`", readme), option


def test_commands_and_options_in_the_readme_exist() -> None:
    readme = (ROOT / "README.md").read_text()
    known = {n for n, c in cli.main.commands.items() if not c.hidden}
    assert set(re.findall(r"kazoo-provisioner (\w+)", section("README.md", "## Commands"))) == known
    every = {o for c in cli.main.commands.values() for p in c.params for o in (*p.opts, *p.secondary_opts)}
    assert set(re.findall(r"`(--?[a-z-]+)", readme)) <= every | {"--help", "-h", "--version"}


def test_make_targets_that_pages_name_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z][a-z-]*):", makefile, re.MULTILINE))
    for page in PAGES:
        named = set(re.findall(r"(?:^|`)make ([a-z-]+)", page.read_text(), re.MULTILINE))
        assert named <= targets, f"{page}: {named - targets}"
    assert {"run", "test"} <= set(
        re.findall(r"^make ([a-z-]+)", (ROOT / "README.md").read_text(), re.MULTILINE)
    )


def anchors(page: Path) -> set[str]:
    prose = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    headings = re.findall(r"^#+ (.*)$", prose, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", h.lower()).strip().replace(" ", "-") for h in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    prose = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", prose):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), target
        if anchor:
            assert anchor in anchors(there), target


def test_the_sample_that_the_readme_changes_is_there() -> None:
    readme = (ROOT / "README.md").read_text()
    found = re.search(r"sed -i 's/(.*?)/(.*?)/' (\S+)", readme)
    assert found
    (file,) = ROOT.glob(found[3])
    document = json.loads(file.read_text())
    assert document["name"] in (found[1], found[2])  # the second: somebody has just tried it
    assert document["mac_address"].replace(":", "") in readme
    assert document["sip"]["password"] in readme
    assert f"/p/{document['pvt_account_id']}/" in readme


# The worked example of docs/templates.md


def example(name: str) -> str:
    page = (ROOT / "docs" / "templates.md").read_text()
    found = re.search(rf"<!-- example: {re.escape(name)} -->\n```\w+\n(.*?)```", page, re.DOTALL)
    assert found, name
    return found[1]


def test_a_model_can_be_added_as_the_page_says(tmp_path: Path) -> None:
    root = tmp_path / "vendor_templates"
    shutil.copytree(BUNDLED, root)
    family_file = root / "yealink" / "t5x" / "family.yaml"
    before = family_file.read_text()
    assert re.findall(r"^([a-z_]+):", before, re.MULTILINE)[-1] == "models"
    family_file.write_text(before.rstrip("\n") + "\n" + example("model"))

    catalogue = load(root)
    assert catalogue.families.keys() == load().families.keys()
    said = json.loads(example("document"))["provision"]
    model = catalogue.resolve(said["endpoint_brand"], said["endpoint_model"])
    assert model is not None
    assert load().resolve(said["endpoint_brand"], said["endpoint_model"]) is None
    assert (model.family, model.lines, model.all_keys) == (said["endpoint_family"], 16, 27 + 3 * 60)

    renderer = Renderer(catalogue)
    assert problems(renderer) == []
    wanted = example("files of the phone").split()
    phone = msgspec.structs.replace(samples.full(model), mac=wanted[0].partition(".")[0])
    files = renderer.phone_files(phone, model)
    assert sorted(file.name for file in files) == sorted(wanted)
    assert model.name.encode() in files[0].data
    common = {file.name for file in renderer.common_files(catalogue.family_of(model))}
    assert example("common file").strip() in common


def test_the_page_of_models_is_made_of_the_catalogue() -> None:
    assert (ROOT / "docs" / "models.md").read_text() == markdown(load()), "make models"


def test_every_syntax_is_described() -> None:
    table = (ROOT / "docs" / "templates.md").read_text().partition("### Syntaxes")[2].partition("\n## ")[0]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    assert sorted(name for row in rows for name in re.findall(r"`([a-z-]+)`", row)) == sorted(SYNTAXES)
