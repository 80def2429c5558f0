# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""The directory: who may open which console, and where it is. It carries no console's byte."""
