# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""A gateway in a container, configured by ``/etc/novnc-fleet/gateway.yml``.

That has what an inventory would have: the keys of the role ``novnc_gateway``, and
``novnc_hypervisors`` with its hosts.
"""
