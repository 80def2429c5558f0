# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""Wrong passwords slow down those who try them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from novnc_directory.throttle import Attempt, Throttle

from tests.unit.fakes import untimed

EVIL, HOME = "198.51.100.66", "192.0.2.7"


def fail(throttle: Throttle, address: str, account: str, now: float = 0.0) -> Attempt:
    """Try a wrong password."""
    attempt = throttle.begin(address, account, now)
    if not attempt.wait:
        throttle.failed(attempt, now)
    return attempt


def succeed(throttle: Throttle, address: str, account: str, now: float = 0.0) -> Attempt:
    """Try the right one."""
    attempt = throttle.begin(address, account, now)
    if not attempt.wait:
        throttle.succeeded(attempt, account)
    return attempt


def guess(throttle: Throttle, times: int, *, account: str = "kim", now: float = 0.0) -> int:
    """Try passwords one after the other from one address; return how many were let through."""
    return sum(fail(throttle, EVIL, account, now).wait == 0 for _ in range(times))


def test_a_typing_error_costs_nothing() -> None:
    throttle = Throttle()
    tries = [fail(throttle, HOME, "kim") for _ in range(5)]
    assert {(one.wait, one.delay) for one in tries} == {(0.0, 0.0)}


def test_who_guesses_is_told_to_wait_at_once() -> None:
    throttle = Throttle()
    assert guess(throttle, 1000) == 5
    assert 0 < throttle.begin(EVIL, "kim", 0.0).wait <= 1


def test_many_at_once_gain_nothing() -> None:
    throttle = Throttle()
    tries = [throttle.begin(EVIL, "kim", 0.0) for _ in range(1000)]
    assert sum(one.wait == 0 for one in tries) == 5
    for one in tries[:5]:
        throttle.unheard(one)  # nobody has looked at those passwords
    assert throttle.begin(EVIL, "kim", 0.0).wait == 0
    assert throttle._failures == {}


def test_half_a_day_of_guessing_is_no_more_than_an_hour() -> None:
    throttle = Throttle()
    for second in range(0, 50_000, 16):
        guess(throttle, 1, now=float(second))
    assert fail(throttle, EVIL, "kim", 50_016.0).wait == 0
    assert guess(throttle, 1000, now=54_000.0) == 5


def test_other_accounts_do_not_help_who_guesses() -> None:
    throttle = Throttle()
    assert sum(guess(throttle, 1, account=f"user{number}") for number in range(1000)) == 5


def test_an_hour_of_guessing_gets_nowhere() -> None:
    throttle = Throttle()
    through = sum(guess(throttle, 1, now=float(second)) for second in range(3600))
    assert through < 3600 / 15


def test_who_was_told_to_wait_gets_in_afterwards() -> None:
    throttle = Throttle()
    guess(throttle, 1000)
    wait = throttle.begin(EVIL, "kim", 0.0).wait
    assert throttle.begin(EVIL, "kim", wait).wait == 0


def test_the_right_one_gets_in_from_elsewhere_whatever_is_guessed() -> None:
    throttle = Throttle()
    for number in range(1000):
        fail(throttle, f"203.0.{number // 250}.{number % 250}", "kim")
    attempt = throttle.begin(HOME, "kim", 0.0)
    assert attempt.wait == 0
    assert 0 < attempt.delay <= 3


def test_where_somebody_has_logged_in_others_do_not_slow_them() -> None:
    throttle = Throttle()
    succeed(throttle, EVIL, "kim")
    guess(throttle, 1000, account="bob")
    for number in range(200):
        fail(throttle, f"203.0.113.{number}", "kim")
    attempt = throttle.begin(EVIL, "kim", 0.0)
    assert (attempt.wait, attempt.delay, attempt.known) == (0.0, 0.0, True)
    assert guess(throttle, 1000) == 4


def test_a_restart_forgets_nobody_who_has_logged_in() -> None:
    throttle = Throttle()
    throttle.know(succeed(Throttle(), "2001:db8:0:1::1", "kim").place, "kim")
    assert throttle.begin("2001:db8:0:1::2", "kim", 0.0).known
    assert not throttle.begin("2001:db8:0:1::2", "bob", 0.0).known


def test_others_who_log_in_prolong_no_wait() -> None:
    throttle = Throttle()
    for second in (0, 0, 0, 0, 0, 1, 3, 7, 15):
        guess(throttle, 1, now=float(second))
    assert throttle.begin(EVIL, "kim", 16.0).wait == 15.0
    assert succeed(throttle, EVIL, "bob", 31.0).wait == 0
    assert throttle.begin(EVIL, "kim", 31.0).wait == 0


def test_one_who_logs_in_everywhere_takes_nobodys_place() -> None:
    throttle = Throttle()
    succeed(throttle, HOME, "kim")
    for number in range(20_000):
        succeed(throttle, f"2001:db8:{number:x}::1", "mallory")
    assert throttle.begin(HOME, "kim", 0.0).known
    assert len(throttle._known["mallory"]) <= 20


def test_good_accounts_buy_no_guesses_at_others() -> None:
    throttle = Throttle()
    through = guess(throttle, 4)
    for number in range(1000):
        succeed(throttle, EVIL, f"mallory{number % 3}")
        through += guess(throttle, 1)
    assert through == 5


def test_failures_are_forgotten() -> None:
    throttle = Throttle()
    guess(throttle, 1000)
    assert guess(throttle, 1000, now=600.0) == 5


def test_all_addresses_of_one_customer_are_one() -> None:
    throttle = Throttle()
    found = [fail(throttle, f"2001:db8:0:1::{number:x}", "kim") for number in range(100)]
    assert sum(one.wait == 0 for one in found) == 5
    assert throttle.begin("2001:db8:0:2::1", "bob", 0.0).wait == 0
    assert throttle.begin("::ffff:192.0.2.7", "bob", 0.0).wait == 0


def test_a_site_has_many_networks_and_not_as_many_tries() -> None:
    throttle = Throttle()
    networks = [f"2001:db8:1:{number:x}::1" for number in range(10_000)]
    assert sum(fail(throttle, one, f"user{one}").wait == 0 for one in networks) <= 40
    assert throttle.begin("2001:db8:2::1", "kim", 0.0).wait == 0


def test_what_is_kept_in_mind_has_an_end() -> None:
    throttle = Throttle()
    for number in range(30_000):
        address = f"10.{number // 65536}.{number // 256 % 256}.{number % 256}"
        fail(throttle, address, f"user{number}")
        succeed(throttle, address, f"user{number}")
    assert 9_000 < len(throttle._failures) <= 10_000
    assert len(throttle._known) <= 10_000
    assert throttle._tried == {}


STEPS = st.lists(
    st.tuples(
        st.sampled_from([EVIL, HOME, "2001:db8::1", "no address"]),
        st.sampled_from(["kim", "bob", ""]),
        st.booleans(),
        st.floats(0, 100),
    ),
    max_size=200,
)


@untimed
@given(STEPS)
def test_waits_are_bounded_whatever_happens(steps: list[tuple[str, str, bool, float]]) -> None:
    throttle, now = Throttle(), 0.0
    under_way: list[tuple[Attempt, str]] = []
    for address, account, knows, later in steps:
        now += later
        attempt = throttle.begin(address, account, now)
        assert 0 <= attempt.wait <= 16
        assert 0 <= attempt.delay <= 3
        if not attempt.wait:
            under_way.append((attempt, account))
        if knows and under_way:
            throttle.succeeded(*under_way.pop(0))
        elif len(under_way) > 3:
            throttle.failed(under_way.pop()[0], now)
    for attempt, _ in under_way:
        throttle.unheard(attempt)
    assert throttle._tried == {}
