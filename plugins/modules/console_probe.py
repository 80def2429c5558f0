#!/usr/bin/python
# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""The module novnc.fleet.console_probe."""

from __future__ import annotations

DOCUMENTATION = r"""
module: console_probe
short_description: Probe browser consoles and VNC servers hop by hop
version_added: 0.1.0
description:
  - Goes the way a browser goes to each console (name, connection, TLS, WebSocket, VNC) and
    says at which hop it ends, why, and what mends it.
  - Compares the desktop name each VNC server announces with the expected one, so that a console
    which shows another VM is found. QEMU announces C(QEMU (NAME)).
  - VNC servers that want a login are reached, but not logged in to; their name stays unknown.
  - Never disturbs anybody, as connections are shared and no key is pressed.
options:
  targets:
    description: Consoles to probe.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description:
          - What to call the console in messages, in RV(results) and, with O(png_dir), as a file.
          - 1 to 63 letters, digits, dots, underscores and hyphens, a letter or digit first;
            once only.
        type: str
        required: true
      url:
        description:
          - Where it is, V(ws://HOST:PORT/PATH) or V(wss://HOST:PORT/PATH) for a console in front
            of a VNC server, V(HOST:PORT), V([IPV6]:PORT) or V(unix:/PATH) for the server itself.
        type: str
        required: true
      expect_name:
        description:
          - Desktop name that its VNC server is to announce.
          - On any other target this name is a failure.
        type: str
      strict:
        description:
          - Whether any name but O(targets[].expect_name) is a failure.
          - Without it, a name that no target expects is merely not verified.
        type: bool
        default: false
      origin:
        description: HTTP C(Origin) to send as browsers do, such as V(https://consoles.example).
        type: str
      page:
        description: URL of the page in front of the console, which has to be served too.
        type: str
  other_names:
    description:
      - Desktop names that VMs beside the targets are to announce; on a target they are a failure.
    type: list
    elements: str
    default: []
  frame:
    description: Whether to read each screen too, which measures RV(results[].ms_first_frame).
    type: bool
    default: false
  png_dir:
    description:
      - Existing directory on the target host for pictures of the screens, as C(NAME.png).
      - Implies O(frame). Nothing is written in check mode.
    type: path
  ca:
    description: File of trusted CA certificates (PEM) for wss instead of the system's.
    type: path
  client_cert:
    description: File of a certificate (PEM) for wss servers that want one; with O(client_key).
    type: path
  client_key:
    description: File of its key (PEM).
    type: path
  headers:
    description: More HTTP headers to send to ws and wss, by their names.
    type: dict
    default: {}
  verify:
    description: Whether certificates of wss must be trusted and bear the host's name.
    type: bool
    default: true
  timeout:
    description: Seconds for each target, from looking up its name to the last byte of its screen.
    type: float
    default: 10
  workers:
    description: How many targets to probe at a time.
    type: int
    default: 16
attributes:
  check_mode:
    description: Can run in check mode and predict changes without making any.
    support: full
    details: Probes as always, but writes no pictures.
  diff_mode:
    description: Returns details on what has changed, or would change, when in diff mode.
    support: none
    details: Nothing is ever changed.
  platform:
    description: Target operating systems.
    support: full
    platforms: posix
author:
  - novnc-fleet contributors
"""

EXAMPLES = r"""
- name: Probe a console through its proxy, and the VNC server behind it
  novnc.fleet.console_probe:
    targets:
      - name: web01
        url: wss://consoles.example:6080/websockify?token=web01
        expect_name: QEMU (web01)
        origin: https://consoles.example
      - name: web01-direct
        url: 127.0.0.1:5900
        expect_name: QEMU (web01)
        strict: true
    ca: /etc/ssl/certs/consoles-ca.pem

- name: Take pictures of two screens
  novnc.fleet.console_probe:
    targets:
      - name: db01
        url: unix:/run/vms/db01.vnc
      - name: db02
        url: "[::1]:5902"
    png_dir: /tmp/screens
"""

RETURN = r"""
results:
  description: What was found, in the order of O(targets); also returned on failure.
  returned: when the targets could be probed
  type: list
  elements: dict
  contains:
    name:
      description: The O(targets[].name).
      type: str
      sample: web01
    target:
      description: The O(targets[].url).
      type: str
      sample: 127.0.0.1:5900
    ok:
      description: Whether a VNC server answered and announced nothing wrong.
      type: bool
      sample: true
    hop:
      description:
        - Where the way ended, one of V(resolve), V(connect), V(tls), V(http), V(rfb), V(refused)
          (the VNC server turned the probe away), V(name) (it is another VM's) and V(page).
        - Null if RV(results[].ok).
      type: str
      sample: connect
    error:
      description: What happened there, in a sentence. Null if RV(results[].ok).
      type: str
      sample: "cannot connect to 127.0.0.1:5900: Connection refused; nothing listens there"
    errno:
      description: Name of the system's error behind that, or null.
      type: str
      sample: ECONNREFUSED
    refused:
      description: Whether nothing listens there, as when a directly addressed VM is off.
      type: bool
      sample: true
    http_status:
      description: Status of an HTTP answer that was no WebSocket, or null.
      type: int
      sample: 403
    retry_after:
      description:
        - Seconds after which that answer says to try again, or null.
        - It says so where a VM has as many visitors as it may have.
      type: int
      sample: 60
    version:
      description: The server's version of RFB, or null.
      type: str
      sample: "003.008"
    security_types:
      description: Names of the logins the server offers; V(none) is no login.
      type: list
      elements: str
      sample: [vencrypt, vnc]
    desktop_name:
      description: The name it announced; null if unknown.
      type: str
      sample: QEMU (web01)
    width:
      description: Width of its screen in pixels; null if unknown.
      type: int
      sample: 1024
    height:
      description: Height of its screen in pixels; null if unknown.
      type: int
      sample: 768
    ms_connect:
      description: Milliseconds until the connection stood, or null.
      type: float
      sample: 0.4
    ms_first_byte:
      description: Milliseconds until the first byte of VNC, or null.
      type: float
      sample: 3.1
    ms_first_frame:
      description: Milliseconds until the whole screen was read, or null.
      type: float
      sample: 19.8
    verified:
      description: Whether the announced name is the O(targets[].expect_name).
      type: bool
      sample: true
    png:
      description: Path of the picture written, or null.
      type: str
      sample: /tmp/screens/web01.png
"""

from collections import Counter
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.novnc.fleet.plugins.module_utils.entry import NAME
from ansible_collections.novnc.fleet.plugins.module_utils.probe import (
    Console,
    ProbeResult,
    probe_all,
)


def find_fault(params: dict[str, Any]) -> str | None:
    """Return what is wrong with the options, in a sentence; None if nothing is."""
    names = [target["name"] for target in params["targets"]]
    for name, times in Counter(names).items():
        if not NAME.fullmatch(name):
            return (
                f"target name {name!r} is not usable: write 1 to 63 letters, digits, '.', '_' and "
                "'-', a letter or digit first"
            )
        if times > 1:
            return f"{times} targets have the name {name!r}; give each its own"
    if params["timeout"] <= 0:
        return f"timeout is {params['timeout']:g}; it must be more than 0 seconds"
    if params["workers"] < 1:
        return f"workers is {params['workers']}; it must be at least 1"
    if params["png_dir"] and not Path(params["png_dir"]).is_dir():
        return f"png_dir {params['png_dir']!r} is no directory; create it first"
    return None


def probe_targets(params: dict[str, Any]) -> list[ProbeResult]:
    """Return what the probes found, in the order of the targets."""
    identity = (params["client_cert"], params["client_key"]) if params["client_cert"] else None
    consoles = [
        Console(
            target["url"],
            target["expect_name"],
            target["strict"],
            target["origin"],
            target["page"],
        )
        for target in params["targets"]
    ]
    return probe_all(
        consoles,
        other_names=params["other_names"],
        frame=params["frame"] or params["png_dir"] is not None,
        ca=params["ca"],
        verify=params["verify"],
        identity=identity,
        headers={name: str(value) for name, value in params["headers"].items()},
        timeout=params["timeout"],
        workers=params["workers"],
    )


def write_picture(png_dir: str, name: str, result: ProbeResult) -> str | None:
    """Write a screen to its file and return the path; None if there is no screen."""
    if result.framebuffer is None:
        return None
    path = Path(png_dir, f"{name}.png")
    path.write_bytes(result.framebuffer.png())
    return str(path)


def describe_failures(results: list[dict[str, Any]]) -> str:
    """Return the failures among the results, one a line; empty if there are none."""
    return "\n".join(
        f"{result['name']} ({result['target']}): {result['hop']}: {result['error']}"
        for result in results
        if not result["ok"]
    )


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "targets": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "name": {"type": "str", "required": True},
                    "url": {"type": "str", "required": True},
                    "expect_name": {"type": "str"},
                    "strict": {"type": "bool", "default": False},
                    "origin": {"type": "str"},
                    "page": {"type": "str"},
                },
            },
            "other_names": {"type": "list", "elements": "str", "default": []},
            "frame": {"type": "bool", "default": False},
            "png_dir": {"type": "path"},
            "ca": {"type": "path"},
            "client_cert": {"type": "path"},
            "client_key": {"type": "path"},
            "headers": {"type": "dict", "default": {}},
            "verify": {"type": "bool", "default": True},
            "timeout": {"type": "float", "default": 10},
            "workers": {"type": "int", "default": 16},
        },
        required_together=[("client_cert", "client_key")],
        supports_check_mode=True,
    )
    fault = find_fault(module.params)
    if fault:
        module.fail_json(msg=fault)
    results = []
    for target, found in zip(module.params["targets"], probe_targets(module.params)):
        png = None
        if module.params["png_dir"] and not module.check_mode:
            try:
                png = write_picture(module.params["png_dir"], target["name"], found)
            except OSError as error:
                module.fail_json(msg=f"cannot write the picture of {target['name']!r}: {error}")
        results.append({"name": target["name"], **found.as_dict(), "png": png})
    failures = describe_failures(results)
    if failures:
        module.fail_json(msg=failures, results=results)
    module.exit_json(changed=False, results=results)


if __name__ == "__main__":
    main()
