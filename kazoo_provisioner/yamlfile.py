"""YAML files without surprises: settings and family files are read here."""

import re
from pathlib import Path
from typing import Any

import yaml


class SettingsError(Exception):
    """What is wrong in the settings, in a sentence that names the file and the setting."""


class _Loader(yaml.SafeLoader):
    """YAML without surprises: a key given twice is an error, and so is half a character (a lone surrogate)."""

    def construct_scalar(self, node: yaml.ScalarNode | yaml.MappingNode) -> Any:
        if any("\ud800" <= char <= "\udfff" for char in str(node.value)):
            raise yaml.constructor.ConstructorError(None, None, "half a character", node.start_mark)
        return super().construct_scalar(node)


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
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


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def read_yaml(path: Path) -> Any:
    """Read a YAML file.

    Raises:
        SettingsError: it cannot be read or is not YAML; names the file and, where there is one, the line.
    """
    # Never the cause, never a quoted text: both show lines of the file, and one may hold a password.
    try:
        return yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)  # noqa: S506 - a SafeLoader
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
