"""What went wrong in a template, in words that name the place and never a value."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import jinja2

from kazoo_provisioner.catalogue.folders import Folders
from kazoo_provisioner.model.phone import Phone
from kazoo_provisioner.render.formats import UnwritableError


class RenderError(Exception):
    """A template failed. Names the template, its line and the reason, never a value."""


class PrintedError(TypeError):
    """A template printed what is no text, number or boolean."""


@contextmanager
def compiling(where: str) -> Iterator[None]:
    """Say what is wrong with a template that does not compile.

    Raises:
        RenderError: names it and its line.
    """
    try:
        yield
    except jinja2.TemplateSyntaxError as error:
        raise RenderError(f"{error.name or where} line {error.lineno}: {error.message}") from None
    except jinja2.TemplateNotFound as error:
        raise RenderError(f"{where}: no such template: {error}") from None
    except OSError as error:
        raise RenderError(f"{where}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise RenderError(f"{where}: is not UTF-8 text") from None


def where_of(error: BaseException, folders: Folders) -> str:
    """Return the template and line that an error came from: the innermost, such as an included one."""
    at, where = error.__traceback__, ""
    while at:
        path = Path(at.tb_frame.f_code.co_filename)
        if path.suffix == ".j2" and folders.of(path):
            where = f"{folders.name(path)} line {at.tb_lineno}"
        at = at.tb_next
    return where


def reason_of(error: Exception, phone: Phone | None) -> str:
    """Say what went wrong; only Jinja's own words and ours, as other messages can quote a value."""
    if isinstance(error, UnwritableError):
        return f"{', '.join(_quoting(phone)) or 'a value'} {error}"
    if isinstance(error, jinja2.TemplateError | PrintedError):
        return str(error)
    return type(error).__name__


def _quoting(phone: Phone | None) -> list[str]:
    """Name the fields of a phone that hold a double quote; never what they hold."""
    if phone is None:
        return []
    structs = [("", phone), *((f"line {line.number} ", line) for line in phone.lines)]
    return [
        f"{where}{field}"
        for where, struct in structs
        for field in struct.__struct_fields__
        if isinstance(value := getattr(struct, field), str) and '"' in value
    ]


def without_secrets(reason: str, phone: Phone | None) -> str:
    """Take a phone's passwords out: Jinja quotes the name of what is missing, which may be one of them."""
    if phone is None:
        return reason
    secrets = {phone.admin_password, phone.user_password, phone.provisioning_password} - {""}
    secrets |= {line.password for line in phone.lines} - {""}
    for secret in sorted(secrets, key=len, reverse=True):
        reason = reason.replace(secret, "…").replace(repr(secret)[1:-1], "…")
    return reason
