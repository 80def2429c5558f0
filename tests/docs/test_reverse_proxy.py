"""Behind nginx and HAProxy, set up as the page says: both kinds of console, in a browser."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.novnc.fleet.plugins.plugin_utils.pki import Authority, Request
from playwright.sync_api import Browser, sync_playwright

from tests.browser.viewer import Viewer, chromium, trust
from tests.docs.stage import ADDRESSES, PASSWORD, Stage
from tests.harness.manual import Block, blocks, prose
from tests.harness.project import ROOT

PAGE = ROOT / "docs" / "reverse-proxy.md"
GATEWAY, DIRECT = "https://consoles.example.com", "https://direct.example.com"
PROXIES = ("nginx", "HAProxy")
STOP = "systemctl stop nginx haproxy"
CERTIFICATES = "/etc/ssl/consoles"
HERE = "198.18.90.1"
"""The address from which the hosts see this machine."""


def section(*names: str) -> list[Block]:
    """Return the blocks of some sections of the page; of none, those of all but the proxies'."""
    found = blocks(PAGE)
    return [one for one in found if (one.section in names if names else one.section not in PROXIES)]


def urls() -> list[str]:
    """Return a direct console's addresses in the page's table: from noVNC 1.6 on, and up to 1.5."""
    return re.findall(rf"`({DIRECT}/web01/\S+)`", prose(PAGE))


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the directory of the authority whose certificates the proxy has, and browsers know."""
    directory = tmp_path_factory.mktemp("office")
    names = {"consoles": GATEWAY, "direct": DIRECT}
    requests = [
        Request(f"servers/{file}", "server", (url.removeprefix("https://"),))
        for file, url in names.items()
    ]
    Authority(directory, check=False).issue(requests)
    return directory


@pytest.fixture(scope="module")
def fleet(stage: Stage, office: Path) -> Stage:
    """Return the stage with what the page asks for before its proxies."""
    inventory = next(one for one in blocks(ROOT / "docs" / "change-control.md") if one.path)
    stage.follow([inventory, *section()])
    apt = "DEBIAN_FRONTEND=noninteractive apt-get -qq --no-install-recommends"
    proxy = stage.hosts["proxy1"]
    proxy.check_output(f"apt-get -qq update && {apt} install nginx haproxy curl")
    files = {"novnc-ca.crt": stage.clone / "inventory" / "mine" / "pki" / "ca.crt"}
    for name in ("consoles", "direct"):
        files |= {f"{name}.{end}": office / "servers" / f"{name}.{end}" for end in ("crt", "key")}
    for name, file in files.items():
        stage.put("proxy1", f"{CERTIFICATES}/{name}", file.read_text())
    for name in ("consoles", "direct"):
        place = f"{CERTIFICATES}/{name}"
        proxy.check_output(f"cat {place}.crt {place}.key > {place}.pem")
    return stage


@pytest.fixture(scope="module")
def browser(office: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Run a browser that finds the proxy by its names, and knows the office's authority alone."""
    home = tmp_path_factory.mktemp("home")
    trust(home, office / "ca.crt")
    names = f"--host-resolver-rules=MAP *.example.com {ADDRESSES['192.168.0.20']}"
    with sync_playwright() as playwright, chromium(playwright, home, names) as running:
        yield running


@pytest.fixture(scope="module", params=PROXIES)
def proxy(request: pytest.FixtureRequest, fleet: Stage) -> Stage:
    """Return the stage with one of the proxies in front."""
    fleet.hosts["proxy1"].check_output(STOP)
    fleet.follow(section(request.param))
    return fleet


def test_the_gateway_is_used_through_it(proxy: Stage, browser: Browser) -> None:
    with browser.new_context() as context:
        viewer = Viewer(context.new_page(), "web01")
        viewer.page.goto(f"{GATEWAY}/")
        viewer.page.get_by_label("User name").fill("ada")
        viewer.page.get_by_label("Password").fill(PASSWORD)
        viewer.page.get_by_role("button", name="Log in").click()
        viewer.page.wait_for_url(f"{GATEWAY}/")
        viewer.page.goto(f"{GATEWAY}/vm/web01/")
        viewer.use()
    assert viewer.complaints == set()
    journal = proxy.hosts["gw1"].check_output("journalctl -u novnc-directory -o cat")
    events = [json.loads(line) for line in journal.splitlines() if line.startswith("{")]
    starts = [one for one in events if one["event"] == "console-start"]
    assert starts[-1]["user"] == "ada"
    assert starts[-1]["client"] == HERE


def test_a_direct_console_is_used_through_it(proxy: Stage, browser: Browser) -> None:
    _, up_to_1_5 = urls()
    use(up_to_1_5, browser)


def test_one_of_noVNC_1_6_needs_no_path(fleet: Stage, browser: Browser) -> None:  # noqa: N802
    upgrade = next(one for one in blocks(ROOT / "docs" / "upgrading.md") if one.path)
    consoles = "ansible-playbook -i inventory/mine playbooks/consoles.yml --limit kvm1"
    fleet.follow([upgrade, Block("this test", "", "sh", "run", "", "", 0, consoles)])
    # One that somebody has just used goes on with what it was started with.
    fleet.hosts["kvm1"].check_output("systemctl stop novnc-console@web01.service")
    from_1_6, _ = urls()
    for proxy in PROXIES:
        fleet.hosts["proxy1"].check_output(STOP)
        fleet.follow(section(proxy))
        use(from_1_6, browser)


def use(url: str, browser: Browser) -> None:
    """Look at web01 and type on it."""
    with browser.new_context() as context:
        viewer = Viewer(context.new_page(), "web01")
        viewer.page.goto(url)
        viewer.use()
