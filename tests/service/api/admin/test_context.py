"""What an operator's calls are given, from the settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.access import GUARDED
from tickfan.api.admin.context import ADMIN

if TYPE_CHECKING:
    from tests.support.fixtures import MakeLive


async def test_without_keys_there_is_no_list_of_revocations(make_live: MakeLive) -> None:
    """Nobody has a token then; the calls that need it say so by name."""
    plain, guarded = await make_live(), await make_live(**GUARDED)
    assert plain.service.admin[ADMIN].revocations is None
    assert guarded.service.admin[ADMIN].revocations is guarded.service.revocations is not None
    for ask in (plain.admin.get, plain.admin.post):
        answer = await ask("/v1/admin/revocations")
        error = (await answer.json())["error"]
        assert (answer.status, error["code"]) == (403, "admin_off")
        assert "key" in error["message"]
