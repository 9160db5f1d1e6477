"""What a control process that was taken over would try; it runs in the place of l2tp-ctl, in its sandbox.

Prints one JSON object: the outcome of each attempt by name, "done" where it worked, else the name of the error.
``probe.py HELPER-PID`` is its command line.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import socket
import sys
from dataclasses import astuple, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgpack

from l2tp_kernel.schema import MAX_BATCH, Encapsulation, Listener, Plane, PweParam, Reason, Status, Verb
from tests.support.helper_client import FailedError, HelperClient, RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable

DIRECTORY = Path("/run/l2tp-kernel")
RESOLVER = Path("/run/l2tp-resolver/resolver.sock")
LISTENER = Listener(Plane.AUTO, Encapsulation.UDP, bytes(4), 1701)
PTRACE_ATTACH, PTRACE_SEIZE = 16, 0x4206
CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
AF_ALG, AF_VSOCK, AF_BLUETOOTH = 38, 40, 31

libc = ctypes.CDLL(None, use_errno=True)


def outcome(attempt: Callable[[], object]) -> str:
    try:
        attempt()
    except RefusedError as refused:
        return refused.reason.name
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, str(error))
    return "done"


def call(name: str, *arguments: int) -> None:
    if getattr(libc, name)(*arguments) < 0:
        raise OSError(ctypes.get_errno(), name)


def local_attempts(helper: int) -> dict[str, Callable[[], object]]:
    families = {"inet": socket.AF_INET, "inet6": socket.AF_INET6, "netlink": socket.AF_NETLINK,
                "packet": socket.AF_PACKET, "alg": AF_ALG, "vsock": AF_VSOCK, "bluetooth": AF_BLUETOOTH}  # fmt: skip
    own = Path(os.environ["CREDENTIALS_DIRECTORY"])
    return {
        "unix socket": lambda: socket.socket(socket.AF_UNIX).close(),
        **{f"{name} socket": partial(socket.socket, family, socket.SOCK_RAW) for name, family in families.items()},
        "read own password": (own / "passwords_east").read_bytes,
        "read own configuration": lambda: Path("/etc/l2tpd/l2tpd.toml").read_bytes(),
        "read the policy": lambda: Path("/etc/l2tpd/l2tp-kernel.toml").read_bytes(),
        "list passwords": lambda: list(Path("/etc/l2tpd/passwords").iterdir()),
        "read a password file": lambda: Path("/etc/l2tpd/passwords/east").read_bytes(),
        "read another's password": lambda: Path("/etc/shadow").read_bytes(),
        "read another's credentials": lambda: Path("/run/credentials/other.service").stat(),
        "read root's home": lambda: list(Path("/root").iterdir()),
        "see the helper": lambda: Path(f"/proc/{helper}/status").read_bytes(),
        "write own directory": lambda: write(Path("/run/l2tp-ctl/probe")),
        "write own password": lambda: write(own / "passwords_east"),
        "write configuration": lambda: write(Path("/etc/l2tpd/probe")),
        "write programs": lambda: write(Path("/usr/lib/python3/dist-packages/l2tp_ctl/probe")),
        "write the helper's directory": lambda: write(DIRECTORY / "probe"),
        "replace the helper's socket": (DIRECTORY / "command").unlink,
        "ask the resolver": ask_the_resolver,
        "replace the resolver's socket": RESOLVER.unlink,
        "write root": lambda: write(Path("/probe")),
        "write run": lambda: write(Path("/run/probe")),
        "write var": lambda: write(Path("/var/probe")),
        "write kernel settings": lambda: write(Path("/proc/sys/kernel/core_pattern")),
        "attach to the helper": lambda: call("ptrace", PTRACE_ATTACH, helper, 0, 0),
        "seize the helper": lambda: call("ptrace", PTRACE_SEIZE, helper, 0, 0),
        "signal the helper": lambda: os.kill(helper, 0),
        "become root": lambda: os.setuid(0),
        "make a user namespace": lambda: call("unshare", CLONE_NEWUSER),
        "make a network namespace": lambda: call("unshare", CLONE_NEWNET),
        "mount": lambda: call("mount", 0, 0, 0, 0, 0),
    }


def write(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"probe")


def ask_the_resolver() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as resolver:
        resolver.settimeout(20)
        resolver.connect(str(RESOLVER))
        resolver.send(b"\0\0\0\1\3nowhere.invalid")
        if not resolver.recv(300).startswith(b"\0\0\0\1"):
            raise OSError(errno.EPROTO, "no answer")


def requests() -> dict[str, str]:
    """What the helper says to requests that it must not carry out, each on a connection that greeted as it should."""
    outcomes = {}

    def on_connection(name: str, use: Callable[[HelperClient], object]) -> None:
        with HelperClient(DIRECTORY) as client:
            outcomes[name] = outcome(lambda: use(client))

    on_connection("list", lambda client: client.request(Verb.LIST))
    on_connection("octets at random", lambda client: raw(client, os.urandom(200)))
    on_connection("a type that is not its field's", lambda client: client.request(Verb.STATS, "pw0"))
    on_connection("a verb that is not there", lambda client: raw(client, msgpack.packb([2, 99])))
    on_connection("a replay", replay)
    on_connection("too large", lambda client: raw(client, bytes(1 << 20)))
    on_connection("a port outside the policy", lambda client: client.open_listener(replace(LISTENER, port=53)))
    handles: list[int] = []
    on_connection("a listener", lambda client: handles.append(client.open_listener(LISTENER)[0]))
    param = PweParam(
        plane=Plane.AUTO,
        interface="pw9",
        listener=handles[0],
        local_address=bytes(4),
        peer_address=bytes([192, 0, 2, 2]),
        peer_port=1701,
        local_connection_id=1,
        peer_connection_id=2,
        local_session_id=3,
        peer_session_id=4,
        local_cookie=b"",
        peer_cookie=b"",
        receive_sublayer=0,
        send_sublayer=0,
        receive_sequencing=0,
        send_sequencing=0,
        mtu=0,
        bridge="",
        up=True,
    )
    on_connection("a name outside the policy", lambda client: client.set_pwe(replace(param, interface="eth9")))
    on_connection("a bridge outside the policy", lambda client: client.set_pwe(replace(param, bridge="br0")))
    on_connection("an interface of somebody else", lambda client: client.set_pwe(replace(param, interface="pw-other")))
    on_connection("a path for a name", lambda client: client.set_pwe(replace(param, interface="../pw9")))
    many = msgpack.packb([2, Verb.SET_PWE_PARAM, [astuple(param)] * (MAX_BATCH + 1)])
    on_connection("too many at once", lambda client: raw(client, many))
    with HelperClient(DIRECTORY, greet=False) as client:
        outcomes["no greeting"] = "answered" if answer(client, msgpack.packb([1, Verb.LIST])) else "dropped"
    on_connection("list again", lambda client: client.request(Verb.LIST))
    return outcomes


def raw(client: HelperClient, octets: bytes) -> None:
    """Send octets as they are; RefusedError with the helper's reason, FailedError EPIPE where it hung up."""
    answered = answer(client, octets)
    if answered is None:
        raise FailedError(errno.EPIPE, "no answer")
    if answered[1] == Status.REFUSED:
        raise RefusedError(Reason(answered[2]))


def answer(client: HelperClient, octets: bytes) -> list[Any] | None:
    client.send(octets)
    return client.receive(timeout=1.0)


def replay(client: HelperClient) -> None:
    octets = msgpack.packb([2, Verb.LIST])
    raw(client, octets)
    raw(client, octets)


if __name__ == "__main__":
    outcomes = {name: outcome(attempt) for name, attempt in local_attempts(int(sys.argv[1])).items()}
    print(json.dumps(outcomes | requests()), flush=True)
