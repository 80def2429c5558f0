# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""Passwords are checked a few at a time, and what that takes tells nobody whose they are."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from typing import Any

import pytest
from ansible_collections.novnc.fleet.plugins.module_utils.passwords import check_password, cost_of
from novnc_directory import accounts
from novnc_directory.accounts import Accounts, BusyError
from novnc_directory.rights import Account

from tests.harness.directory import cheap_hash

RIGHT = "kim's password"
KIM = Account("kim", cheap_hash(RIGHT))


@pytest.fixture
def written() -> dict[str, Account]:
    """Return two accounts, one of which costs more to check."""
    dear = KIM.password_hash.replace("$4$", "$6$", 1)
    return {"kim": KIM, "dora": Account("dora", dear)}


def test_who_knows_the_password_has_the_account(written: dict[str, Account]) -> None:
    async def run() -> list[Account | None]:
        found = Accounts(written)
        tries = [("kim", "kim's password"), ("kim", "x"), ("x", "kim's password"), ("x", "x")]
        return [await found.check(*one, known=known) for one in tries for known in (False, True)]

    assert asyncio.run(run()) == [KIM, KIM, *[None] * 6]


def test_a_flood_is_refused_and_keeps_nobody_out_who_is_known(
    written: dict[str, Account], monkeypatch: pytest.MonkeyPatch
) -> None:
    flood = threading.Event()

    def slow(password: str, hashed: str) -> bool:
        if password != RIGHT:
            flood.wait()
        return check_password(password, hashed)

    monkeypatch.setattr(accounts, "check_password", slow)

    async def run() -> Counter[str]:
        found = Accounts(written)
        tries = [asyncio.create_task(found.check("kim", "guess", known=False)) for _ in range(100)]
        try:
            await asyncio.sleep(0)  # so that all of them have come
            assert await found.check("kim", "kim's password", known=True) == KIM
            with pytest.raises(BusyError):
                await found.check("kim", "kim's password", known=False)
        finally:
            flood.set()
        done = await asyncio.gather(*tries, return_exceptions=True)
        assert await found.check("kim", "kim's password", known=False) == KIM
        return Counter(type(one).__name__ for one in done)

    assert asyncio.run(run()) == {"NoneType": 42, "BusyError": 58}


def test_a_name_that_nobody_has_costs_what_a_name_costs(
    written: dict[str, Account], monkeypatch: pytest.MonkeyPatch
) -> None:
    costs: list[tuple[int, int, int]] = []

    def check(password: str, hashed: str) -> bool:
        costs.append(cost_of(hashed))
        return True  # whatever it is checked against

    monkeypatch.setattr(accounts, "check_password", check)

    async def run(found: Accounts, name: str) -> Any:
        assert await found.check(name, "x", known=False) is None
        return costs[-1]

    found = Accounts(written)
    strangers = [asyncio.run(run(found, f"user{number}")) for number in range(100)]
    # As if half of them were accounts of either kind, and each of them always the same.
    assert 20 < strangers.count((4, 8, 1)) < 80
    assert set(strangers) == {(4, 8, 1), (6, 8, 1)}
    assert strangers[:9] == [asyncio.run(run(Accounts(written), f"user{n}")) for n in range(9)]
    found.use({"kim": KIM})
    assert {asyncio.run(run(found, f"user{number}")) for number in range(20)} == {(4, 8, 1)}
    found.use({})
    assert asyncio.run(run(found, "kim")) == (15, 8, 1)
