"""The house: the map is true, files and functions are short, nothing of the machine it was made on is in it."""

import ast
import fnmatch
import re
from pathlib import Path

import pytest

import kazoo_provisioner

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "kazoo_provisioner"

FILE_LINES = 400
FUNCTION_LINES = 45


def ours() -> list[Path]:
    """Every file that git would track: what .gitignore names is left out."""
    ignored = [line.rstrip("/") for line in (ROOT / ".gitignore").read_text().split()] + [".git"]
    here = {name.lstrip("/") for name in ignored if name.startswith("/")}
    everywhere = [name for name in ignored if not name.startswith("/")]
    found, waiting = [], [ROOT]
    while waiting:
        for path in sorted(waiting.pop().iterdir()):
            if any(fnmatch.fnmatch(path.name, name) for name in everywhere):
                continue
            if path.parent == ROOT and path.name in here:
                continue
            if path.is_dir():
                waiting.append(path)
            else:
                found.append(path)
    return found


FILES = ours()
PYTHON = [path for path in FILES if path.suffix == ".py"]


def test_the_files_were_found() -> None:
    names = {path.relative_to(ROOT).as_posix() for path in FILES}
    assert {"README.md", "Makefile", "kazoo_provisioner/__init__.py", "tests/test_house.py"} <= names
    assert not any(name.startswith((".venv/", ".git/", "var/")) for name in names)


def drawn() -> set[str]:
    """Modules and rooms on the map: four spaces a room, two more for what is in it, and so on."""
    found: set[str] = set()
    above: list[str] = []
    for line in (kazoo_provisioner.__doc__ or "").splitlines():
        entry = re.match(r"((?: {2}){2,4})([a-z_]+) {2,}\S", line)
        if entry:
            depth = len(entry[1]) // 2 - 2
            above = [*above[:depth], entry[2]]
            found.add(".".join(above))
    return found


def built() -> set[str]:
    """Modules and rooms in the folders."""
    found = set()
    for path in PYTHON:
        if not path.is_relative_to(PACKAGE):
            continue
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        if parts[-1] == "__init__":
            parts = parts[:-1]
        if parts and parts != ("__main__",):
            found.add(".".join(parts))
    return found


def test_the_map_is_true() -> None:
    assert drawn() == built()
    assert "model.merge" in drawn()


def test_rooms_are_packages() -> None:
    for name in built():
        if "." in name:
            assert (PACKAGE / name.partition(".")[0] / "__init__.py").is_file(), name


def test_every_module_says_what_it_is() -> None:
    empty = [p for p in PYTHON if p.name != "__init__.py" and not ast.get_docstring(ast.parse(p.read_text()))]
    assert not empty


@pytest.mark.parametrize("kind", [".py", ".j2"])
def test_no_file_is_long(kind: str) -> None:
    files = [path for path in FILES if path.suffix == kind]
    assert files
    long = {
        path.relative_to(ROOT).as_posix(): count
        for path in files
        if (count := len(path.read_text().splitlines())) > FILE_LINES
    }
    assert not long


def test_no_function_is_long() -> None:
    lengths = {
        f"{path.relative_to(ROOT).as_posix()}:{node.name}": (node.end_lineno or 0) - node.lineno + 1
        for path in PYTHON
        if path.is_relative_to(PACKAGE)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert len(lengths) > 100
    assert not {name: count for name, count in lengths.items() if count > FUNCTION_LINES}


def pieces(*parts: str) -> str:
    """Join what must not stand in this file as a whole."""
    return "".join(parts)


MACHINE = [
    re.compile(rb"(?<![A-Za-z0-9_.$}\])-])" + re.escape(pieces("/", name, "/").encode()))
    for name in ("work", "farm")
]
HOSTS = [
    re.compile(re.escape(pieces(host, ".", end).encode()), re.IGNORECASE)
    for host, end in (
        ("pypi", "org"), ("pythonhosted", "org"), ("npmjs", "org"), ("npmjs", "com"), ("yarnpkg", "com"),
        ("proxy.golang", "org"), ("crates", "io"), ("rubygems", "org"), ("docker", "io"), ("ghcr", "io"),
    )
]  # fmt: skip


@pytest.mark.parametrize("pattern", MACHINE + HOSTS, ids=lambda p: p.pattern.decode().replace("\\", ""))
def test_nothing_of_the_machine_is_in_a_file(pattern: re.Pattern[bytes]) -> None:
    found = [path.relative_to(ROOT).as_posix() for path in FILES if pattern.search(path.read_bytes())]
    assert not found


def test_the_patterns_find_what_they_look_for() -> None:
    for name in ("work", "farm"):
        text = f"see {pieces('/', name, '/main')} there".encode()
        assert any(pattern.search(text) for pattern in MACHINE)
    assert not any(pattern.search(b"a ./network/x homework/ y") for pattern in MACHINE)
    assert any(pattern.search(pieces("https://pypi", ".", "org/simple").encode()) for pattern in HOSTS)
