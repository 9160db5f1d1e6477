"""Who may do what: callers of other users, made with setresuid, on real sockets."""

from __future__ import annotations

import grp
import os
import traceback
from collections.abc import Callable, Iterator, Sequence

import pytest

from l2tp_admin import client
from l2tp_admin.peer import Peer, Role, Roles, user_name
from l2tp_ctl.admin_schema import ARGUMENTS, READ_ONLY, Command, ErrorCode
from tests.admin.daemons import Daemons, ask, connect, exchange, lines, request, running
from tests.support.netns import Process

OPERATORS, VIEWERS = "daemon", "bin"
ALICE = 54321
"""A user number that has no name."""

Running = tuple[Daemons, Process, Process]


def group(name: str) -> int:
    return grp.getgrnam(name).gr_gid


def as_user(uid: int, groups: Sequence[int], do: Callable[[], object], gid: int = ALICE) -> None:
    """Run ``do`` in a child that is another user; AssertionError with its traceback if it raises."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups(groups)
            os.setresgid(gid, gid, gid)
            os.setresuid(uid, uid, uid)
            do()
        except BaseException:  # noqa: BLE001 - a child must never return into the test run
            os.write(writer, traceback.format_exc().encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as failure:
        problem = failure.read()
    os.waitpid(pid, 0)
    assert not problem, problem


@pytest.fixture(scope="module")
def served() -> Iterator[Running]:
    with running("--operators", OPERATORS, "--viewers", VIEWERS) as both:
        yield both


def may_only_look(daemons: Daemons) -> None:
    assert ask(daemons.admin, "show-tunnels")["ok"]
    assert ask(daemons.admin, "show-tunnel", name="tokyo")["ok"]
    assert ask(daemons.admin, "show-sessions")["ok"]
    for command in ("clear-tunnel", "clear-session"):
        error = ask(daemons.admin, command, target="tokyo")["error"]
        assert error == {"code": "denied", "message": "user ? may only look"}


@pytest.mark.root
def test_an_operator_may_give_every_command(served: Running) -> None:
    daemons, admin, _ = served

    def operate() -> None:
        assert ask(daemons.admin, "show-tunnels")["ok"]
        assert ask(daemons.admin, "clear-tunnel", target="tokyo")["ok"]

    as_user(ALICE, [group(OPERATORS)], operate)
    as_user(ALICE, [], operate, gid=group(OPERATORS))
    as_user(ALICE, [group(VIEWERS), group(OPERATORS)], operate)
    assert len(lines(admin.text(), "<5>admin command clear-tunnel tokyo", f"by uid {ALICE} (?), pid", ": done")) == 3


@pytest.mark.root
def test_a_viewer_may_only_look(served: Running) -> None:
    daemons, admin, control = served
    before = control.text().count("clear")
    as_user(ALICE, [group(VIEWERS)], lambda: may_only_look(daemons))
    assert control.text().count("clear") == before
    assert lines(admin.text(), "<5>admin command clear-session tokyo", f"uid {ALICE}", "denied, user ? may only look")


@pytest.mark.root
def test_a_stranger_may_do_nothing(served: Running) -> None:
    daemons, _, control = served
    before = control.text()

    def knock() -> None:
        for command in Command:
            args = {name: "tokyo" for name, required in ARGUMENTS[command].items() if required}
            error = ask(daemons.admin, command, **args)["error"]
            assert error == {"code": "denied", "message": "user ? may not use this socket"}

    as_user(ALICE, [], knock)
    assert control.text() == before


@pytest.mark.root
def test_a_user_with_more_groups_than_are_looked_at_has_no_role_by_them(served: Running) -> None:
    def ask_with_many() -> None:
        assert ask(served[0].admin, "show-tunnels")["error"]["code"] == "denied"

    as_user(ALICE, [group(OPERATORS), *range(70000, 70400)], ask_with_many)


@pytest.mark.root
def test_a_viewer_that_takes_every_place_it_can_leaves_one_for_root(served: Running) -> None:
    daemons = served[0]

    def crowd() -> None:
        clients = [connect(daemons.admin) for _ in range(120)]
        assert ask(daemons.admin, "show-tunnels")["ok"]
        for one in clients:
            one.close()

    with connect(daemons.admin) as root:
        as_user(ALICE, [group(VIEWERS)], crowd)
        assert ask(daemons.admin, "show-tunnels")["ok"]
        assert exchange(root, request(1, "show-tunnels"))["ok"]


@pytest.mark.root
def test_without_groups_only_root_and_its_own_user_get_in() -> None:
    with running() as (daemons, _, _):
        assert daemons.admin.stat().st_mode & 0o777 == 0o600
        assert ask(daemons.admin, "clear-tunnel", target="tokyo")["ok"]

        def knock() -> None:
            with pytest.raises(PermissionError):
                connect(daemons.admin)
            with pytest.raises(client.CommandError, match="permission denied") as caught:
                client.ask(daemons.admin, 5, Command.SHOW_TUNNELS)
            assert caught.value.code is ErrorCode.DENIED

        as_user(ALICE, [group(OPERATORS), group(VIEWERS)], knock)


@pytest.mark.root
@pytest.mark.parametrize("option", ["--operators", "--viewers"])
def test_with_one_group_the_socket_is_that_groups(option: str) -> None:
    with running(option, OPERATORS) as (daemons, _, _):
        status = daemons.admin.stat()
        assert (status.st_mode & 0o777, status.st_gid) == (0o660, group(OPERATORS))

        def knock() -> None:
            with pytest.raises(PermissionError):
                connect(daemons.admin)

        def enter() -> None:
            assert ask(daemons.admin, "show-tunnels")["ok"]
            assert ask(daemons.admin, "clear-tunnel", target="tokyo")["ok"] is (option == "--operators")

        as_user(ALICE, [], knock)
        as_user(ALICE, [group(OPERATORS)], enter)


def test_roles_by_number() -> None:
    roles = Roles(own_uid=990, operators=100, viewers=200)
    assert roles.role_of(Peer(0, 1, frozenset())) is Role.OPERATOR
    assert roles.role_of(Peer(990, 1, frozenset())) is Role.OPERATOR
    assert roles.role_of(Peer(5, 1, frozenset({100, 200}))) is Role.OPERATOR
    assert roles.role_of(Peer(5, 1, frozenset({200}))) is Role.VIEWER
    assert roles.role_of(Peer(5, 1, frozenset({7}))) is Role.STRANGER
    assert Roles(own_uid=990).role_of(Peer(5, 1, frozenset({0, 100, 200}))) is Role.STRANGER


def test_a_role_allows_the_commands_that_it_says() -> None:
    assert all(Role.OPERATOR.may(command) for command in Command)
    assert {command for command in Command if Role.VIEWER.may(command)} == READ_ONLY
    assert not any(Role.STRANGER.may(command) for command in Command)


def test_a_peer_is_named_for_people() -> None:
    assert str(Peer(0, 42, frozenset())) == "uid 0 (root), pid 42"
    assert user_name(ALICE) == "?"
