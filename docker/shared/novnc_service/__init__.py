# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""Services in containers that are configured as the roles are: by the same keys, read alike."""
