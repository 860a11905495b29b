"""YAML files without surprises: settings, brand and family files are read here and made into structs."""

import contextlib
import re
from pathlib import Path
from typing import Any

import msgspec
import yaml


class SettingsError(Exception):
    """What is wrong in the settings, in a sentence that names the file and the setting."""


class _Rules:
    """YAML without surprises: a key given twice is an error, and so is half a character (a lone surrogate)."""

    def construct_scalar(self, node: yaml.ScalarNode | yaml.MappingNode) -> Any:
        if any("\ud800" <= char <= "\udfff" for char in str(node.value)):
            raise yaml.constructor.ConstructorError(None, None, "half a character", node.start_mark)
        return super().construct_scalar(node)  # type: ignore[misc]


class _Loader(_Rules, yaml.SafeLoader):
    pass


class _Fast(_Rules, getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """libyaml, where it is there: eight times as fast. What it does not like the other one explains."""


def _mapping(loader: yaml.SafeLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: set[Any] = set()
    for key_node, _ in node.value:
        key = loader.construct_object(key_node, deep=True)
        if not isinstance(key, str | int):
            raise yaml.constructor.ConstructorError(None, None, "a key must be text", key_node.start_mark)
        if key in seen:
            raise yaml.constructor.ConstructorError(
                None, None, f"{key!r} is given twice", key_node.start_mark
            )
        seen.add(key)
    return loader.construct_mapping(node, deep=True)


for _one in (_Loader, _Fast):
    _one.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def _loaded(text: str) -> Any:
    with contextlib.suppress(
        yaml.YAMLError, RecursionError, ValueError, LookupError, AttributeError, TypeError
    ):
        return yaml.load(text, Loader=_Fast)  # noqa: S506 - a SafeLoader
    return yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader


def read_yaml(path: Path) -> Any:
    """Read a YAML file.

    Raises:
        SettingsError: it cannot be read or is not YAML; names the file and, where there is one, the line.
    """
    # Never the cause, never a quoted text: both show lines of the file, and one may hold a password.
    try:
        return _loaded(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SettingsError(f"{path}: is not UTF-8 text") from None
    except yaml.MarkedYAMLError as error:
        line = f" line {error.problem_mark.line + 1}:" if error.problem_mark else ""
        raise SettingsError(f"{path}:{line} {_problem(error)}") from None
    except yaml.YAMLError:
        raise SettingsError(f"{path}: is not YAML") from None
    except RecursionError:
        raise SettingsError(f"{path}: is nested too deeply") from None
    except (ValueError, LookupError, AttributeError, TypeError):  # PyYAML's, of an impossible date or number
        raise SettingsError(f"{path}: holds a date or number that there cannot be") from None


def _problem(error: yaml.MarkedYAMLError) -> str:
    """Return PyYAML's words, without what they quote: an alias or a tag may be a password that begins so."""
    problem = error.problem or "is not YAML"
    if problem.endswith("is given twice"):
        return problem
    return re.sub(r"('.'|'<[a-z ]+>')|'[^']*'", lambda quoted: quoted[1] or "'…'", problem)


class Secret:
    """A password: in no repr, log or traceback. `reveal` is the one way to it."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the secret itself."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(…)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)


def _decode(kind: type, value: Any) -> Any:
    if kind is Secret and isinstance(value, str):
        if len(value) > 128 or not value.isprintable():
            raise ValueError("must be printable and at most 128 characters")
        return Secret(value)
    if kind is Path and isinstance(value, str):
        return Path(value)
    # Never the value itself: it may be the password that was typed in the wrong place.
    raise ValueError(f"must be text, not {type(value).__name__}")


def _encode(value: Any) -> Any:
    return value.reveal() if isinstance(value, Secret) else str(value)


def fingerprint(settings: Any) -> bytes:
    """Return the bytes that stand for a struct of settings, secrets included: only ever to be hashed."""
    return msgspec.json.encode(settings, enc_hook=_encode, order="deterministic")


def convert(value: Any, kind: Any, path: Path) -> Any:
    """Turn the plain data of a YAML file into a struct.

    Raises:
        SettingsError: names the file, the line, the setting and what is wrong with it.
    """
    try:
        return msgspec.convert(value, kind, dec_hook=_decode)
    except RecursionError:
        raise SettingsError(f"{path}: is nested too deeply") from None
    except UnicodeEncodeError:
        raise SettingsError(f"{path}: holds half a character") from None
    except msgspec.ValidationError as error:
        text = str(error)
        trail = _trail(value, kind, text)
        raise SettingsError(f"{path}: {_line(path, trail, text)}{_said(text, trail)}") from None


_AT = re.compile(r" - at (?P<key>`key` in )?`(?P<at>[^`]*)`$")
Trail = list[str | int]


def _trail(value: Any, kind: Any, text: str) -> Trail:
    """Return the keys that lead to what an error is about; msgspec says ``[...]`` for any key of an object."""
    found = _AT.search(text)
    steps = re.findall(r"\.(\w+)|\[(\d+)\]|(\[\.\.\.\])", found["at"]) if found else []
    if found and found["key"]:
        steps.append(("", "", "[...]"))
    trail: Trail = []
    for name, index, any_key in steps:
        if any_key:
            here = _inside(value, trail)
            keys = list(here) if isinstance(here, dict) else []
            trail.append(next((k for k in keys if _fails(_only(value, trail, k), kind, text)), "?"))
        else:
            trail.append(name or int(index))
    return trail


def _inside(value: Any, trail: Trail) -> Any:
    for step in trail:
        try:
            value = value[step]
        except (LookupError, TypeError):
            return None
    return value


def _only(value: Any, trail: Trail, key: str) -> Any:
    """Return the data with one key alone in the object at `trail`."""
    if not trail:
        return {key: value[key]}
    copy = value.copy()
    copy[trail[0]] = _only(value[trail[0]], trail[1:], key)
    return copy


def _fails(value: Any, kind: Any, text: str) -> bool:
    try:
        msgspec.convert(value, kind, dec_hook=_decode)
    except msgspec.ValidationError as error:
        return str(error) == text
    return False


def _line(path: Path, trail: Trail, text: str) -> str:
    unknown = re.search(r"unknown field `(.*)`", text)
    return line_of(path, *trail, *([unknown[1]] if unknown else []))


def line_of(path: Path, *words: str | int) -> str:
    """Return ``line N: ``, where something stands in a YAML file; nothing where that cannot be said.

    Each word is a key or an index of what the one before it leads to, or else a text somewhere below it.
    """
    try:
        node = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except (OSError, yaml.YAMLError):
        return ""
    mark = None
    for word in words:
        found = _below(node, word)
        if found is None:
            break
        mark, node = found
    return f"line {mark.line + 1}: " if mark else ""


def _below(node: yaml.Node | None, word: str | int) -> tuple[yaml.Mark, yaml.Node] | None:
    """Return where a word stands at or below a node, and what it leads to; a key of the node itself goes first."""
    if isinstance(node, yaml.SequenceNode) and isinstance(word, int):
        return (node.value[word].start_mark, node.value[word]) if word < len(node.value) else None
    waiting = [node] if node is not None else []
    while waiting:
        one = waiting.pop(0)
        if isinstance(one, yaml.MappingNode):
            for key, value in one.value:
                if key.value == str(word):
                    return key.start_mark, value
            waiting += [value for _, value in one.value]
        elif isinstance(one, yaml.SequenceNode):
            waiting += one.value
        elif one.value == str(word):
            return one.start_mark, one
    return None


_FORMS = {
    "public_url": "a URL that begins with http:// or https://",
    "host": "a host name in lower case, without a port",
    "prefix": "a path in lower case that begins and ends with /, or *",
    "language": "a language tag such as en-us",
}
"""What is wanted where a pattern says it, in words."""


def _said(text: str, trail: Trail) -> str:
    """Return msgspec's words about a setting: its name first, and never its value."""
    found = _AT.search(text)
    steps = trail[:-1] if found and found["key"] else trail
    at = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps).lstrip(".")
    message = text[: found.start()] if found else text
    if message.startswith("Invalid enum value"):
        message = "not one of the values it can have"
    unknown = re.search(r"unknown field `(.*)`", message)
    if unknown:
        return f"{f'{at}.' if at else ''}{unknown[1]}: there is no such setting"
    if "matching regex" in message:
        message = f"must be {_FORMS.get(at.rpartition('.')[2], 'of another form: see the commented example')}"
    of_key = "a key: " if found and found["key"] else ""
    return f"{f'{at}: ' if at else ''}{of_key}{message}"
