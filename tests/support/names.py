"""Where host names lead, for the processes of one test: a name server and files of its own in the place of /etc's.

with name_server(host) as server, tempfile.TemporaryDirectory() as directory:
    server.records["gw.example.net"] = ["192.0.2.2", "2001:db8::2"]
    sources = Sources(Path(directory))
    host.run(*sources.command("getent", "ahosts", "gw.example.net"))
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from ipaddress import ip_address
from typing import TYPE_CHECKING

from tests.support.netns import program

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.netns import Namespace

ADDRESS = "127.0.0.53"
"""Of the name server, on the loopback of its host."""
NO_ERROR, SERVER_FAILURE, NO_NAME = 0, 2, 3
_TYPES = {1: 4, 28: 6}
"""Resource record types of addresses, by the address's version."""


class Sources:
    """What getaddrinfo(3) goes by: ``hosts``, ``resolv.conf`` and ``nsswitch.conf`` in a directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.hosts("")
        (directory / "resolv.conf").write_text(f"nameserver {ADDRESS}\n")
        (directory / "nsswitch.conf").write_text("hosts: files dns\n")

    def hosts(self, lines: str) -> None:
        """Set what stands in hosts(5)."""
        (self._directory / "hosts").write_text(lines)

    def command(self, *arguments: str | Path) -> list[str]:
        """The command line that runs ``arguments`` with these; it replaces itself, so its pid is the program's."""
        name, *rest = map(str, arguments)
        files = ("hosts", "resolv.conf", "nsswitch.conf")
        binds = " && ".join(f"mount --bind {self._directory / file} /etc/{file}" for file in files)
        return ["unshare", "--mount", "sh", "-c", f'{binds} && exec "$@"', "sh", program(name), *rest]


class NameServer:
    """A name server (RFC 1035) that knows addresses and nothing else."""

    def __init__(self, sock: socket.socket) -> None:
        self.records: dict[str, list[str]] = {}
        """Addresses by name."""
        self.silent = False
        """Whether it answers nothing."""
        self.failing = False
        """Whether it answers that it cannot."""
        self.asked: list[str] = []
        """Names in the order in which it was asked, each for each type of record."""
        self._socket = sock

    def serve(self) -> None:
        """Answer until the socket is shut down."""
        while True:
            try:
                query, client = self._socket.recvfrom(512)
            except OSError:
                return
            if not query:
                return
            name, kind, question = _question(query)
            self.asked.append(name)
            if not self.silent:
                self._socket.sendto(self._answer(query[:2], name, kind, question), client)

    def _answer(self, number: bytes, name: str, kind: int, question: bytes) -> bytes:
        addresses = [ip_address(text) for text in self.records.get(name, ())]
        code = SERVER_FAILURE if self.failing else NO_ERROR if name in self.records else NO_NAME
        data = [one.packed for one in addresses if one.version == _TYPES.get(kind)] if code == NO_ERROR else []
        # The name of each record points to that of the question; it may be kept for no time at all.
        records = (struct.pack("!HHHIH", 0xC00C, kind, 1, 0, len(each)) + each for each in data)
        flags = 0x8180 | code  # an answer, recursion desired and available
        return number + struct.pack("!5H", flags, 1, len(data), 0, 0) + question + b"".join(records)


def _question(query: bytes) -> tuple[str, int, bytes]:
    """Name and type that are asked for, and the octets that say so."""
    labels, place = [], 12
    while length := query[place]:
        labels.append(query[place + 1 : place + 1 + length].decode("ascii"))
        place += 1 + length
    kind = int.from_bytes(query[place + 1 : place + 3], "big")
    return ".".join(labels).lower(), kind, query[12 : place + 5]


@contextlib.contextmanager
def name_server(host: Namespace) -> Iterator[NameServer]:
    """Run one on ``host``."""
    with host.inside():
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with sock:
        sock.bind((ADDRESS, 53))
        server = NameServer(sock)
        thread = threading.Thread(target=server.serve)
        thread.start()
        try:
            yield server
        finally:
            with contextlib.suppress(OSError):  # it is not connected, but wakes up all the same
                sock.shutdown(socket.SHUT_RD)
            thread.join(10)
            assert not thread.is_alive()
