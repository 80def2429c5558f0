# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""The endpoint of a host in a container, configured by ``/etc/novnc-fleet/endpoint.yml``.

That has what an inventory would have of the host: the keys of the role ``novnc_endpoint``,
``novnc_vms``, and ``inventory_hostname``.
"""
