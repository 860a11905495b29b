"""``python -m kazoo_provisioner``."""

from kazoo_provisioner.cli import main

main()
