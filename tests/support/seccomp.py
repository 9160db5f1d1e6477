"""Runs a program in which one system call fails: ``python -m tests.support.seccomp NAME ERRNO PROGRAM ARGUMENT...``.

The kernel itself makes it fail (seccomp(2)), as it does in a sandbox that forbids it.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
import sys

_NUMBERS = {
    "x86_64": {"epoll_wait": 232, "getrandom": 318, "fork": 57, "clone": 56, "setsid": 112},
    "aarch64": {"epoll_wait": 22, "getrandom": 278, "fork": 220, "clone": 220, "setsid": 157},
}
"""System calls by machine, under the names that they have on x86_64."""

_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 38, 22, 2
_LOAD_NUMBER, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x15, 0x06
_FAIL, _ALLOW = 0x00050000, 0x7FFF0000


def forbid(name: str, error: int) -> None:
    """Make one system call fail with ``error`` in this process and all that it becomes."""
    instructions = [
        (_LOAD_NUMBER, 0, 0, 0),
        (_JUMP_IF_EQUAL, 0, 1, _NUMBERS[platform.machine()][name]),
        (_RETURN, 0, 0, _FAIL | error),
        (_RETURN, 0, 0, _ALLOW),
    ]
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *each) for each in instructions))
    program = ctypes.create_string_buffer(struct.pack("@HP", len(instructions), ctypes.addressof(code)))
    libc = ctypes.CDLL(None, use_errno=True)
    for arguments in ((_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), (_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, program, 0, 0)):
        if libc.prctl(*arguments):
            raise OSError(ctypes.get_errno(), "prctl")


if __name__ == "__main__":
    forbid(sys.argv[1], getattr(errno, sys.argv[2]))
    os.execv(sys.argv[3], sys.argv[3:])
