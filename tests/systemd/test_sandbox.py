"""From inside l2tp-ctl's sandbox: what a control process that was taken over can reach, which is nothing."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.systemd.conftest import EAST

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.systemd.conftest import Pair

pytestmark = [pytest.mark.root, pytest.mark.timeout(180)]

HERE = "/usr/lib/l2tpd-tests"
INSTEAD = f"""\
[Service]
Type=exec
WatchdogSec=0
Restart=no
Environment=PYTHONPATH={HERE}
ExecStart=
ExecStart=/usr/bin/python3 -m tests.systemd.probe %s
"""

DONE = {"unix socket", "read own password", "read own configuration", "write own directory", "list", "list again",
        "a listener", "ask the resolver"}  # fmt: skip
EXPECTED = {
    "inet socket": "EAFNOSUPPORT", "inet6 socket": "EAFNOSUPPORT", "netlink socket": "EAFNOSUPPORT",
    "packet socket": "EAFNOSUPPORT", "alg socket": "EAFNOSUPPORT", "vsock socket": "EAFNOSUPPORT",
    "bluetooth socket": "EAFNOSUPPORT",
    "read the policy": "EACCES", "list passwords": "EACCES", "read a password file": "EACCES",
    "read another's password": "EACCES", "read another's credentials": "ENOENT", "read root's home": "EACCES",
    "see the helper": "ENOENT",
    "write own password": "EACCES", "write configuration": "EROFS", "write programs": "EROFS",
    "write the helper's directory": "EROFS", "replace the helper's socket": "EROFS", "write root": "EROFS",
    "replace the resolver's socket": "EROFS",
    "write run": "EROFS", "write var": "EROFS", "write kernel settings": "ENOENT",
    "attach to the helper": "EPERM", "seize the helper": "EPERM", "signal the helper": "EPERM",
    "become root": "EPERM", "make a user namespace": "EPERM", "make a network namespace": "EPERM", "mount": "EPERM",
    "octets at random": "MALFORMED", "a type that is not its field's": "MALFORMED",
    "a verb that is not there": "MALFORMED",
    "a replay": "SEQUENCE", "too large": "EPIPE", "too many at once": "MALFORMED", "no greeting": "dropped",
    "a port outside the policy": "POLICY", "a name outside the policy": "POLICY",
    "a bridge outside the policy": "POLICY",
    "an interface of somebody else": "NOT_OWNED", "a path for a name": "MALFORMED",
}  # fmt: skip


@pytest.fixture(scope="module")
def attempts(pair: Pair) -> Iterator[dict[str, str]]:
    """Outcomes of the probe, run as l2tp-ctl; afterwards the true one is back."""
    west = pair.west
    tests = Path(__file__).resolve().parents[1]
    shutil.copytree(tests / "support", west.share / "tests" / "support")
    for name in ("__init__.py", "systemd/__init__.py", "systemd/probe.py"):
        (west.share / "tests" / name).parent.mkdir(exist_ok=True)
        shutil.copy(tests / name, west.share / "tests" / name)
    west.shell(f"mkdir {HERE} && cp -r /mnt/tests {HERE}/ && ip link add pw-other type veth")
    helper = west.main_pid("l2tp-kernel")
    west.write("/run/systemd/system/l2tp-ctl.service.d/probe.conf", INSTEAD % helper)
    west.shell("systemctl daemon-reload && systemctl restart l2tp-ctl")
    west.wait_until(lambda: west.property("l2tp-ctl", "ActiveState") in {"inactive", "failed"}, "the probe ends")
    printed = west.shell("journalctl --output=cat --no-pager _SYSTEMD_INVOCATION_ID="
                         "$(systemctl show --value --property=InvocationID l2tp-ctl)")  # fmt: skip
    assert printed.startswith("{") or "\n{" in printed, printed
    yield json.loads(next(line for line in printed.splitlines() if line.startswith("{")))
    west.shell("rm /run/systemd/system/l2tp-ctl.service.d/probe.conf; ip link del pw-other; "
               "systemctl daemon-reload; systemctl restart l2tp-ctl")  # fmt: skip
    assert west.main_pid("l2tp-kernel") == helper
    west.wait_for_session()
    west.wait_for_answer(EAST)


def test_every_attempt_is_judged(attempts: dict[str, str]) -> None:
    assert set(attempts) == DONE | set(EXPECTED)


@pytest.mark.parametrize("attempt", sorted(DONE))
def test_what_it_needs_works(attempts: dict[str, str], attempt: str) -> None:
    assert attempts[attempt] == "done"


@pytest.mark.parametrize("attempt", EXPECTED)
def test_everything_else_fails(attempts: dict[str, str], attempt: str) -> None:
    assert attempts[attempt] == EXPECTED[attempt]


@pytest.mark.usefixtures("attempts")
def test_the_helper_went_on(pair: Pair) -> None:
    assert pair.west.property("l2tp-kernel", "ActiveState") == "active"
    assert "Traceback" not in pair.west.journal("l2tp-kernel")


CONNECT = """
import socket
channel = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
channel.connect("/run/l2tp-kernel/descriptors")
print(len(channel.recv(64)))
"""


@pytest.mark.parametrize(
    ("user", "group", "answer"),
    [
        ("nobody", "nogroup", "PermissionError"),
        ("l2tp-admin", "l2tp-admin", "PermissionError"),
        ("nobody", "l2tp-ctl", "0"),
    ],
)
def test_the_helper_answers_no_other_user(pair: Pair, user: str, group: str, answer: str) -> None:
    """Others cannot reach the socket; one in the right group is turned away for its uid."""
    west, helper = pair.west, pair.west.main_pid("l2tp-kernel")
    done = west.run(
        "setpriv", f"--reuid={user}", f"--regid={group}", "--clear-groups", "python3", "-c", CONNECT, check=False
    )
    assert (done.stdout + done.stderr).splitlines()[-1].split(":")[0] == answer
    assert west.main_pid("l2tp-kernel") == helper
