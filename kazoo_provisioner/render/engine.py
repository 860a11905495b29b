"""Templates into files. Pure CPU: no clock, no network, the same bytes for the same input everywhere."""

import hashlib
import re
from collections.abc import Collection
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jinja2
import msgspec
from jinja2.runtime import Macro
from jinja2.sandbox import ImmutableSandboxedEnvironment, safe_range
from markupsafe import Markup, escape

from kazoo_provisioner.catalogue.folders import SHIPPED, Folder
from kazoo_provisioner.catalogue.load import Catalogue, file_name, files_of
from kazoo_provisioner.catalogue.models import Brand, Family, FileSpec, Model
from kazoo_provisioner.model.phone import Line, Phone, Phonebook
from kazoo_provisioner.render import free
from kazoo_provisioner.render.errors import (
    PrintedError,
    RenderError,
    compiling,
    reason_of,
    where_of,
    without_secrets,
)
from kazoo_provisioner.render.formats import SYNTAXES, Syntax, plain, xml
from kazoo_provisioner.render.loader import Generator, Loader, Taken

_SAFE_FILTERS = (
    "abs", "batch", "capitalize", "count", "default", "d", "first", "float", "format", "int", "items", "join",
    "last", "length", "list", "lower", "map", "max", "min", "reject", "rejectattr", "replace", "reverse",
    "round", "select", "selectattr", "slice", "sort", "string", "sum", "title", "trim", "truncate", "unique",
    "upper",
)  # fmt: skip
"""Every other filter of Jinja's is gone: `safe` and its kin would switch escaping off."""


_INPUTS = ("jinja2", "markupsafe", "tzdata")
"""Packages whose version can change a file."""


class File(msgspec.Struct, frozen=True):
    """A finished file under its real name. `sensitive`: made for one phone, so it may hold secrets."""

    name: str
    type: str
    sensitive: bool
    data: bytes

    @property
    def hash(self) -> str:
        """Content hash, also the file's ETag."""
        return hashlib.sha256(self.data).hexdigest()[:32]


def printed(syntax: Syntax) -> Any:
    """Return what every ``{{ }}`` of a syntax goes through: the value's one way into a file.

    Where a syntax `marks`, what is written once (a macro's output) is known by its type and not written again;
    the others leave clean text as it is, so writing it twice is the same.
    """
    write = syntax.write

    def in_line(value: Any) -> Any:
        return write(value) if isinstance(value, str) else _no_text(value)

    def marked(value: str) -> str:
        written = write(value)
        # What nobody would escape needs no mark, which takes longer to make than all the rest.
        return written if _ESCAPED(written) is None else Markup(written)  # noqa: S704 - `write` escapes

    def marked_xml(value: str) -> str:
        return value if _ESCAPED(value) is None else escape(value)

    mark = marked_xml if write is xml else marked

    def in_markup(value: Any) -> Any:
        kind = type(value)
        if kind is Markup:
            return value
        if kind is str:
            return mark(value)
        return mark(str(value)) if isinstance(value, str) else _no_text(value)

    if syntax.marks:
        return in_markup
    return _as_it_is if write is plain else in_line


_ESCAPED = re.compile(r"[&<>'\"]").search


def _as_it_is(value: Any) -> Any:
    return value if type(value) is str else str(value) if isinstance(value, str) else _no_text(value)


class Once:
    """What a macro makes of numbers and the model alone is made once: ``{{ once(no_keys, 3, 148, model) }}``.

    Most of a phone's file is keys and accounts that nobody set, the same for every phone of a model. A macro
    sees nothing but its arguments, and no argument may be of one phone, so nothing of one gets into
    another's file.
    """

    LIMIT = 10_000

    def __init__(self) -> None:
        self.seeing: set[str] = set()
        """Templates that see a phone: macros of theirs could print it."""
        self._made: dict[tuple[object, ...], str] = {}

    def __call__(self, macro: Macro, *arguments: object) -> str:
        """Return what the macro makes of the arguments."""
        if not isinstance(macro, Macro) or not all(isinstance(one, int | Model) for one in arguments):
            raise PrintedError("once() takes a macro, and numbers and the model for it")
        if macro._func.__globals__["name"] in self.seeing:  # noqa: SLF001 - the template that it was compiled in
            raise PrintedError(
                "once() takes a macro that another template imports: one of its own sees the phone"
            )
        # Models and compiled templates live as long as this does.
        named = [one if isinstance(one, int) else (id(one),) for one in arguments]
        key = (macro._func.__code__, *named)  # noqa: SLF001 - a macro is made anew for each file, its code is not
        made = self._made.get(key)
        if made is None:
            if len(self._made) >= self.LIMIT:
                self._made.clear()
            made = self._made[key] = macro(*arguments)
        return made


def _no_text(value: Any) -> str:
    """Write what is no text: a number or a boolean; refuse the rest."""
    if value is True:
        return "1"
    if value is False:
        return "0"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, jinja2.Undefined):
        str(value)  # StrictUndefined raises, and names what is missing
    raise PrintedError(
        f"a template printed {type(value).__name__}: text, numbers and booleans can be printed"
    )


class Renderer:
    """All templates of a catalogue, or of the families named, compiled once; the others when they are first used.

    Raises:
        RenderError: a template does not compile.
    """

    def __init__(self, catalogue: Catalogue, only: Collection[str] | None = None) -> None:
        self.catalogue = catalogue
        self._loader = Loader(catalogue.folders)
        self._once = {(name, trusted): Once() for name in SYNTAXES for trusted in (True, False)}
        self._environments = {
            (name, trusted): self._environment(syntax, trusted=trusted)
            for name, syntax in SYNTAXES.items()
            for trusted in (True, False)
        }
        self._templates: dict[tuple[str, str], jinja2.Template] = {}
        self._known: dict[tuple[str, str], tuple[Folder | None, list[Taken]]] = {}
        for owner in catalogue.owners:
            if only is not None and owner.id not in only:
                continue
            for file in owner.spec.files:
                self._compile_all(owner, file)
        self._loader.forget()

    def phone_files(self, phone: Phone, model: Model) -> list[File]:
        """Render the files of one phone.

        Raises:
            RenderError: a template failed.
        """
        return self.with_parameters(phone, model)[0]

    def with_parameters(self, phone: Phone, model: Model) -> tuple[list[File], dict[str, str]]:
        """Render the files of one phone; return them, and what became of each of its free settings, in words.

        Raises:
            RenderError: a template failed.
        """
        family = self.catalogue.family_of(model)
        names = self._names(family, model, phone.mac)
        context = {"phone": phone, "model": model, "names": names, "parameters": free.PLACE}
        specs = [file for file in files_of(family, model) if file.scope == "phone"]
        texts = [self._text(family, file, file_name(file, model, phone.mac), context) for file in specs]
        syntaxes = [SYNTAXES[_syntax_name(family, file)] for file in specs]
        texts, became = free.placed(texts, syntaxes, phone.parameters, family.spec.parameter)
        files = [
            self._file(file, file_name(file, model, phone.mac), text)
            for file, text in zip(specs, texts, strict=True)
        ]
        return files, became

    def common_files(self, family: Family | Brand) -> list[File]:
        """Render the files of a family or brand that name no phone, each once. They see no phone, no account.

        Raises:
            RenderError: a template failed, or two models make different files of one name.
        """
        files: dict[str, File] = {}
        if isinstance(family, Brand):
            return [self._render(family, f, f.name, {}) for f in family.spec.files if f.scope == "brand"]
        for model in family.models.values():
            for file in files_of(family, model):
                if file.scope not in ("model", "family"):
                    continue
                name = file_name(file, model)
                context = {"model": model, "models": tuple(family.models.values())}
                made = self._render(family, file, name, context)
                if files.setdefault(name, made) != made:
                    raise RenderError(f"{family.id}: models differ in {name}, which they share")
        return list(files.values())

    def account_files(self, family: Family | Brand, phonebook: Phonebook) -> list[File]:
        """Render an account's phonebook for one family, or for all of a brand.

        Raises:
            RenderError: a template failed.
        """
        return [
            self._render(family, file, file_name(file, None), {"phonebook": phonebook})
            for file in family.spec.files
            if file.scope == "account"
        ]

    @staticmethod
    def _names(family: Family, model: Model, mac: str) -> dict[str, str]:
        """Return the names of a phone's other files by template: ``names["phonebook.xml.j2"]``."""
        of_brand = {file.template: file.name for file in family.brand.spec.files}
        return of_brand | {file.template: file_name(file, model, mac) for file in files_of(family, model)}

    def _environment(self, syntax: Syntax, *, trusted: bool) -> jinja2.Environment:
        kind = jinja2.Environment if trusted else ImmutableSandboxedEnvironment
        environment = kind(
            autoescape=syntax.marks,
            finalize=printed(syntax),
            undefined=jinja2.StrictUndefined,
            loader=self._loader,
            keep_trailing_newline=True,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
            optimized=False,  # what it folds is not worth what it takes at each start
            cache_size=-1,
        )
        environment.code_generator_class = Generator
        environment.filters = {name: environment.filters[name] for name in _SAFE_FILTERS}
        environment.filters |= {"display": syntax.display, "ha1": ha1, "urlquote": urlquote}
        environment.globals = {
            "range": range if trusted else safe_range,
            "namespace": jinja2.utils.Namespace,
            "once": self._once[syntax.name, trusted],
        }
        return environment

    def _compile_all(self, family: Family | Brand, file: FileSpec) -> None:
        """Compile a template and everything it includes, imports or extends, so that errors show now.

        If any of these lies in a folder that is not trusted, all are rendered in Jinja's sandbox.
        """
        syntax, first = _syntax_name(family, file), f"{family.folder}/{file.template}"
        waiting, seen, trusted = [(first, True)], dict[str, bool](), True
        while waiting:
            where, sees = waiting.pop()
            if where in seen and (seen[where] or not sees):
                continue
            seen[where] = sees
            with compiling(where):
                folder, takes = self._references(syntax, where)
                trusted = trusted and folder is not None and folder.trusted
                waiting += [(_allowed(family, one.name, where), sees and one.sees) for one in takes]
                if lacking := self._loader.lacks(self._environments[syntax, True], where) if takes else None:
                    raise RenderError(
                        f"{where}: fills a block {lacking[0]!r} that {lacking[1]} does not have"
                    )
        environment = self._environments[syntax, trusted]
        self._once[syntax, trusted].seeing.update(where for where, sees in seen.items() if sees)
        for where in seen:
            with compiling(where):
                environment.get_template(where)
        self._templates[syntax, first] = environment.get_template(first)

    def _references(self, syntax: str, where: str) -> tuple[Folder | None, list[Taken]]:
        """Return the folder that a template lies in, and what it takes in."""
        key = syntax, where
        if key not in self._known:
            path, takes = self._loader.takes_in(self._environments[syntax, True], where)
            self._known[key] = self.catalogue.folders.of(path), takes
        return self._known[key]

    def _template(self, family: Family | Brand, file: FileSpec) -> jinja2.Template:
        key = _syntax_name(family, file), f"{family.folder}/{file.template}"
        if key not in self._templates:
            self._compile_all(family, file)
            self._loader.forget()
        return self._templates[key]

    def _render(self, family: Family | Brand, file: FileSpec, name: str, context: dict[str, Any]) -> File:
        return self._file(file, name, self._text(family, file, name, context))

    @staticmethod
    def _file(file: FileSpec, name: str, text: str) -> File:
        return File(name, file.type, file.scope == "phone", text.encode())

    def _text(self, family: Family | Brand, file: FileSpec, name: str, context: dict[str, Any]) -> str:
        template = self._template(family, file)
        try:
            text = template.render(family=family.spec, file_name=name, **context)
            text.encode()
        except Exception as error:  # noqa: BLE001 - whatever a template does, one phone fails and no more
            where = where_of(error, self.catalogue.folders) or template.name
            reason = without_secrets(reason_of(error, context.get("phone")), context.get("phone"))
            raise RenderError(f"{where}: {reason}") from None
        if not text.strip():
            raise RenderError(f"{template.name}: made an empty file")
        return text


def urlquote(text: str) -> str:
    """Return a text as a part of a URL, such as a password before ``@``."""
    return quote(str(text), safe="")


def ha1(line: Line) -> str:
    """Return what SIP's digest makes of a line's name, realm and password (RFC 2617): a phone needs no more."""
    if not isinstance(line, Line):
        raise PrintedError("ha1 is of a line")
    text = f"{line.auth_name}:{line.realm}:{line.password}"
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def _allowed(family: Family | Brand, name: str | None, where: str) -> str:
    """Return what a template includes; only what its family's digest covers, so that no edit goes unseen."""
    brand = family.folder.partition("/")[0]
    ours = name.removeprefix(f"{SHIPPED}/") if name else ""
    if name and (
        ours.startswith(f"{family.folder}/") or re.fullmatch(rf"{re.escape(brand)}/[^/]+\.j2", ours)
    ):
        return name
    what = repr(name) if name else "a name that it computes"
    raise RenderError(f"{where}: includes {what}; it may include {family.folder}/… and {brand}/*.j2")


def _syntax_name(family: Family | Brand, file: FileSpec) -> str:
    name = file.syntax or (family.spec.syntax if isinstance(family, Family) else "")
    if name not in SYNTAXES:
        where = "family.yaml" if isinstance(family, Family) else "brand.yaml"
        raise RenderError(
            f"{family.folder}/{where}: syntax: there is no {name!r}, only {', '.join(sorted(SYNTAXES))}"
        )
    return name


def code_version() -> str:
    """Digest of what makes files from documents: code and time zones. A change re-renders everything, paced."""
    folder = Path(__file__).resolve().parents[1]
    digest = hashlib.sha256(repr([(name, version(name)) for name in _INPUTS]).encode())
    rooms = [
        path for room in ("model", "catalogue", "render") for path in sorted((folder / room).glob("*.py"))
    ]
    for path in (*rooms, folder / "layers.py", folder / "sync" / "accounts.py"):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]
