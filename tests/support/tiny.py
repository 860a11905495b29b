"""A tiny catalogue whose files show everything that a phone is told, for tests of the way there."""

from pathlib import Path

from kazoo_provisioner.catalogue.load import Catalogue, load

FAMILY = """
brand: acme
family: {family}
name: {family}
syntax: key-value
codecs: [OPUS, G722, PCMU, PCMA]
models:
  {family}a: {{lines: 2, keys: 6, aliases: [{family}x]}}
  {family}b: {{lines: 4, keys: 2, modules: 1, module_keys: 4}}
files:
  - {{name: "{{mac}}.cfg", template: mac.j2}}
  - {{name: "{{mac}}-more.cfg", template: more.j2, models: [{family}b]}}
  - {{name: "{family}-common.cfg", template: common.j2, scope: family}}
  - {{name: "{family}-book.cfg", template: book.j2, scope: account}}
"""

MAC = """
model = {{ model.id }}
phone = {{ phone.mac }} {{ phone.name }} {{ phone.account_id }} {{ phone.device_id }}
zone = {{ phone.timezone.name }} {{ phone.timezone.offset }}
formats = {{ phone.time_format }} {{ phone.date_format }} {{ phone.language }} {{ phone.hotline }} {{ phone.vlan or 0 }}
settings = {{ phone.ntp | join(",") }} {{ phone.admin_password }} {{ phone.provisioning_url }} {{ phone.poll_interval }}
beep = {{ phone.voicemail_beep }}
{% for line in phone.lines %}
line.{{ line.number }} = {{ line.enabled }} {{ line.username }} {{ line.password }} {{ line.realm }} {{ line.display_name }}
line.{{ line.number }}.more = {{ line.label }} {{ line.expires }} {{ line.srtp }} {{ line.codecs | join(",") }} {{ line.voicemail }} {{ line.pickup }}
{% for server in line.registrars + line.outbound_proxies %}
line.{{ line.number }}.server.{{ loop.index }} = {{ server.host }} {{ server.port }} {{ server.transport }}
{% endfor %}
{% endfor %}
{% for key in phone.combo_keys %}
key.{{ key.number }} = {{ key.kind }} {{ key.value }} {{ key.label }} {{ key.line }}
{% endfor %}
end = 1
"""


def write(root: Path) -> Path:
    """Write the families `one` and `two` below a folder."""
    for family in ("one", "two"):
        folder = root / "acme" / family
        folder.mkdir(parents=True)
        (folder / "family.yaml").write_text(FAMILY.format(family=family))
        (folder / "mac.j2").write_text(f"family = {family}{MAC}")
        (folder / "more.j2").write_text("more = {{ phone.mac }}\n")
        (folder / "common.j2").write_text("models = {{ models | map(attribute='id') | join(' ') }}\n")
        (folder / "book.j2").write_text(
            "book = {{ phonebook.name }}\n{% for c in phonebook.contacts %}\n{{ loop.index }} = {{ c.name }} {{ c.number }}\n{% endfor %}\n"
        )
    return root


def catalogue(root: Path) -> Catalogue:
    return load(write(root))
