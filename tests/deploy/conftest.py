"""One phone, and a certificate for the proxies."""

from pathlib import Path

import pytest

from tests.deploy import proxies
from tests.deploy.proxies import ACCOUNT
from tests.support import kazoo
from tests.support.kazoo import Folder, mac


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> proxies.Certificate:
    return proxies.certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of documents with one account and one phone."""
    folder = Folder(tmp_path_factory.mktemp("dbs"))
    folder.put_account(kazoo.account(ACCOUNT))
    folder.put(kazoo.db_of_account(ACCOUNT), kazoo.device(f"devi{1:028d}", mac(1)))
    return folder.root
