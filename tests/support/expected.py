"""What a folder of documents should make: a fresh start beside the running service."""

from pathlib import Path

from kazoo_provisioner.catalogue.load import load as load_catalogue
from kazoo_provisioner.model.wire import Doc
from kazoo_provisioner.render.engine import Renderer
from kazoo_provisioner.settings import load
from kazoo_provisioner.store.writer import Store
from tests.support.kazoo import Folder
from tests.support.world import Files, fresh


def expected(folder: Folder, config: Path, scratch: Path) -> Files:
    """Every name and content that the running service must serve for what lies in the folder now.

    Its claims seed the fresh start: who has a MAC keeps it.
    """
    import json
    from urllib.parse import unquote

    settings = load(config)
    running = Store(settings.store.path, read_only=True)
    claims = running.claims.all()
    running.close()
    documents: dict[tuple[str, str], Doc] = {}
    for path in sorted(folder.root.glob("*/docs/*.json")):
        documents[unquote(path.parent.parent.name), unquote(path.stem)] = json.loads(path.read_text())
    harness = fresh(scratch, Renderer(load_catalogue()), settings.phones, claims, documents)
    try:
        return harness.served()
    finally:
        harness.close()
