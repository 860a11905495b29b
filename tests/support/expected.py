"""What documents should make: a fresh start beside the running service."""

from pathlib import Path

from kazoo_provisioner.catalogue.load import load as load_catalogue
from kazoo_provisioner.render.engine import Renderer
from kazoo_provisioner.settings import load
from kazoo_provisioner.store.writer import Store
from tests.support.couchdb import Couch
from tests.support.kazoo import Folder
from tests.support.world import Files, fresh


def expected(documents: Folder | Couch, config: Path, scratch: Path) -> Files:
    """Every name and content that the running service must serve for the documents that there are now.

    Its claims seed the fresh start: who has a MAC keeps it.
    """
    settings = load(config)
    running = Store(settings.store.path, read_only=True)
    claims = running.claims.all()
    running.close()
    harness = fresh(scratch, Renderer(load_catalogue()), settings.phones, claims, documents.documents())
    try:
        return harness.served()
    finally:
        harness.close()
