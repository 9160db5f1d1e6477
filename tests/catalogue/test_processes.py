"""What l2tp-ctl logs as a process: its file, its signals, its admin clients, and a machine that lets it down."""

from __future__ import annotations

import contextlib
import json
import resource
import signal
import socket
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.admin.daemons import ask, connect, exchange, frame, request
from tests.catalogue.conftest import Witness
from tests.catalogue.programs import Control, FakeHelper
from tests.support.netns import Process, poll

FORK = "clone"
"""The system call behind fork(3)."""
TUNNEL = '[tunnel.east]\npeer-address = "127.0.0.2"\n'


@pytest.fixture
def control(tmp_path: Path) -> Control:
    return Control(tmp_path)


# ---- The configuration file.


@pytest.mark.parametrize(
    ("text", "key"),
    [
        pytest.param(
            '[tunnel.east]\npeer-address = "192.0.2"',
            "tunnel.east.peer-address",
            marks=pytest.mark.provokes("INVALID_ADDRESS", "GET_TUNNEL_CONFIGURATION_FAILED"),
        ),
        pytest.param(
            f'{TUNNEL}[tunnel.east.session.lan]\ninterface = "pw0"',
            "tunnel.east.session.lan.remote-end-id",
            marks=pytest.mark.provokes("NO_PARAM", "GET_SESSION_CONFIGURATION_FAILED"),
        ),
        pytest.param(
            f"{TUNNEL}retry = 3\nretry = 4", "tunnel.east.retry", marks=pytest.mark.provokes("THIS_PARAM_IS_ONLY_ONE")
        ),
    ],
)
@pytest.mark.provokes("L2TPD_INITIALIZATION_FAILED")
def test_a_mistake_in_the_file(control: Control, witness: Witness, text: str, key: str) -> None:
    control.configure(text)
    done = control.run()
    witness.text(done.stderr)
    assert done.returncode == 2
    first, remedy, *_ = done.stderr.splitlines()
    assert first.startswith(f"<3>{key}: ")
    assert remedy.startswith(f"<5>{control.config}: {key}: ")


@pytest.mark.provokes("CANNOT_OPEN_CONFIG_FILE", "L2TPD_INITIALIZATION_FAILED")
def test_no_file(control: Control, witness: Witness) -> None:
    control.config.unlink()
    done = control.run()
    witness.text(done.stderr)
    assert done.returncode == 2


@pytest.mark.provokes("L2TPD_START", "CONFIG_PARAM", "RECEIVED_SIGNAL", "CLEANUP_RESOURCES", "L2TPD_EXIT")
def test_a_whole_life(control: Control, witness: Witness) -> None:
    control.configure(TUNNEL)
    with control.running() as process:
        assert process.stop() == 0
    witness.read(control.log)
    assert [line for line in control.log.read_text().splitlines() if "l2tp-kernel" not in line] == [
        "<7>l2tpd start",
        "<7>east: peer-address: 127.0.0.2",
        f"<6>Received {signal.SIGTERM.value} signal",
        "<6>cleanup resources...",
        "<6>l2tpd exit.",
    ]


# ---- Becoming a daemon.


@pytest.mark.provokes("DAEMON_ERROR", "L2TPD_INITIALIZATION_FAILED")
def test_a_user_that_is_not_there(control: Control, witness: Witness) -> None:
    done = control.run("--user", "nobody-has-this-name")
    witness.text(done.stderr)
    assert done.returncode == 1


@pytest.mark.provokes("DAEMON_ERROR", "L2TPD_INITIALIZATION_FAILED")
def test_no_process_for_the_background(control: Control, witness: Witness) -> None:
    done = control.run("--daemon", broken=(FORK, "EAGAIN"))
    witness.text(done.stderr)
    assert done.returncode == 1


@pytest.mark.provokes("CANNOT_CREATE_PID_FILE", "L2TPD_INITIALIZATION_FAILED")
def test_a_pid_file_that_cannot_be_made(control: Control, witness: Witness) -> None:
    done = control.run("--pid-file", control.directory / "nowhere" / "l2tp-ctl.pid")
    witness.text(done.stderr)
    assert done.returncode == 1


@pytest.mark.root
@pytest.mark.provokes("CANNOT_CREATE_PID_FILE", "L2TPD_INITIALIZATION_FAILED")
def test_a_full_disk_where_the_pid_file_goes(control: Control, witness: Witness) -> None:
    disk = control.directory / "disk"
    disk.mkdir()
    fill = f"mount -t tmpfs -o size=4k none {disk} && head -c 4096 /dev/zero >{disk}/file"
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", f'{fill} && exec "$@"', "sh", *control.command("--pid-file", disk / "pid")],
        capture_output=True,
        text=True,
        timeout=15,
        check=False,
    )
    witness.text(done.stderr)
    assert done.returncode == 1
    assert not control.admin.exists()


@pytest.mark.provokes("FAILED_TO_SOCKET", "L2TPD_INITIALIZATION_FAILED")
def test_an_admin_socket_that_cannot_be_made(control: Control, witness: Witness) -> None:
    control.admin = control.directory / "nowhere" / "ctl.sock"
    control.configure("")
    done = control.run()
    witness.text(done.stderr)
    assert done.returncode == 1


# ---- The machine lets it down.


@pytest.mark.provokes("URANDOM_OPEN_ERROR", "L2TPD_INITIALIZATION_FAILED")
def test_no_random_numbers(control: Control, witness: Witness) -> None:
    done = control.run(broken=("getrandom", "EIO"))
    witness.text(done.stderr)
    assert done.returncode == 1


@pytest.mark.provokes("SELECT_ERROR")
def test_no_waiting_for_events(control: Control, witness: Witness) -> None:
    done = control.run(broken=("epoll_wait", "EPERM"))
    witness.text(done.stderr)
    assert done.returncode == 1
    assert done.stderr.splitlines() == ["<3>select error: Operation not permitted"]


@contextlib.contextmanager
def limited(process: Process, what: int, limit: int) -> Iterator[None]:
    """Hold a running process to a limit for a while."""
    before = resource.prlimit(process.pid, what)
    resource.prlimit(process.pid, what, (limit, before[1]))
    try:
        yield
    finally:
        resource.prlimit(process.pid, what, before)


@pytest.mark.provokes("FAILED_TO_ACCEPT")
def test_no_descriptor_for_another_client(control: Control, witness: Witness) -> None:
    with control.running() as process:
        highest = max(int(each.name) for each in Path(f"/proc/{process.pid}/fd").iterdir())
        with limited(process, resource.RLIMIT_NOFILE, highest + 1), contextlib.ExitStack() as clients:

            def refused() -> bool:
                clients.enter_context(connect(control.admin))
                return "failed to accept" in process.text()

            process.wait_until(refused, "a client that is not accepted")
        assert ask(control.admin, "show-tunnels")["ok"]
    witness.read(control.log)
    assert "<3>failed to accept: Too many open files" in control.log.read_text().splitlines()


@pytest.mark.provokes("MALLOC_ERROR")
def test_no_memory(control: Control, witness: Witness) -> None:
    with control.running() as process:
        in_use = int(Path(f"/proc/{process.pid}/statm").read_text().split()[0]) * resource.getpagesize()
        with limited(process, resource.RLIMIT_AS, in_use), contextlib.ExitStack() as clients:

            def told() -> bool:
                # Each holds some memory, until there is none to read this in.
                client = clients.enter_context(connect(control.admin))
                body = b'{"x":[' + b"[],{}," * 10900 + b"0]}"
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    client.sendall(struct.pack("!I", len(body)) + body + struct.pack("!I", 65000) + b"{" * 64000)
                return "malloc error" in process.text()

            process.wait_until(told, "memory that runs out")
        poll(lambda: _served(control.admin), "it goes on")
        assert process.stop() == 0
    witness.read(control.log)


def _served(admin: Path) -> bool:
    with contextlib.suppress(OSError, EOFError):
        return bool(ask(admin, "show-tunnels")["ok"])
    return False


@pytest.mark.provokes("FAILED_TO_RECVFROM")
def test_a_socket_that_gives_errors(control: Control, witness: Witness) -> None:
    """The socket is connected to a port that nobody listens on: what is sent there comes back as an error."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as closed:
        closed.bind(("127.0.0.2", 0))
        port = closed.getsockname()[1]
    sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sender.bind(("127.0.0.1", 0))
    sender.connect(("127.0.0.2", port))
    control.configure(f'[listen]\naddresses = ["127.0.0.1"]\n{TUNNEL}peer-port = {port}\n')
    with FakeHelper(control.helper, [sender]), control.running() as process:
        process.wait_for_log("failed to recvfrom")
    witness.read(control.log)
    assert "<3>failed to recvfrom: Connection refused" in control.log.read_text().splitlines()


# ---- Clients of the admin socket.


@pytest.mark.provokes("NO_SUCH_ADDRESS_PEER", "NO_SUCH_IF_NAME")
def test_clearing_what_is_not_there(control: Control, witness: Witness) -> None:
    with control.running():
        assert not ask(control.admin, "clear-tunnel", target="192.0.2.9")["ok"]
        assert not ask(control.admin, "clear-session", target="pw9")["ok"]
    witness.read(control.log)


@pytest.mark.provokes("INVALID_ADMIN_HEADER_LENGTH")
def test_a_header_of_too_much(control: Control, witness: Witness) -> None:
    with control.running(), connect(control.admin) as other, connect(control.admin) as client:
        client.sendall(b"\xff\xff\xff\xff")
        assert client.recv(65536) == b"" or client.recv(1) == b""
        assert exchange(other, request(1, "show-tunnels"))["ok"]
    witness.read(control.log)


@pytest.mark.provokes("FAILED_TO_RECV")
def test_a_client_that_leaves_with_an_answer_unread(control: Control, witness: Witness) -> None:
    with control.running() as process:
        with connect(control.admin) as client:
            client.sendall(frame(request(1, "show-tunnels")))
            assert client.recv(1, socket.MSG_PEEK)
        process.wait_for_log("failed to recv:")
    witness.read(control.log)


@pytest.mark.provokes("FAILED_TO_SEND_INFORMATION")
def test_a_client_that_does_not_wait_for_its_answer(control: Control, witness: Witness) -> None:
    with control.running() as process:
        with connect(control.admin) as client:
            client.sendall(b"".join(frame(request(number, "show-tunnels")) for number in range(50)))
        process.wait_for_log("failed to send l2tpd information:")
    witness.read(control.log)


@pytest.mark.provokes("OLDER_MESSAGES_WERE_TRIMMED")
def test_more_lines_than_the_memory_holds(control: Control, witness: Witness) -> None:
    tunnels = "".join(f'[tunnel.t{n}]\npeer-address = "127.0.1.{n}"\nretry = 3\n' for n in range(60))
    control.configure(tunnels, "log-memory = 16")
    with control.running():
        lines = ask(control.admin, "show-log")["result"]["lines"]
    witness.say(lines[0]["level"], lines[0]["message"])
    assert len(json.dumps(lines)) < 16 * 1024
    assert all(line["id"] == "CONFIG_PARAM" for line in lines[1:20])
    assert lines[-1]["id"] == "HELPER_LOST"
