"""A new configuration under two hosts that carry traffic: what it does not change loses no frame."""

from __future__ import annotations

import contextlib
import re
import signal
from typing import TYPE_CHECKING

import pytest

from tests.live.pairs import Pair, Way, pair
from tests.support.netns import Namespace, poll

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.daemons import Daemons

pytestmark = pytest.mark.root

STAYS = Way(0, "udp", 4, digest="md5")
OTHER = Way(1, "ip", 4)


def configuration(end: Daemons) -> str:
    return (end.directory / "l2tpd.toml").read_text()


def reload(end: Daemons, text: str) -> str:
    """Give an end another file and have it read."""
    (end.directory / "l2tpd.toml").write_text(text)
    return end.command("reload")


def listening(host: Namespace) -> set[str]:
    """Local addresses of the UDP and IP sockets of l2tp-kernel's that wait for anybody."""
    lines = host.run("ss", "-Hn", "--udp", "--raw", "--listening").stdout.splitlines()
    return {line.split()[4] for line in lines}


@contextlib.contextmanager
def pinging(running: Pair, way: Way) -> Iterator[None]:
    """Ping every 20 ms, from before to after; AssertionError if one is lost."""
    log = running.ends[0].directory / "ping.log"
    with running.hosts[0].start("ping", "-i0.02", "-W2", way.inner(1), log=log) as ping:
        yield
        answered = ping.text().count("bytes from")
        ping.wait_until(lambda: ping.text().count("bytes from") >= answered + 25, "answers after the last change")
        ping.signal(signal.SIGINT)
        ping.wait()
        sent, received = map(int, re.findall(r"(\d+) (?:packets transmitted|received)", ping.text()))
        # The last one may be under way when ping is told to stop.
        assert received >= sent - 1, ping.text()
    log.unlink()


def test_a_tunnel_is_added_changed_and_removed_beside_one_that_loses_nothing() -> None:
    with pair(STAYS) as running:
        running.wait_until_up()
        west, east = running.ends
        stays = running.connection_ids(STAYS)
        first = [configuration(end) for end in running.ends]
        both = [text + OTHER.tables(side, running.hosts) for side, text in enumerate(first)]
        with pinging(running, STAYS):
            assert reload(east, both[1]) == f"added {OTHER.name}\n"
            assert reload(west, both[0]) == f"added {OTHER.name}\n"
            for end in running.ends:
                end.wait_for_state("sessions", f"s-{OTHER.name}", "established")

            # What cannot change in a living tunnel begins it anew, with the listener that it has.
            before = running.connection_ids(OTHER)
            assert reload(west, both[0].replace("cookie = 0\ninitiate", "cookie = 0\nretry = 7\ninitiate")) != ""
            changed = both[0].replace("[tunnel.ip4]\n", '[tunnel.ip4]\ncompatibility = "cisco"\n')
            assert reload(west, changed) == f"changed {STAYS.name}\nchanged {OTHER.name}\n"
            poll(lambda: not set(before) & {0, *running.connection_ids(OTHER)}, "a new control connection")
            west.wait_for_state("sessions", f"s-{OTHER.name}", "established")

            assert reload(west, first[0]) == f"removed {OTHER.name}\n"
            assert list(west.show("tunnels")) == [STAYS.name]
            gone = east.wait_for_state("tunnels", OTHER.name, "idle")
            assert gone["last_error"].startswith("peer: shutting down")
            assert reload(east, first[1]) == f"removed {OTHER.name}\n"
        assert running.connection_ids(STAYS) == stays
        running.ping(STAYS)


def test_a_bad_file_changes_nothing_and_every_mistake_is_told() -> None:
    with pair(STAYS) as running:
        running.wait_until_up()
        west = running.ends[0]
        stays, good = running.connection_ids(STAYS), configuration(west)
        (west.directory / "l2tpd.toml").write_text(good.replace("retry", "retyr") + "retry = 0\nmut = 5\n")
        with pinging(running, STAYS):
            done = running.hosts[0].run("l2tp-admin", "--socket", west.directory / "admin.sock", "reload", check=False)
            assert (done.returncode, done.stdout) == (1, "")
            mistakes = done.stderr.splitlines()
            assert len(mistakes) == 3
            assert mistakes[-1].startswith(
                f"l2tp-admin: {west.directory}/l2tpd.toml has 2 mistakes, nothing was changed"
            )
            west.control.signal(signal.SIGHUP)
            west.control.wait_until(
                lambda: west.control.text().count("the configuration has mistakes, nothing was changed") == 2, "SIGHUP"
            )
            for words in ("unknown key", "retry"):
                assert west.control.text().count(words) >= 2
            west.control.wait_until(lambda: "Received 1 signal" in west.control.text(), "the signal")
            (west.directory / "l2tpd.toml").write_text(good)
            west.control.signal(signal.SIGHUP)
            west.control.wait_for_log("configuration reloaded: 0 added, 0 changed, 0 removed")
        assert running.connection_ids(STAYS) == stays


def test_a_password_changes_without_an_outage() -> None:
    with pair(STAYS) as running:
        running.wait_until_up()
        stays = running.connection_ids(STAYS)
        with pinging(running, STAYS):
            for end in running.ends:
                text = configuration(end).replace(
                    'password-file = "password"', 'password-file = "password"\npassword-file-next = "next"'
                )
                (end.directory / "next").write_text("another password")
                (end.directory / "next").chmod(0o640)
                end.host.run("chown", "nobody", end.directory / "next")
                assert reload(end, text) == f"changed {STAYS.name}\n"
            for end in running.ends:
                # The file keeps its name: what is in it is read again.
                (end.directory / "password").write_text("another password")
                assert end.command("reload") == f"changed {STAYS.name}\n"
        assert running.connection_ids(STAYS) == stays
        running.ends[0].command("clear", "tunnel", STAYS.name)
        poll(lambda: not set(stays) & {0, *running.connection_ids(STAYS)}, "a control connection with the new password")


def test_listeners_follow_the_configuration() -> None:
    with pair(STAYS) as running:
        running.wait_until_up()
        west, host = running.ends[0], running.hosts[0]
        first = configuration(west)
        assert "0.0.0.0:1701" in listening(host)
        idle = '[tunnel.idle]\npeer-address = "192.0.2.77"\nencapsulation = "ip"\ninitiate = false\n'
        reload(west, first + idle)
        poll(lambda: "0.0.0.0:115" in listening(host), "a socket of IP protocol 115")
        reload(west, first)
        poll(lambda: "0.0.0.0:115" not in listening(host), "that socket is closed")
        # One that overlaps has to make room first, and the tunnel begins anew through the other.
        reload(west, first + '[listen]\naddresses = ["192.0.2.1"]\n')
        poll(lambda: "192.0.2.1:1701" in listening(host), "the other socket", timeout=15)
        assert "0.0.0.0:1701" not in listening(host)
        running.wait_until_up()
        running.ping(STAYS)


def test_put_down_it_stays_down_until_it_is_put_up() -> None:
    with pair(STAYS) as running:
        running.wait_until_up()
        west, east = running.ends
        assert east.command("down", STAYS.name) == f"down {STAYS.name}\n"
        # Once for the tunnel that was there, and once more as the answer to its next call.
        refusals = re.compile("peer sent StopCCN: .*: put down by the operator")
        west.control.wait_until(lambda: len(refusals.findall(west.control.text())) >= 2, "put down, and refused")
        assert west.show("tunnels")[STAYS.name]["last_error"].endswith("put down by the operator")
        shown = east.command("show", "tunnel", STAYS.name).splitlines()
        assert shown[0] == f"tunnel {STAYS.name} is not up: put down by the operator"
        assert f"next attempt:    none until: l2tp-admin up {STAYS.name}" in shown
        assert east.show("tunnels")[STAYS.name]["state"] == "idle"
        east.command("up", STAYS.name)
        running.wait_until_up()
        running.ping(STAYS)
