# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""Wrong passwords slow down those who try them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from novnc_directory.throttle import Attempt, Throttle

from tests.unit.fakes import untimed

EVIL, HOME = "198.51.100.66", "192.0.2.7"


def guess(throttle: Throttle, times: int, *, account: str = "kim", now: float = 0.0) -> int:
    """Try passwords one after the other from one address; return how many were let through."""
    return sum(throttle.begin(EVIL, account, now).wait == 0 for _ in range(times))


def test_a_typing_error_costs_nothing() -> None:
    throttle = Throttle()
    assert [throttle.begin(HOME, "kim", 0.0) for _ in range(5)] == [Attempt(0.0)] * 5


def test_who_guesses_is_told_to_wait_at_once() -> None:
    throttle = Throttle()
    assert guess(throttle, 1000) == 5
    assert 0 < throttle.begin(EVIL, "kim", 0.0).wait <= 1


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
        throttle.begin(f"203.0.{number // 250}.{number % 250}", "kim", 0.0)
    attempt = throttle.begin(HOME, "kim", 0.0)
    assert attempt.wait == 0
    assert 0 < attempt.delay <= 3


def test_where_somebody_has_logged_in_others_do_not_slow_them() -> None:
    throttle = Throttle()
    throttle.begin(EVIL, "kim", 0.0)
    throttle.succeeded(EVIL, "kim", 0.0)
    guess(throttle, 1000, account="bob")
    for number in range(200):
        throttle.begin(f"203.0.113.{number}", "kim", 0.0)
    assert throttle.begin(EVIL, "kim", 0.0) == Attempt(0.0)


def test_good_accounts_buy_no_guesses_at_others() -> None:
    throttle = Throttle()
    through = guess(throttle, 4)
    for number in range(1000):
        if throttle.begin(EVIL, f"mallory{number % 3}", 0.0).wait == 0:
            throttle.succeeded(EVIL, f"mallory{number % 3}", 0.0)
        through += guess(throttle, 1)
    assert through == 5


def test_failures_are_forgotten() -> None:
    throttle = Throttle()
    guess(throttle, 1000)
    assert guess(throttle, 1000, now=600.0) == 5


def test_all_addresses_of_one_customer_are_one() -> None:
    throttle = Throttle()
    found = [throttle.begin(f"2001:db8:0:1::{number:x}", "kim", 0.0) for number in range(100)]
    assert sum(one.wait == 0 for one in found) == 5
    assert throttle.begin("2001:db8:0:2::1", "bob", 0.0).wait == 0
    assert throttle.begin("::ffff:192.0.2.7", "bob", 0.0).wait == 0


def test_what_is_kept_in_mind_has_an_end() -> None:
    throttle = Throttle()
    for number in range(30_000):
        address = f"10.{number // 65536}.{number // 256 % 256}.{number % 256}"
        throttle.begin(address, f"user{number}", 0.0)
        throttle.succeeded(address, f"user{number}", 0.0)
    assert len(throttle._failures) <= 10_000
    assert len(throttle._known) <= 10_000


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
    for address, account, knows, later in steps:
        now += later
        attempt = throttle.begin(address, account, now)
        assert 0 <= attempt.wait <= 16
        assert 0 <= attempt.delay <= 3
        if knows and not attempt.wait:
            throttle.succeeded(address, account, now)
