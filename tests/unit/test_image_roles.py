"""What a container makes of a role's keys is, to the byte, what Ansible makes of them on a host."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.novnc.fleet.plugins.module_utils.notation import TcpTarget
from ansible_collections.novnc.fleet.plugins.module_utils.passwords import hash_password
from ansible_collections.novnc.fleet.plugins.plugin_utils.pki import Authority, Request
from novnc_endpoint_image import settings as endpoint_image
from novnc_gateway_image import settings as gateway_image
from novnc_image.environment import BAD_VALUE, WrittenError, run
from novnc_image.listener import listen
from novnc_service import role as roles
from novnc_service.generations import Generations
from novnc_service.role import Role

from tests.harness.project import BIN, ENV, ROOT

HASH = hash_password("secret", b"salt of 16 bytes")
PLAIN: dict[str, Any] = {
    "novnc_gateway_users": {"kim": {"password_hash": HASH, "groups": ["dba"]}},
    "novnc_gateway_admins": ["user:kim"],
}
RICH: dict[str, Any] = {
    **PLAIN,
    "novnc_gateway_names": ["GW.example.com:443", "localhost:8443", "localhost:9443", "[::1]"],
    "novnc_gateway_addresses": ["192.0.2.1", "::1"],
    "novnc_gateway_port": 8443,
    "novnc_gateway_http_port": 0,
    "novnc_gateway_rules": [{"match": "{{ db }}*", "watch": ["everyone"]}],
    "novnc_gateway_tls_cert": "/run/secrets/tls.crt",
    "novnc_gateway_tls_key": "/run/secrets/tls.key",
}
HOSTS = {
    "kvm1": {"ansible_host": "192.0.2.2"},
    "kvm2": {"novnc_endpoint_address": "2001:db8::2", "novnc_endpoint_port": 17000},
    "kvm3": {"ansible_host": "192.0.2.3", "novnc_endpoint_enabled": False},
}
KNOWN: dict[str, Any] = {
    "ansible_managed": "Ansible managed",
    "novnc_web_root": "/usr/share/novnc",
    "novnc_settings_root": "/etc/novnc-fleet/novnc",
    "_novnc_gateway_page": {"content": "PHNjcmlwdD5hKCk8L3NjcmlwdD4="},
}
TEMPLATES = ("nginx-main.conf.j2", "nginx-site.conf.j2")
PLAYBOOK = """
- hosts: gw1
  gather_facts: false
  vars_files: [{role}/defaults/main.yml, {role}/vars/main.yml, known.yml, written.yml]
  tasks:
    - ansible.builtin.template:
        src: "{role}/templates/{{{{ item }}}}"
        dest: "{here}/{{{{ item }}}}"
      loop: {templates}
      delegate_to: localhost
    - ansible.builtin.copy:
        content: "{{{{ made | to_json }}}}"
        dest: {here}/settings.json
      vars:
        made: {{settings: "{{{{ _{name}_settings }}}}", files: "{{{{ _{name}_files }}}}"}}
      delegate_to: localhost
"""


@pytest.fixture(autouse=True)
def own_roles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roles, "ROLES", ROOT / "roles")
    # Those who run the tests may end them as ever.
    monkeypatch.setattr(signal, "signal", lambda *_: None)


def by_ansible(
    here: Path,
    written: dict[str, Any],
    known: dict[str, Any],
    name: str = "novnc_gateway",
    templates: Sequence[str] = TEMPLATES,
) -> dict[str, Any]:
    """Return what Ansible makes."""
    inventory = {
        "novnc_gateways": {"hosts": {"gw1": {"ansible_host": "192.0.2.9"}}},
        "novnc_hypervisors": {"hosts": HOSTS},
    }
    # What somebody writes is text, though it may look like a template.
    texts = {"written.yml": json.dumps(written), "known.yml": json.dumps(known)}
    texts["written.yml"] = texts["written.yml"].replace("{{ db }}", "{{ '{{ db }}' }}")
    texts["hosts.yml"] = json.dumps(inventory)
    texts["play.yml"] = PLAYBOOK.format(
        role=ROOT / "roles" / name, name=name, here=here, templates=json.dumps(templates)
    )
    for file, text in texts.items():
        (here / file).write_text(text)
    done = subprocess.run(
        [BIN / "ansible-playbook", "-i", here / "hosts.yml", here / "play.yml"],
        env=ENV,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    made = {file: (here / file).read_text() for file in templates}
    return {**made, "settings": json.loads((here / "settings.json").read_text())}


def in_a_container(written: dict[str, Any], known: dict[str, Any]) -> dict[str, Any]:
    """Return what a container makes."""
    role = Role("novnc_gateway")
    host = {"inventory_hostname": "gw1", "ansible_host": "192.0.2.9", "hostvars": HOSTS}
    groups = {"groups": {"novnc_hypervisors": list(HOSTS)}}
    variables = role.variables(written, {**known, **host, **groups})
    role.refuse("gateway.yml", "written", variables)
    settings = variables["_novnc_gateway_settings"]
    made = {name: role.template(name, variables) for name in TEMPLATES}
    files = variables["_novnc_gateway_files"]
    return {**made, "settings": json.loads(json.dumps({"settings": settings, "files": files}))}


@pytest.mark.parametrize("written", [PLAIN, RICH], ids=["plain", "rich"])
@pytest.mark.parametrize(("novnc", "nginx"), [("1.6.0", "1.26.3"), ("1.3.0", "1.22.1")])
def test_gateway_is_the_same(
    tmp_path: Path, written: dict[str, Any], novnc: str, nginx: str
) -> None:
    known = {
        **KNOWN,
        "novnc_installed_version": novnc,
        "_novnc_gateway_nginx": {"installed": nginx},
    }
    assert in_a_container(written, known) == by_ansible(tmp_path, written, known)


@pytest.mark.parametrize(
    "written",
    [
        {"novnc_endpoint_allowed_names": ["gw1", "gw2"]},
        {
            "novnc_endpoint_allowed_names": ["gw1"],
            "novnc_endpoint_address": "2001:db8::1",
            "novnc_endpoint_port": 17000,
            "novnc_endpoint_qmp": {"db01": "/run/qemu/db01.qmp"},
            "novnc_endpoint_cert": "/run/secrets/a.crt",
            "novnc_endpoint_stall_timeout": 0,
        },
    ],
    ids=["plain", "rich"],
)
def test_endpoint_is_the_same(tmp_path: Path, written: dict[str, Any]) -> None:
    known = {"_novnc_endpoint_listen": "192.0.2.9:16900"}
    host = {"inventory_hostname": "gw1", "ansible_host": "192.0.2.9", "groups": {}}
    variables = Role("novnc_endpoint").variables(written, {**known, **host})
    made = {
        "settings": variables["_novnc_endpoint_settings"],
        "files": variables["_novnc_endpoint_files"],
    }
    by = by_ansible(tmp_path, written, known, "novnc_endpoint", ())
    assert json.loads(json.dumps(made)) == by["settings"]


def check(written: dict[str, Any], role: str = "novnc_gateway") -> None:
    Role(role).check_keys("gateway.yml", written, frozenset({"novnc_hypervisors"}))


def test_keys_are_the_roles() -> None:
    check(RICH)
    check({"novnc_hypervisors": {}})


@pytest.mark.parametrize(
    ("written", "words"),
    [
        (
            {"novnc_gateway_user": {}},
            "unknown key 'novnc_gateway_user'; did you mean novnc_gateway_users?",
        ),
        ({"novnc_gateway_port": "443"}, "novnc_gateway_port is '443', which is no int"),
        ({"novnc_gateway_port": True}, "novnc_gateway_port is True, which is no int"),
        ({"novnc_gateway_names": "gw"}, "novnc_gateway_names is 'gw', which is no list"),
        ({"novnc_gateway_names": ["gw", 1]}, "novnc_gateway_names has 1, which is no str"),
        ({"novnc_gateway_rules": ["gw"]}, "novnc_gateway_rules has 'gw', which is no dict"),
    ],
)
def test_other_keys_and_types_are_refused(written: dict[str, Any], words: str) -> None:
    with pytest.raises(WrittenError) as refused:
        check(written)
    assert words in str(refused.value)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        (
            {"novnc_gateway_names": ["https://gw"]},
            "'https://gw' in novnc_gateway_names is no public",
        ),
        ({"novnc_gateway_admins": ["kim"]}, "write everyone, user:name or group:name"),
        ({"novnc_gateway_tls_key": ""}, "novnc_gateway_tls_key belong together"),
        ({"novnc_gateway_client_ca": "/ca.crt"}, "novnc_gateway_client_ca belong together"),
        ({"novnc_gateway_metrics_address": "0.0.0.0:1"}, "write an address of the loopback"),
    ],
)
def test_what_the_role_refuses_is_refused(changed: dict[str, Any], words: str) -> None:
    with pytest.raises(WrittenError) as refused:
        in_a_container({**RICH, **changed}, {**KNOWN, "novnc_installed_version": "1.6.0"})
    assert words in str(refused.value)


def test_every_key_has_a_type_that_is_known() -> None:
    for name in ("novnc_endpoint", "novnc_gateway"):
        options = yaml.safe_load(
            (ROOT / "roles" / name / "meta" / "argument_specs.yml").read_text()
        )
        kinds = {one["type"] for one in options["argument_specs"]["main"]["options"].values()}
        assert kinds <= set(roles._TYPES)


class Image:
    """An endpoint's container as far as its settings go, and a gateway's."""

    def __init__(self, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.path = here / "written.yml"
        self.generations = Generations(str(here / "run"))
        for image in (endpoint_image, gateway_image):
            monkeypatch.setattr(image, "WRITTEN", str(self.path))
        known = {**KNOWN, "novnc_installed_version": "1.6.0", "_novnc_gateway_nginx": {}}
        monkeypatch.setattr(gateway_image, "_content", lambda: {**known, "ansible_host": "::1"})
        self._pki = here / "pki"

    def endpoint(self, text: str, listening: TcpTarget | None = None) -> None:
        """Make what an endpoint reads."""
        Authority(self._pki).issue([Request("tls", "server", ("kvm1",))])
        own = {"cert": "tls.crt", "key": "tls.key", "ca": "ca.crt"}
        keys = {f"novnc_endpoint_{key}": str(self._pki / name) for key, name in own.items()}
        self.path.write_text(f"novnc_endpoint_allowed_names: [gw]\n{yaml.safe_dump(keys)}{text}")
        endpoint_image.make(self.generations, listening)

    def gateway(self, text: str, listening: str = "") -> None:
        """Make what a gateway reads."""
        self.path.write_text(f"{yaml.safe_dump({**PLAIN, 'novnc_gateway_names': ['gw']})}{text}")
        gateway_image.make(self.generations, listening)


@pytest.fixture
def image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Image:
    return Image(tmp_path, monkeypatch)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("novnc_endpoint_port: 70000", "novnc_endpoint_port: '70000' is no port"),
        ("novnc_endpoint_address: ''", "':16900' is neither"),
        ("novnc_endpoint_address: 'unix:/run/a'", "novnc_endpoint_address"),
        ("novnc_endpoint_address: 2024-02-03", "novnc_endpoint_address is datetime.date("),
        ("novnc_endpoint_address: 2024-02-30", "is no YAML"),
        ("novnc_endpoint_allowed_names: [{gw: 1}]", "has {'gw': 1}, which is no str"),
        ("novnc_endpoint_qmp: {db01: 2024-02-03}", "novnc_endpoint_qmp has 'db01'"),
        ("novnc_endpoint_qmp: {1: /run/a}", "novnc_endpoint_qmp has 1"),
        ("novnc_endpoint_session_timeout: 1" + 400 * "0", "OverflowError"),
        ("novnc_endpoint_session_timeout: 1" + 5000 * "0", "is no YAML"),
        ('novnc_endpoint_cert: "a\\0b"', "ValueError: embedded null"),
        ("novnc_endpoint_cert: " + 5000 * "a", "File name too long"),
        ("inventory_hostname: 2024-02-03", "inventory_hostname is datetime.date("),
        ("novnc_vms: {web01: 2024-02-03}", "web01 in novnc_vms"),
        ("novnc_vms: {2024-02-03: 5900}", "in novnc_vms"),
        ("novnc_vms: " + 2000 * "[", "is no YAML"),
    ],
)
def test_what_an_endpoint_cannot_use_is_one_sentence(
    image: Image, capsys: pytest.CaptureFixture[str], text: str, words: str
) -> None:
    image.endpoint("")
    before = image.generations.current.resolve()
    with pytest.raises(SystemExit) as ended:
        run(lambda: image.endpoint(text))
    assert ended.value.code == BAD_VALUE
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1
    assert image.generations.current.resolve() == before


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("novnc_hypervisors: {hosts: {kvm1: {novnc_endpoint_port: abc}}}", "kvm1 in novnc_hyp"),
        ("novnc_hypervisors: {hosts: {kvm1: {novnc_endpoint_port: 70000}}}", "is 70000; write a"),
        ("novnc_hypervisors: {hosts: {kvm1: {novnc_endpoint_port: true}}}", "is True; write a"),
        (
            "novnc_hypervisors: {hosts: {kvm1: }, vars: {novnc_endpoint_port: }}",
            "novnc_endpoint_port of kvm1 in novnc_hypervisors is None",
        ),
        ("novnc_gateway_addresses: []", "novnc_gateway_addresses is empty"),
        ("novnc_gateway_addresses: [2024-02-03]", "novnc_gateway_addresses has datetime.date("),
        ("novnc_gateway_admins: [2024-02-30]", "is no YAML"),
        ("inventory_hostname: [kvm1]", "inventory_hostname is ['kvm1'], which is no str"),
    ],
)
def test_what_a_gateway_cannot_use_is_one_sentence(
    image: Image, capsys: pytest.CaptureFixture[str], text: str, words: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        run(lambda: image.gateway(text))
    assert ended.value.code == BAD_VALUE
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1


def test_a_reload_moves_no_listener(image: Image) -> None:
    here = TcpTarget("0.0.0.0", 16900)
    image.endpoint("", here)
    before = image.generations.current.resolve()
    with pytest.raises(WrittenError, match=r"is '0.0.0.0:17000', and was '0.0.0.0:16900'"):
        image.endpoint("novnc_endpoint_port: 17000", here)
    with pytest.raises(WrittenError, match=r"is '\[::1\]:1', and was '127.0.0.1:16901'"):
        image.gateway("novnc_gateway_metrics_address: '[::1]:1'", "127.0.0.1:16901")
    assert image.generations.current.resolve() == before


def test_a_mount_over_the_images_own_link_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = tmp_path / "consoles.json"
    monkeypatch.setattr(endpoint_image, "CONSOLES_JSON", str(link))
    with pytest.raises(WrittenError, match="is mounted as a whole, over what the image has there"):
        endpoint_image.check_mounts()
    link.symlink_to("nowhere yet")
    endpoint_image.check_mounts()


def test_an_address_that_is_taken_is_named_as_it_is_written() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(WrittenError, match=r"^novnc_endpoint_port is '127.0.0.1:.*cannot be had"),
    ):
        listen(TcpTarget("127.0.0.1", taken.getsockname()[1]), "novnc_endpoint_port")
