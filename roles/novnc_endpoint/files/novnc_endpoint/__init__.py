# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""The endpoint: one port of a hypervisor, behind which all its consoles are."""
