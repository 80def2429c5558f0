"""The gateway's image answers as a gateway does that the role has made: by the same tests.

Left out is what runs playbooks or changes a host's files and units (../test_fleet.py has what a
container has in their place), what is about figures on loopback, and the load of guesses.
"""

from __future__ import annotations

import pytest

from tests.gateway.test_fleet import (  # noqa: F401 (pytest runs them)
    ada,
    new,
    test_a_bookmark_follows_a_vm_to_another_host,
    test_vms_that_come_go_and_trade_ports,
)
from tests.gateway.test_handshake import (  # noqa: F401 (pytest runs them)
    test_a_body_is_refused_before_it_comes,
    test_http2_is_refused,
    test_other_protocols_are_refused,
    test_what_a_browser_sends_opens_it,
    test_what_is_no_handshake_is_refused,
)
from tests.gateway.test_metrics import (  # noqa: F401 (pytest runs them)
    test_an_answers_age_grows_until_there_is_another,
    test_log_ins_and_consoles_are_counted,
    test_vms_are_counted_and_so_are_days,
)
from tests.gateway.test_operation import (  # noqa: F401 (pytest runs them)
    test_log_out_ends_the_users_consoles,
    test_the_audit_tells_start_and_end_by_one_id,
)
from tests.gateway.test_protection import (  # noqa: F401 (pytest runs them)
    novnc,
    test_a_page_of_the_gateways_own_opens_a_console,
    test_an_evil_host_leads_nowhere,
    test_answers_bear_the_headers_that_protect,
    test_endless_headers_are_refused,
    test_no_log_in_leads_away,
    test_no_other_page_does,
    test_no_other_page_logs_anybody_in_or_out,
    test_no_redirect_leads_away,
    test_novncs_files_are_versioned_compressed_and_kept,
    test_plain_http_only_redirects_and_never_by_host,
    test_slow_headers_are_cut_off_and_500_of_them_cost_a_log_in_nothing,
)
from tests.gateway.test_rights import (  # noqa: F401 (pytest runs them)
    test_a_watcher_sees_the_same_screen_and_cannot_type,
    test_everybody_is_listed_exactly_what_they_may,
    test_everybody_opens_exactly_what_they_may,
    test_no_spelling_opens_what_may_not_be_seen,
    test_spoofed_headers_are_no_log_in,
    test_spoofed_headers_change_nothing,
    test_the_directorys_own_paths_are_not_for_visitors,
    test_what_may_not_be_seen_is_as_what_is_not_there,
    test_whatever_spelling_opens_what_may_be_watched_it_is_watched,
    test_who_comes_is_what_nginx_says,
    test_without_a_log_in_there_is_nothing,
)
from tests.gateway.test_tls import (  # noqa: F401 (pytest runs them)
    test_old_tls_is_told_so,
    test_tls_is_as_mozilla_has_it,
)

pytestmark = pytest.mark.usefixtures("gateway")
