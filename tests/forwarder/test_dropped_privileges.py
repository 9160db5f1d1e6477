"""After the drop nothing is left, and nothing brings it back."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
from pathlib import Path

import pytest

from l2tp_kernel.forwarder.control import Forwarder

pytestmark = pytest.mark.root

NOBODY = pwd.getpwnam("nobody")
TRY_EVERYTHING = """
import os, socket, sys, resource
from l2tp_kernel import privileges
privileges.drop("nobody")
def tries(attempt):
    try:
        attempt()
    except PermissionError:
        return
    sys.exit(f"allowed: line {attempt.__code__.co_firstlineno}")
tries(lambda: os.setuid(0))
tries(lambda: os.setgid(0))
tries(lambda: os.setgroups([0]))
tries(lambda: open("/etc/shadow").close())
tries(lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 115))
tries(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW))
tries(lambda: os.setpriority(os.PRIO_PROCESS, 0, -5))
tries(lambda: os.kill(1, 0))
assert resource.getrlimit(resource.RLIMIT_CORE) == (0, 0)
print("nothing left")
"""


def status_of(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def python(code: str, *before: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*before, sys.executable, "-c", code],
        env={"PYTHONPATH": os.pathsep.join(filter(None, sys.path)) or "."},
        capture_output=True,
        text=True,
        timeout=15,
        check=False,
    )


def test_the_forwarder_holds_nothing_but_its_descriptors() -> None:
    forwarder = Forwarder("nobody")
    forwarder.start()
    try:
        status = status_of(forwarder.pid)
        for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
            assert int(status[name], 16) == 0, name
        assert status["NoNewPrivs"] == "1"
        assert status["Uid"].split() == [str(NOBODY.pw_uid)] * 4
        assert status["Gid"].split() == [str(NOBODY.pw_gid)] * 4
        assert status["Groups"] == ""
        assert status["Threads"] == "1"
        # Not dumpable: what it holds belongs to root, so that no equal can read or trace it.
        assert Path(f"/proc/{forwarder.pid}/fd").stat().st_uid == 0
        kinds = {str(link.readlink()).partition(":")[0] for link in Path(f"/proc/{forwarder.pid}/fd").iterdir()}
        standard = {str(Path(f"/proc/{forwarder.pid}/fd/{number}").readlink()).partition(":")[0] for number in range(3)}
        assert kinds - standard <= {"socket", "anon_inode"}
        arguments = Path(f"/proc/{forwarder.pid}/cmdline").read_bytes()
        assert b"forwarder" in arguments
    finally:
        forwarder.close()


def test_nothing_brings_privileges_back() -> None:
    done = python(TRY_EVERYTHING)
    assert done.stdout == "nothing left\n", done.stderr


def test_a_helper_that_is_no_root_keeps_no_capability_either() -> None:
    code = TRY_EVERYTHING.replace("tries(lambda: os.kill(1, 0))", "")
    ambient = ("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups",
               "--inh-caps=+net_admin,+net_raw", "--ambient-caps=+net_admin,+net_raw")  # fmt: skip
    done = python(code, *ambient)
    assert done.stdout == "nothing left\n", done.stderr


def test_another_user_is_out_of_reach_without_root() -> None:
    done = python("from l2tp_kernel import privileges; privileges.drop('daemon')", "setpriv", "--reuid=nobody",
                  "--regid=nogroup", "--clear-groups")  # fmt: skip
    assert "PermissionError" in done.stderr


@pytest.mark.parametrize(("user", "error"), [("root", "PermissionError"), ("nobody-at-all", "KeyError")])
def test_root_and_unknown_users_are_refused(user: str, error: str) -> None:
    done = python(f"from l2tp_kernel import privileges; privileges.drop({user!r})")
    assert done.returncode == 1
    assert f"{error}:" in done.stderr
