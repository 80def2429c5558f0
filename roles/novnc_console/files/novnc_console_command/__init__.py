# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""The command ``novnc-console``: a hypervisor's consoles, for people."""

VERSION = "0.1.0"
"""The collection's, as in galaxy.yml."""
