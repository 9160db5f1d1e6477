"""Sockets where the system does not let us do all: what was opened is closed, and what is possible is taken."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from l2tp_kernel import sockets


class Ordinary(socket.socket):
    """A socket of a process without CAP_NET_ADMIN."""

    def setsockopt(self, level: int, option: int, *value: Any) -> None:
        if option in (32, 33):  # SO_SNDBUFFORCE, SO_RCVBUFFORCE
            raise PermissionError
        super().setsockopt(level, option, *value)


def test_without_the_privilege_buffers_are_as_large_as_the_limit() -> None:
    limits = [int(Path(f"/proc/sys/net/core/{kind}mem_max").read_text()) for kind in ("r", "w")]
    with Ordinary(socket.AF_INET, socket.SOCK_DGRAM) as opened:
        sockets.set_buffers(opened, 1 << 30)
        options = (socket.SO_RCVBUF, socket.SO_SNDBUF)
        assert [opened.getsockopt(socket.SOL_SOCKET, each) for each in options] == [2 * limit for limit in limits]


def test_a_socket_that_cannot_be_as_it_must_is_closed() -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(OSError, match="not supported"):
        sockets.make_socket(socket.AF_UNIX, socket.SOCK_DGRAM, 0)
    assert len(list(Path("/proc/self/fd").iterdir())) == before
