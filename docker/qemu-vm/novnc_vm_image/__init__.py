# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""One VM of QEMU in a container, with its VNC server on a unix socket or on an address.

The environment says which: ``VM_NAME``, ``VNC``, ``DISK``, ``DISK_FORMAT``, ``MEMORY`` (MiB),
``CPUS`` and ``QEMU_ARGS``. Without a disk it runs the test guest.
"""
