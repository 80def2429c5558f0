"""Whatever way they came, noVNC and websockify show a VM in a browser, and go without a trace."""

from __future__ import annotations

import json

from playwright.sync_api import Browser

from tests.browser.viewer import EXPECTED, Viewer
from tests.harness.fleet import Console, consoles, hosts, run_playbook, variables
from tests.harness.project import ROOT

PLAYBOOKS = ROOT / "playbooks"


def test_a_browser_shows_the_vm_and_takes_keys(console: Console, browser: Browser) -> None:
    with browser.new_context() as context:
        viewer = Viewer(context.new_page(), console.vm)
        viewer.page.goto(console.url)
        viewer.use()
    assert viewer.complaints - EXPECTED["http"] == set()


def test_it_is_the_version_that_was_asked_for(console: Console, expected: dict[str, str]) -> None:
    with console.session():
        environment = console.on.check_output(
            f"tr '\\0' '\\n' < /proc/{console.main_pid()}/environ"
        )
        served = console.on.check_output(f"readlink /proc/{console.main_pid()}/cwd")
    started = f"noVNC {expected['noVNC']}, websockify {expected['websockify']}, console "
    assert f"NOVNC_CONSOLE_VERSION={started}" in environment
    if variables()[console.host].get("novnc_install_method") == "archive":
        assert served == f"/opt/novnc/{expected['noVNC']}"
        assert json.loads(console.get("/package.json").content)["version"] == expected["noVNC"]
        # A release brings the page, and nothing else.
        for path in ("/utils/novnc_proxy", "/docs/API.md", "/tests/test.rfb.js", "/README.md"):
            assert console.get(path).status == 404


def test_settings_are_served(console: Console, expected: dict[str, str]) -> None:
    settings = variables()[console.host].get("novnc_settings", {})
    reads_them = tuple(map(int, expected["noVNC"].split("."))) >= (1, 6)
    for name in ("defaults", "mandatory"):
        if reads_them:
            assert json.loads(console.get(f"/{name}.json").content) == settings.get(name, {})
            assert json.loads(console.get(f"/{name}.json?x=1").content) == settings.get(name, {})
        else:
            assert console.get(f"/{name}.json").status == 404


def test_uninstalled_the_host_is_as_it_was() -> None:
    run = run_playbook(PLAYBOOKS / "uninstall.yml", "-e", "novnc_uninstall_packages=true")
    assert run.status == 0, run.output
    for name, host in hosts().items():
        said = variables()[name]
        methods = [said.get(f"{role}_install_method") for role in ("novnc", "websockify")]
        # What packages have pulled in stays until this, and some of its settings for good.
        host.check_output("DEBIAN_FRONTEND=noninteractive apt-get --quiet --yes autoremove --purge")
        etc = "/etc/systemd" if None in methods else "/etc"
        places = (etc, "/opt", "/srv", "/usr/local")
        clean = host.check_output("cat /run/novnc-fleet-clean").splitlines()
        before = {line.split()[0] for line in clean if line.startswith(places)}
        after = set(host.check_output(f"find {' '.join(places)} -xdev").splitlines())
        assert after == before
        named = r"\( -iname '*novnc*' -o -iname '*websockify*' \)"
        # The package manager's records, what systemd 249 forgets to tidy up, and our own note.
        exempt = "! -path '/var/*/apt/*' ! -path '/var/*/dpkg/*' ! -path '/run/systemd/propagate/*'"
        exempt += " ! -name novnc-fleet-clean"
        found = host.check_output(f"find / /run -xdev {named} {exempt}")
        assert found == ""
    back = run_playbook(PLAYBOOKS / "consoles.yml")
    assert back.status == 0, back.output
    for console in consoles():
        with console.session(timeout=60) as client:
            assert client.info.name == f"QEMU ({console.vm})"
