"""A device's files as they would be made now: nothing is stored, and no claim is asked."""

from kazoo_provisioner.catalogue.models import Model
from kazoo_provisioner.model.ids import Mac, db_of_account
from kazoo_provisioner.model.merge import Cannot
from kazoo_provisioner.model.phone import Phone
from kazoo_provisioner.render.engine import File
from kazoo_provisioner.sync.reconcile import Reconciler, WithdrawError


def preview(reconciler: Reconciler, account: str, device: str, mac: Mac) -> list[File]:
    """Render a device's files.

    Raises:
        Cannot: its documents make no phone; says why.
        RenderError: a template failed.
    """
    phone, model = _phone(reconciler, account, device, mac)
    return reconciler.renderer.phone_files(phone, model)


def free_settings(reconciler: Reconciler, account: str, device: str, mac: Mac) -> list[str]:
    """Say of each free setting of a device where it comes from and what became of it; never its value.

    Raises:
        Cannot: its documents make no phone; says why.
        RenderError: a template failed.
    """
    phone, model = _phone(reconciler, account, device, mac)
    _, became = reconciler.renderer.with_parameters(phone, model)
    return [f"{one.name}  from {one.source}: {became[one.name]}" for one in phone.parameters]


def _phone(reconciler: Reconciler, account: str, device: str, mac: Mac) -> tuple[Phone, Model]:
    found = reconciler.document(db_of_account(account), device)
    if found is None or found[0] != "device":
        raise Cannot("no_device", f"there is no device {device} in account {account}")
    try:
        model = reconciler.model(found[1])
    except WithdrawError as error:
        raise Cannot(error.code, error.detail) from None
    phone, _ = reconciler.merged(account, device, found[1], mac, model)
    return phone, model
