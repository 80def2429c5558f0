"""The endpoint's image answers as an endpoint does that the role has brought: by the same tests.

Left out is what changes an endpoint's own files, its units or its process, which a container has
otherwise (../test_fleet.py, ../test_libvirt.py), and what asks for its process's figures under
load.
"""

from __future__ import annotations

from tests.endpoint.test_access import (  # noqa: F401 (pytest runs them)
    test_a_name_that_is_not_on_the_list_is_refused,
    test_a_servers_certificate_is_no_gateways,
    test_a_vm_that_there_is_not_is_404,
    test_an_allowed_name_of_a_foreign_authority_hears_nothing,
    test_no_page_may_open_a_console,
    test_no_ticket_outlasts_its_certificate,
    test_old_tls_hears_nothing,
    test_plain_http_hears_nothing,
    test_the_same_is_let_in_when_all_is_right,
    test_what_follows_no_handshake_is_refused,
    test_who_and_how_must_be_said,
    test_without_a_certificate_nothing_is_heard,
)
from tests.endpoint.test_remembered import (  # noqa: F401 (pytest runs them)
    test_a_screen_that_has_left_its_place_shows_no_other,
    test_a_vm_that_has_gone_is_said_to_be,
    test_libvirt_is_not_asked_for_a_vm_that_runs_on,
    test_of_two_vms_of_one_name_each_is_shown_by_uuid,
    test_vms_that_have_traded_ports_are_each_shown,
)
from tests.endpoint.test_sessions import (  # noqa: F401 (pytest runs them)
    test_a_domain_is_shown_by_name,
    test_a_session_ends_with_its_vm_and_says_why,
    test_a_session_is_listed_ended_and_written_down,
    test_a_vm_is_shown_by_uuid_too,
    test_a_vm_of_plain_qemu_is_shown,
    test_a_vm_that_is_off_is_said_to_be,
    test_all_vms_are_found,
    test_libvirt_that_does_not_answer_is_a_sentence,
    test_metrics_count,
    test_the_17th_visitor_of_a_vm_is_turned_away_and_others_are_not,
)
from tests.endpoint.test_strangers import (  # noqa: F401 (pytest runs them)
    test_strangers_get_no_byte_of_rfb,
    test_the_same_request_of_a_gateway_gets_it,
)
from tests.endpoint.test_watch import (  # noqa: F401 (pytest runs them)
    test_a_thousand_messages_of_who_watches_change_nothing,
    test_all_of_it_arrives_when_somebody_controls,
    traced,
)
