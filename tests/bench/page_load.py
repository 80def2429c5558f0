"""A console's page in Chromium: the gateway's, and the one that websockify serves by itself."""

from __future__ import annotations

from dataclasses import dataclass

import guest_image
from playwright.sync_api import Browser, BrowserContext

from tests.bench.browser import Traffic, browser, milliseconds, visitor
from tests.bench.gateway import VM, Site
from tests.bench.measures import in_turns
from tests.bench.report import Measure, compared

_ROUNDS = 7
_COLD, _WARM = "empty cache", "full cache"
# The guest is there when its colour is: read from the canvas, it is what a person sees.
_SEE = """
(() => {
  const colour = COLOUR;
  const look = () => {
    const canvas = document.querySelector("#noVNC_container canvas, #screen canvas");
    if (canvas?.width === 720 && canvas.height === 400) {
      const pixel = canvas.getContext("2d").getImageData(0, 0, 1, 1).data;
      if (colour.every((channel, i) => channel === pixel[i])) {
        window.seen = performance.now();
        return;
      }
    }
    requestAnimationFrame(look);
  };
  look();
})();
""".replace("COLOUR", str(list(guest_image.colour(VM))))


@dataclass(frozen=True)
class Load:
    """What it took until the guest could be seen."""

    requests: int
    bytes: int
    milliseconds: float


def _load(context: BrowserContext, url: str) -> Load:
    page = context.new_page()
    traffic = Traffic()
    traffic.listen(page)
    page.goto(url)
    took = milliseconds(page, "window.seen ?? null")
    # What the page asks for then is for the time after.
    found = Load(traffic.requests, traffic.bytes, took)
    page.close()
    return found


def _loads(running: Browser, site: Site) -> dict[str, tuple[list[Load], list[Load]]]:
    """Return the loads of both pages, ours first, in pairs that were taken one after the other."""
    found: dict[str, tuple[list[Load], list[Load]]] = {_COLD: ([], []), _WARM: ([], [])}
    turns = in_turns(_ROUNDS + 1, site.gateway_page, site.rival_page)
    for number, (side, url) in enumerate(turns):
        with visitor(running, site) as context:
            context.add_init_script(_SEE)
            taken = {when: _load(context, url) for when in (_COLD, _WARM)}
        if number >= 2:  # the first round fills the caches of the hosts
            for when, load in taken.items():
                found[when][side].append(load)
    return found


def measure(site: Site) -> list[Measure]:
    """Compare the pages, from the click to the guest's picture."""
    with browser() as running:
        loads = _loads(running, site)
    measures = []
    for when, (ours, stock) in loads.items():
        for name, unit in (("requests", ""), ("bytes", ""), ("milliseconds", "ms")):
            mine, theirs = ([float(getattr(one, name)) for one in side] for side in (ours, stock))
            title = f"console's page, {when}: {name}, gateway to websockify"
            # websockify lets a browser keep even the page itself; ours is told anew each time.
            goal = None if when == _WARM and name != "milliseconds" else 1
            measures.append(compared(site.gateway.name, title, unit, (mine, theirs), goal))
    return measures
