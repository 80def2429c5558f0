# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""The console of one VNC server in a container.

The environment says which: ``VNC_TARGET``, ``LISTEN``, ``TLS_CERT``, ``TLS_KEY`` and
``ALLOWED_ORIGINS``, each of which may be ``<name>_FILE`` instead.
"""
