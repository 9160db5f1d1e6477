from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2tp_ctl.admin_schema import (
    ARGUMENTS,
    MAX_ID,
    READ_ONLY,
    Command,
    ErrorCode,
    RequestError,
    failure,
    parse_request,
    success,
)

GOOD = {"v": 1, "id": 7, "command": "show-tunnel", "args": {"name": "tokyo"}}


def test_a_request_is_what_its_body_says() -> None:
    request = parse_request(GOOD)
    assert (request.id, request.command, request.args) == (7, Command.SHOW_TUNNEL, {"name": "tokyo"})
    assert request.body() == GOOD


def test_arguments_may_be_left_out_where_none_is_required() -> None:
    assert parse_request({"v": 1, "id": 0, "command": "show-sessions"}).args == {}
    assert parse_request({"v": 1, "id": MAX_ID, "command": "show-tunnels", "args": {}, "later": 1}).id == MAX_ID


@pytest.mark.parametrize(
    ("change", "code", "request_id"),
    [
        ({"id": None}, ErrorCode.MALFORMED, None),
        ({"id": True}, ErrorCode.MALFORMED, None),
        ({"id": -1}, ErrorCode.MALFORMED, None),
        ({"id": MAX_ID + 1}, ErrorCode.MALFORMED, None),
        ({"id": 1.0}, ErrorCode.MALFORMED, None),
        ({"v": 2}, ErrorCode.VERSION, 7),
        ({"v": True}, ErrorCode.VERSION, 7),
        ({"v": None}, ErrorCode.VERSION, 7),
        ({"command": "reboot"}, ErrorCode.UNKNOWN_COMMAND, 7),
        ({"command": ["show-tunnels"]}, ErrorCode.UNKNOWN_COMMAND, 7),
        ({"args": []}, ErrorCode.BAD_ARGUMENTS, 7),
        ({"args": {}}, ErrorCode.BAD_ARGUMENTS, 7),
        ({"args": {"name": "tokyo", "force": "yes"}}, ErrorCode.BAD_ARGUMENTS, 7),
        ({"args": {"name": 3}}, ErrorCode.BAD_ARGUMENTS, 7),
        ({"args": {"name": ""}}, ErrorCode.BAD_ARGUMENTS, 7),
        ({"args": {"name": "x" * 256}}, ErrorCode.BAD_ARGUMENTS, 7),
        ({"command": "show-tunnels"}, ErrorCode.BAD_ARGUMENTS, 7),
    ],
)
def test_each_way_to_be_no_request_has_its_code(
    change: dict[str, Any], code: ErrorCode, request_id: int | None
) -> None:
    with pytest.raises(RequestError) as caught:
        parse_request({**GOOD, **change})
    assert (caught.value.code, caught.value.id) == (code, request_id)


@given(
    st.dictionaries(st.sampled_from(["v", "id", "command", "args"]), st.integers() | st.text() | st.lists(st.text()))
)
def test_any_object_is_a_request_or_the_one_error(body: dict[str, Any]) -> None:
    try:
        assert parse_request(body).command in Command
    except RequestError as error:
        assert error.code in ErrorCode


def test_every_command_has_its_arguments() -> None:
    assert set(ARGUMENTS) == set(Command)
    assert set(Command) > READ_ONLY


def test_answers_have_one_shape() -> None:
    assert success(3, {"cleared": []}) == {"v": 1, "id": 3, "ok": True, "result": {"cleared": []}}
    refused = failure(None, ErrorCode.DENIED, "no")
    assert refused == {"v": 1, "id": None, "ok": False, "error": {"code": "denied", "message": "no"}}
