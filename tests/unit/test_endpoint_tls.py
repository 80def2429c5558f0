"""Whether a certificate that was believed once still is."""

from __future__ import annotations

import ssl

import pytest
from novnc_endpoint.tls import has_ended

END = "Nov 23 02:44:00 2026 GMT"


@pytest.mark.parametrize(("seconds", "ended"), [(-1, False), (0, False), (1, True)])
def test_a_certificate_is_good_until_its_end(seconds: int, ended: bool) -> None:
    now = ssl.cert_time_to_seconds(END) + seconds
    assert has_ended({"notAfter": END}, now) is ended
