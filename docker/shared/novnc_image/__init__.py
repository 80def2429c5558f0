# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""What the images' own programs share."""
