"""The helper as a process: its start, its end, signals, privileges, systemd, and a forwarder that dies."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from l2tp_kernel.catalogue import Line
from l2tp_kernel.journal import log
from l2tp_kernel.schema import Reason, Verb
from tests.kernel.helper import POLICY, Helper, listener, over_ip, param, running
from tests.support.helper_client import FailedError, RefusedError
from tests.support.netns import Namespace, poll, program, veth_pair

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.helper_client import HelperClient

DEBIAN_PYTHON = "/usr/bin/python3"


@pytest.fixture(scope="module")
def hosts() -> Iterator[tuple[Namespace, Namespace]]:
    with veth_pair("process") as pair:
        yield pair


@pytest.fixture
def helper(hosts: tuple[Namespace, Namespace], tmp_path: Path) -> Iterator[Helper]:
    with running(hosts[0], tmp_path) as started:
        yield started


def check(policy: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [program("l2tp-kernel"), "--policy", str(policy), *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)


@pytest.mark.root
def test_check_says_whether_the_policy_is_good(tmp_path: Path) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text(POLICY)
    done = check(policy, "--check")
    assert (done.returncode, done.stderr) == (0, f"<5>{policy}: good\n")


@pytest.mark.root
def test_it_is_a_module_too(tmp_path: Path) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text(POLICY)
    command = [sys.executable, "-m", "l2tp_kernel.main", "--policy", str(policy), "--check"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stderr == f"<5>{policy}: good\n"


@pytest.mark.root
def test_a_bad_policy_starts_nothing(tmp_path: Path) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text(POLICY.replace("1702", "-1").replace("maximum = 4", "maximum = 0"))
    policy.chmod(0o666)
    done = check(policy, "--runtime-directory", str(tmp_path / "run"))
    assert done.returncode == 2
    assert [line.split(": ")[1] for line in done.stderr.splitlines()] == [
        "mode 0666 lets others write; chmod go-w " + str(policy), "listen.ports", "interfaces.maximum",
    ]  # fmt: skip
    assert not (tmp_path / "run").exists()


@pytest.mark.root
def test_a_second_helper_in_the_same_directory_does_not_start(helper: Helper) -> None:
    done = check(helper.policy, "--runtime-directory", str(helper.directory))
    assert done.returncode == 1
    assert "cannot serve in" in done.stderr
    with helper.client() as client:
        assert client.helper_pid == helper.process.pid


@pytest.mark.root
def test_a_directory_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text(POLICY)
    done = check(policy, "--runtime-directory", str(tmp_path / "a" / "b"))
    assert done.returncode == 1
    assert "No such file or directory" in done.stderr


def one_of_each(client: HelperClient) -> None:
    handle, _, control = client.open_listener(listener())
    control.close()
    client.set_pwe(param(handle))
    _, _, control = client.open_listener(over_ip())
    control.close()


@pytest.mark.root
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_end_removes_all_that_was_made(helper: Helper, number: signal.Signals) -> None:
    forwarder = helper.forwarder()
    with helper.client() as client:
        one_of_each(client)
        began = time.monotonic()
        helper.process.signal(number)
        assert helper.process.wait(timeout=5) == 0
        assert time.monotonic() - began < 2
        assert client.channel.recv(64) == b""
    assert "pw0" not in helper.links()
    assert list(helper.directory.iterdir()) == []
    assert not Path(f"/proc/{forwarder}").exists()
    assert "Traceback" not in helper.process.text()


@pytest.mark.root
def test_what_a_killed_helper_left_does_not_disturb_the_next(
    hosts: tuple[Namespace, Namespace], tmp_path: Path
) -> None:
    with running(hosts[0], tmp_path) as first:
        with first.client() as client:
            one_of_each(client)
        first.process.kill()
        poll(lambda: "pw0" not in first.links(), "the interface going with the helper and its forwarder")
        first.process.log.unlink()
        with running(hosts[0], tmp_path) as second, second.client() as client:
            one_of_each(client)
            assert "pw0" in second.links()


@pytest.mark.root
def test_the_policy_is_read_again_on_sighup(helper: Helper) -> None:
    with helper.client() as client:
        handle, _, control = client.open_listener(listener())
        control.close()
        client.set_pwe(param(handle))
        helper.policy.write_text(POLICY.replace('"pw*"', '"tunnel*"'))
        helper.process.signal(signal.SIGHUP)
        helper.process.wait_for_log("policy.toml: read again")
        with pytest.raises(RefusedError) as no:
            client.set_pwe(param(handle, "pw1", local_session_id=2))
        assert no.value.reason is Reason.POLICY
        assert "pw0" in helper.links(), "what exists stays"
        client.set_pwe(param(handle, "tunnel1", local_session_id=2))

        helper.policy.write_text("clients = 5")
        helper.process.signal(signal.SIGHUP)
        helper.process.wait_for_log("the policy before stays in force")
        assert "clients: must be a list" in helper.process.text()
        client.set_pwe(param(handle, "tunnel2", local_session_id=3))

        helper.policy.write_text(POLICY.replace('"root"', '"daemon"'))
        helper.process.signal(signal.SIGHUP)
        assert client.channel.recv(64) == b"", "a user that is no client any more is turned out"
        with helper.client(greet=False) as again:
            assert again.token == b""


@pytest.mark.root
def test_only_the_needed_capabilities_are_kept(helper: Helper) -> None:
    status = Path(f"/proc/{helper.process.pid}/status").read_text()
    wanted = 1 << 2 | 1 << 5 | 1 << 6 | 1 << 7 | 1 << 8 | 1 << 12 | 1 << 13
    for line in ("CapPrm", "CapEff", "CapBnd"):
        assert f"{line}:\t{wanted:016x}\n" in status
    assert f"CapAmb:\t{0:016x}\n" in status
    assert f"CapInh:\t{0:016x}\n" in status
    assert "NoNewPrivs:\t1\n" in status
    for task in Path(f"/proc/{helper.process.pid}/task").iterdir():
        assert f"CapEff:\t{wanted:016x}\n" in (task / "status").read_text(), "libzmq's threads too"


@pytest.mark.root
def test_systemd_is_told(hosts: tuple[Namespace, Namespace], tmp_path: Path) -> None:
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(path))
        manager.settimeout(5)
        with running(hosts[0], tmp_path, environment={"NOTIFY_SOCKET": str(path)}) as started:
            assert manager.recv(64) == b"READY=1"
            assert manager.recv(64) == b"WATCHDOG=1"
            assert manager.recv(64) == b"WATCHDOG=1"
            started.process.stop()
        told = [manager.recv(64)]
        while told[-1] == b"WATCHDOG=1":
            told.append(manager.recv(64))
        assert told[-1] == b"STOPPING=1"


def frames_arrive(client: HelperClient, sender: socket.socket) -> bool:
    """Whether a frame that the peer sends is counted on pw0."""
    sender.sendto(bytes.fromhex("00030000") + (101).to_bytes(4, "big") + bytes(60), ("192.0.2.1", 1701))
    with contextlib.suppress(FailedError):
        return any(row[3] > 0 for row in client.request(Verb.STATS, ["pw0"]))
    return False


@pytest.mark.root
def test_a_dead_forwarder_is_started_again_with_everything(hosts: tuple[Namespace, Namespace], helper: Helper) -> None:
    with hosts[1].inside():
        sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with sender, helper.client() as client:
        sender.bind(("192.0.2.2", 1701))
        handle, _, control = client.open_listener(listener())
        control.close()
        _, _, index = client.set_pwe(param(handle))
        poll(lambda: frames_arrive(client, sender), "a frame through the first forwarder")
        for _ in range(2):
            before = helper.forwarder()
            os.kill(before, signal.SIGKILL)
            poll(lambda before=before: helper.forwarder() != before, "another forwarder")  # type: ignore[misc]  # a default argument binds the loop's value
            assert "1 pseudowires" in helper.process.text()
            poll(lambda: frames_arrive(client, sender), "a frame through the next forwarder")
        assert client.set_pwe(param(handle, peer_cookie=b"1234"))[2] == index
        assert client.events == []


@pytest.mark.root
def test_without_a_forwarder_a_request_fails_and_leaves_nothing(helper: Helper) -> None:
    with helper.client() as client:
        handle, _, control = client.open_listener(listener())
        control.close()
        for number in range(6):
            os.kill(helper.forwarder(), signal.SIGKILL)
            with contextlib.suppress(FailedError):
                client.set_pwe(param(handle, f"pw{number % 2}", local_session_id=1 + number % 2))
            made = {each[1] for each in client.request(Verb.LIST)[1]}
            assert made == {each for each in helper.links() if each.startswith("pw")}
            before = helper.forwarder()
            poll(lambda before=before: Path(f"/proc/{helper.forwarder()}").exists(), "a forwarder")  # type: ignore[misc]  # a default argument binds the loop's value


@pytest.mark.root
def test_it_runs_with_debians_own_python(hosts: tuple[Namespace, Namespace], tmp_path: Path, repository: Path) -> None:
    libraries = "import zmq, msgpack, setproctitle"
    if subprocess.run([DEBIAN_PYTHON, "-I", "-c", libraries], capture_output=True, check=False).returncode:
        pytest.skip("needs Debian's python3-zmq, python3-msgpack and python3-setproctitle")
    command = (DEBIAN_PYTHON, "-W", "error", "-m", "l2tp_kernel.main")
    with running(hosts[0], tmp_path, command=command, environment={"PYTHONPATH": str(repository)}) as started:
        with started.client() as client:
            handle, _, control = client.open_listener(listener())
            control.close()
            assert client.set_pwe(param(handle))[1] == 1450
            started.host.ip("link set pw0 down")
            assert client.event() == [2, "pw0", False]
            started.host.ip("link del pw0")
            assert client.event() == [1, "pw0"]
            client.set_pwe(param(handle, local_cookie=b"1234"))
            assert client.request(Verb.STATS, [])[0][0] == "pw0"
        assert started.process.stop() == 0
        assert "Warning" not in started.process.text()


@pytest.mark.root
def test_it_runs_without_root_by_two_capabilities(hosts: tuple[Namespace, Namespace], repository: Path) -> None:
    caps = "-all,+net_admin,+net_raw"
    command = (
        "setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", f"--inh-caps={caps}",
        f"--ambient-caps={caps}", f"--bounding-set={caps}", DEBIAN_PYTHON,
    )  # fmt: skip
    environment = {"PYTHONPATH": str(repository)}
    probe = "import l2tp_kernel.main, os; os.open('/dev/net/tun', os.O_RDWR)"
    if subprocess.run([*command, "-c", probe], env=environment, cwd="/", capture_output=True, check=False).returncode:
        pytest.skip("needs Debian's libraries, and a checkout and /dev/net/tun that everybody may open")
    with tempfile.TemporaryDirectory(prefix="l2tpd-") as made:
        directory = Path(made)
        directory.chmod(0o755)
        (directory / "run").mkdir()
        shutil.chown(directory / "run", "nobody", "nogroup")
        program_and_options = (*command, "-m", "l2tp_kernel.main")
        with running(hosts[0], directory, command=program_and_options, environment=environment) as started:
            status = Path(f"/proc/{started.process.pid}/status").read_text()
            assert f"CapEff:\t{1 << 12 | 1 << 13:016x}\n" in status
            with started.client() as client:
                one_of_each(client)
                os.kill(started.forwarder(), signal.SIGKILL)
                poll(lambda: started.process.text().count("forwarder: pid ") == 2, "another forwarder")
                assert client.request(Verb.STATS, ["pw0"])[0][0] == "pw0"
            assert started.process.stop() == 0
            assert "pw0" not in started.links()
            assert list(started.directory.iterdir()) == []


def test_a_log_line_cannot_forge_another(capsys: pytest.CaptureFixture[str]) -> None:
    log(Line.SERVING, directory="one\n<3>two\x1b[2J\u2028three é")
    assert capsys.readouterr().err == "<5>serving in one\\n<3>two\\x1b[2J\\u2028three é\n"
