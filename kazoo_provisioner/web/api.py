"""What kazoo-ui asks of a provisioner: the catalogue of phones, at `provisioner_url` + ``/api/phones/``.

Shapes and headers as the clients expect them (provisioner-v5's api/*.php; kazoo-ui's phone.js; Monster-UI's
chooseModel.js).
"""

from typing import Any

import msgspec
from aiohttp import web

from kazoo_provisioner.catalogue.load import Catalogue

PREFIX = "/p/api"

CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "GET, POST, PUT, DELETE, OPTIONS",
    "Access-Control-Allow-Headers": (
        "Content-Type, Depth, User-Agent, X-File-Size, X-Requested-With, If-Modified-Since, X-File-Name, "
        "Cache-Control, X-Auth-Token, X-Kazoo-Cluster-ID"
    ),
    "Access-Control-Max-Age": "86400",
}


def phones(catalogue: Catalogue) -> dict[str, Any]:
    """Return brands, families and models as the UIs walk them.

    Both `id` and `template_id` are given: Monster-UI's callflows app reads the one, SmartPBX the other.
    """
    data: dict[str, Any] = {}
    for family in catalogue.families.values():
        brand = data.setdefault(
            family.spec.brand,
            {"id": family.spec.brand, "name": family.brand.spec.name, "settings": {}, "families": {}},
        )
        models = {
            model.id: {"id": model.id, "template_id": model.id, "name": model.name, "settings": {}}
            for model in family.models.values()
        }
        brand["families"][family.spec.family] = {
            "id": family.spec.family, "name": family.spec.name, "settings": {}, "models": models,
        }  # fmt: skip
    return data


class Api:
    """The handler of the UIs' requests."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._phones = msgspec.json.encode({"data": phones(catalogue)})

    def answer(self, method: str, path: str) -> tuple[web.Response, str]:
        """Answer a request below ``/p/api``; return the response and why it is what it is."""
        if method == "OPTIONS":
            return web.Response(headers=CORS), "preflight"
        if path.rstrip("/") != f"{PREFIX}/phones":
            return _error(404, "Not found"), "no_such_path"
        if method not in ("GET", "HEAD"):
            return _error(405, "Method not allowed"), "method"
        return _json(200, self._phones), "catalogue"


def _json(status: int, body: bytes) -> web.Response:
    return web.Response(
        status=status, body=body, content_type="application/json", charset="utf-8", headers=CORS
    )


def _error(status: int, message: str) -> web.Response:
    return _json(status, msgspec.json.encode({"error": {"code": status, "message": message}}))
