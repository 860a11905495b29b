"""The command line."""

import asyncio
import errno
import os
import re
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from msgspec.structs import replace

from kazoo_provisioner import app, logs, tail
from kazoo_provisioner.catalogue.load import CatalogueError
from kazoo_provisioner.catalogue.settled import wrong_settings
from kazoo_provisioner.catalogue.table import markdown
from kazoo_provisioner.model.ids import Mac, account_of_db, parse_account_id, parse_mac
from kazoo_provisioner.model.merge import Cannot
from kazoo_provisioner.processes import keep_hangups
from kazoo_provisioner.render.check import collapsed, problems
from kazoo_provisioner.render.engine import File, Renderer
from kazoo_provisioner.settings import Settings
from kazoo_provisioner.settings import load as load_settings
from kazoo_provisioner.store.access import Access, counted_as
from kazoo_provisioner.store.schema import StoreError, translated
from kazoo_provisioner.supervisor import Supervisor
from kazoo_provisioner.web.remote import plain
from kazoo_provisioner.workshop import Workshop

EXIT_UNUSABLE = 2
"""Settings, templates or store cannot be used."""
EXIT_NOT_FOUND = 4
"""What was asked for is not there."""

DEFAULT_CONFIG = Path("/etc/kazoo-provisioner/kazoo-provisioner.yaml")


@contextmanager
def _errors() -> Iterator[None]:
    """Turn what we know can go wrong into one line and an exit code."""
    try:
        yield
    except CatalogueError as error:
        for one in error.errors:
            click.echo(f"error: {one}", err=True)
        sys.exit(EXIT_UNUSABLE)
    except (*app.REFUSED, StoreError) as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(EXIT_UNUSABLE)
    except PermissionError as error:
        click.echo(f"error: {_named(error)}; run this as the user who runs the service", err=True)
        sys.exit(EXIT_UNUSABLE)
    except OSError as error:
        click.echo(f"error: {_named(error)}", err=True)
        sys.exit(EXIT_UNUSABLE)


def _named(error: OSError) -> str:
    """Say what the system refused, without its numbers."""
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{error.strerror or type(error).__name__}"


@contextmanager
def _workshop(config: Path) -> Iterator[Workshop]:
    """Open what `render` and `explain` look at."""
    with _errors():
        settings = app.read_settings(config)
        logs.configure(settings.log, "command", quiet=True)
        with translated(settings.store.path):
            workshop = Workshop(settings)
            try:
                yield workshop
            finally:
                workshop.close()


def _account(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    """Read --account: an account's id, or nothing."""
    if value and parse_account_id(value.lower()) is None:
        raise click.BadParameter(f"{value!r} is not an account id (32 of 0-9 a-z)")
    return value.lower()


def _config_option(command: Any) -> Any:
    return click.option(
        "--config", "-c", type=click.Path(path_type=Path), default=DEFAULT_CONFIG, show_default=True,
        envvar="KAZOO_PROVISIONER_CONFIG", help="The settings file.",
    )(command)  # fmt: skip


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="kazoo-provisioner")
def main() -> None:
    """Phone provisioning for Kazoo.

    Follows Kazoo's documents, keeps every phone's files ready, answers the phones.

    \b
    Examples:
      kazoo-provisioner check -c config/sample.yaml
      kazoo-provisioner serve -c config/sample.yaml --try
      kazoo-provisioner explain 00:15:65:20:01:01 -c config/sample.yaml
    """


@main.command()
@_config_option
@click.option(
    "--web-workers", type=click.IntRange(1, 256), help="Processes that answer phones. [default: cores]"
)
@click.option("--try", "hints", is_flag=True, help="Print URLs to try once everything is ready.")
def serve(config: Path, web_workers: int | None, hints: bool) -> None:  # noqa: FBT001 - click passes options by name
    """Serve phones until SIGTERM. SIGHUP re-reads settings and templates.

    \b
    Example:
      kazoo-provisioner serve -c /etc/kazoo-provisioner/kazoo-provisioner.yaml
    """
    with _errors():
        os.umask(0o077)
        keep_hangups()
        settings = app.read_settings(config)
        if web_workers:
            settings = replace(settings, web=replace(settings.web, workers=web_workers))
        logs.configure(settings.log, "supervisor")
        catalogue = app.catalogue_of(settings)
        app.check_templates(settings, catalogue)  # a broken template is found now, not in a child,
        app.source_of(settings)  # and so are certificates
        asyncio.run(Supervisor(config, settings, catalogue.digests, _print_hints if hints else None).run())


def _print_hints(urls: list[str]) -> None:
    click.echo("\nReady. Try, in another terminal:\n")
    for url in urls:
        click.echo(f"  curl {url}")
    base = urls[0].split("/p/")[0] if urls else "http://127.0.0.1:8080"
    click.echo(f"  curl {base}/p/api/phones/")
    click.echo("\nEdit a device's document and ask again. Ctrl-C stops.\n")


@main.command(hidden=True)
@click.argument("role", type=click.Choice(["reader", "writer", "renderer"]))
@click.option("--alive", type=int, default=-1)
@click.option("--beat", type=int, default=-1)
@click.option("--number", type=int, default=1)
@click.option("--sockets", default="")
@click.option("--store", type=click.Path(path_type=Path), required=True)
@_config_option
def child(role: str, alive: int, beat: int, number: int, sockets: str, store: Path, config: Path) -> None:
    """Be one of the processes of `serve`."""
    os.umask(0o077)
    listening = [int(fd) for fd in sockets.split(",") if fd]
    sys.exit(app.child(role, number, config, store, alive, beat, listening))


@main.command()
@_config_option
@click.option("--source", "ask", is_flag=True, help="Ask the source too: the CouchDB, or the folder.")
def check(config: Path, ask: bool) -> None:  # noqa: FBT001 - click passes options by name
    """Check the settings and every template, without starting anything.

    Renders every model with sample phones and reads the files back. With --source, says what the source
    lets us do, how much it holds, what will not work and what to do. It changes nothing there.
    Exit code 0: all is well; 2: not.

    \b
    Examples:
      kazoo-provisioner check -c /etc/kazoo-provisioner/kazoo-provisioner.yaml
      kazoo-provisioner check --source
    """
    with _errors():
        settings = app.read_settings(config)
        catalogue = app.catalogue_of(settings)
        found = wrong_settings(catalogue, settings.phones) + collapsed(problems(Renderer(catalogue)))
        source = settings.source
        app.source_of(settings)
        if source.type == "directory" and not source.path.is_dir():
            found.insert(0, f"{config}: source.path: {source.path} is no folder, or is not there")
        elif ask:
            logs.configure(settings.log, "command", quiet=True)
            report = asyncio.run(app.check_source(settings))
            for line in (*report.facts, *(f"note: {doubt}" for doubt in report.doubts)):
                click.echo(line)
            found += report.problems
    if config.stat().st_mode & 0o004:
        click.echo(f"note: {config}: everybody may read it, and it can hold passwords: chmod o-rwx")
    for problem in found:
        click.echo(f"error: {problem}", err=True)
    if found:
        sys.exit(EXIT_UNUSABLE)
    count = sum(len(family.models) for family in catalogue.families.values())
    click.echo(
        f"{config}: fine. {len(catalogue.families)} families, {count} models: every template makes what it should."
    )


@main.command()
@click.argument("mac")
@click.option(
    "--account",
    "-a",
    default="",
    callback=_account,
    help="The account whose phone it is, where several have this MAC.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Write the files here, for you alone to read.",
)
@_config_option
def render(mac: str, account: str, out: Path | None, config: Path) -> None:
    """Render a phone's files from what is stored now, with the templates as they are now.

    What is served does not change. The files hold passwords.

    \b
    Examples:
      kazoo-provisioner render 001565aabbcc
      kazoo-provisioner render 00:15:65:AA:BB:CC --out /tmp/phone
    """
    address = _mac(mac)
    with _workshop(config) as workshop:
        files = _rendered(workshop, address, account)
    if out is None:
        for file in files:
            click.echo(f"--- {file.name}\n{file.data.decode()}")
        return
    os.umask(0o077)
    with _errors():
        out.mkdir(parents=True, exist_ok=True)
        for file in files:
            _write(out / file.name, file.data)
    for file in files:
        click.echo(str(out / file.name))


def _write(path: Path, data: bytes) -> None:
    """Write a file for its owner alone, whatever is there already; not through a link."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags, 0o600)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise OSError(error.errno, "is a symbolic link, which is not followed", str(path)) from None
        raise
    with os.fdopen(descriptor, "wb") as stream:
        os.fchmod(descriptor, 0o600)
        stream.write(data)


def _rendered(workshop: Workshop, mac: Mac, account: str) -> list[File]:
    owner = workshop.store.claims.owner(account, mac)
    if owner is None:
        everyone = [(account_of_db(db) or "", d) for db, d in workshop.store.documents.with_mac(mac)]
        owner = next((one for one in everyone if not account or one[0] == account), None)
    if owner is None:
        click.echo(f"error: no device has the MAC {mac}{' in this account' if account else ''}", err=True)
        sys.exit(EXIT_NOT_FOUND)
    try:
        return workshop.render(*owner, mac)
    except Cannot as error:
        click.echo(f"error: {error.code}: {error.detail}", err=True)
        sys.exit(EXIT_NOT_FOUND)


@main.command()
@click.argument("what")
@click.option(
    "--account",
    "-a",
    default="",
    callback=_account,
    help="The account under which the phone asks, with a MAC.",
)
@_config_option
def explain(what: str, account: str, config: Path) -> None:
    """Explain why a phone gets what it gets. WHAT is a MAC address, or the path or URL it asked for.

    The first lines are the answer: status and reason. Then who has the MAC address, the devices, and what was
    asked for last.
    Exit code 0: we know it; 4: no device has this MAC, or nothing has this name.

    \b
    Examples:
      kazoo-provisioner explain 00:15:65:aa:bb:cc
      kazoo-provisioner explain /p/<account id>/001565aabbcc.cfg
    """
    url = re.match(r"\w+://([^/]*)", what)
    path = re.sub(r"^\w+://[^/]*|[?#].*$", "", what)
    if "/" in what and account:
        raise click.UsageError("--account goes with a MAC address; a path says its account itself")
    address = "" if "/" in what else _mac(what)
    with _workshop(config) as workshop:
        if address:
            lines, known = workshop.explain(address, account)
        else:
            explained = workshop.explain_path(url[1] if url else "", path)
            if explained is None:
                raise click.BadParameter(f"{what!r} is no path of ours: /p/[<account>/[<mac>/]]<file>")
            lines, known = explained
    click.echo("\n".join(lines))
    sys.exit(0 if known else EXIT_NOT_FOUND)


@main.command("tail")
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True), required=False)
@click.option("--account", "-a", default="", callback=_account, help="Only what is about this account.")
@click.option("--mac", default="", help="Only what is about this phone.")
@click.option("--errors", is_flag=True, help="Only warnings, errors and refused requests.")
@click.option("--lines", "-n", type=click.IntRange(0), default=20, help="Lines to begin with, else 20.")
@click.option("--no-follow", is_flag=True, help="End there, and do not wait for more.")
@click.option("--json", "as_json", is_flag=True, help="Show lines as they are, for programs.")
@_config_option
def tail_(file: Path | None, account: str, mac: str, config: Path, **how: Any) -> None:
    """Read the log: the last lines that match, then what comes. FILE is log.file, or else standard input (-).

    \b
    Examples:
      kazoo-provisioner tail --mac 00:15:65:aa:bb:cc
      kazoo-provisioner tail --errors --no-follow -n 100
      journalctl -u kazoo-provisioner -o cat -f | kazoo-provisioner tail
    """
    wanted = tail.Filter(account, _mac(mac) if mac else "", errors=how["errors"])
    with _errors():
        where = tail.where(file, lambda: load_settings(config).log)
        tail.run(where, wanted, how["lines"], follow=not how["no_follow"], as_json=how["as_json"])


@main.command()
@click.argument("address")
@_config_option
def forgive(address: str, config: Path) -> None:
    """Answer an ADDRESS again that asked for too many phones we do not know (429, address_limited).

    Works within a second, and begins its count anew. Exit code 4: it asked for nothing in vain.

    \b
    Example:
      kazoo-provisioner forgive 203.0.113.7
    """
    counted = counted_as(plain(address))
    if not counted:
        raise click.BadParameter(f"{address!r} is not an IP address")
    with _errors():
        access = Access(app.read_settings(config).store.path)
        known = access.forgive(counted)
        access.close()
    click.echo(f"{counted}: {'forgiven' if known else 'asked for nothing in vain'}")
    sys.exit(0 if known else EXIT_NOT_FOUND)


@main.command()
@click.option("--count", is_flag=True, help="Only count them.")
@click.option("--table", is_flag=True, help="As docs/models.md: with features, files, sources and doubts.")
@_config_option
def models(count: bool, table: bool, config: Path) -> None:  # noqa: FBT001 - click passes options by name
    """List the phones we can provision, with their ids in Kazoo's documents.

    \b
    Examples:
      kazoo-provisioner models
      kazoo-provisioner models --count
    """
    with _errors():
        settings = load_settings(config) if config.exists() or config != DEFAULT_CONFIG else Settings()
        catalogue = app.catalogue_of(settings)
    if table:
        click.echo(markdown(catalogue), nl=False)
        return
    families = catalogue.families.values()
    every = [model for family in families for model in family.models.values()]
    if not count:
        for model in every:
            also = f"  also {', '.join(model.aliases)}" if model.aliases else ""
            click.echo(
                f"{model.brand}/{model.family}/{model.id:<10} {model.name:<16} {model.lines:>3} lines {model.keys:>3} keys{also}"
            )
    brands = Counter(model.brand for model in every)
    sure = sum(model.sure for model in every)
    click.echo(
        f"{len(every)} models, {len(brands)} brands; {sure} with counts that a maker's source confirms"
    )


def _mac(text: str) -> Mac:
    mac = parse_mac(text)
    if mac is None:
        raise click.BadParameter(f"{text!r} is not a MAC address (12 hexadecimal digits)")
    return mac
