"""Give up every privilege, for good, and prove it.

A process that reads frames from strangers keeps only the descriptors it was given.  :func:`drop` takes away the
user, the groups, every capability in every set and the way back to them through a set-user-ID program.
"""

from __future__ import annotations

import ctypes
import errno
import os
import pwd
import resource

_PR_GET_DUMPABLE = 3
_PR_SET_DUMPABLE = 4
_PR_CAPBSET_READ = 23
_PR_CAPBSET_DROP = 24
_PR_SET_NO_NEW_PRIVS = 38
_PR_GET_NO_NEW_PRIVS = 39
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_IS_SET = 1
_PR_CAP_AMBIENT_CLEAR_ALL = 4
_CAPABILITY_VERSION_3 = 0x20080522
_CAP_DAC_READ_SEARCH, _CAP_KILL, _CAP_SETGID, _CAP_SETUID, _CAP_SETPCAP = 2, 5, 6, 7, 8
_CAP_NET_ADMIN, _CAP_NET_RAW = 12, 13

_libc = ctypes.CDLL(None, use_errno=True)
_libc.prctl.argtypes = (ctypes.c_int, *[ctypes.c_ulong] * 4)


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Sets(ctypes.Structure):
    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))


def drop(user: str) -> None:
    """Become ``user`` and nothing more; call it after every import and before the first octet from the network.

    Takes the user's uid and its primary gid alone, empties the effective, permitted, inheritable, ambient and bounding
    capability sets, forbids new privileges, core dumps and ptrace by equals, and then checks each of these.  A process
    that runs as ``user`` already keeps its groups; one without CAP_SETPCAP keeps its bounding set, which gives nothing
    once new privileges are forbidden.  The process must have one thread only: capabilities belong to threads.

    Raises KeyError for an unknown user and PermissionError when the user is root or anything is left.
    """
    entry = pwd.getpwnam(user)
    if entry.pw_uid == 0 or entry.pw_gid == 0:
        raise PermissionError(errno.EPERM, f"{user} is root's own user or group")
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    bounding_goes = bool(_capabilities()[0] & 1 << _CAP_SETPCAP)
    if bounding_goes:
        for capability in _bounding():
            _prctl(_PR_CAPBSET_DROP, capability)
    is_user = os.getresuid() == (entry.pw_uid,) * 3 and os.getresgid() == (entry.pw_gid,) * 3
    if not is_user:
        os.setgroups([])
        os.setresgid(entry.pw_gid, entry.pw_gid, entry.pw_gid)
        os.setresuid(entry.pw_uid, entry.pw_uid, entry.pw_uid)
    _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)
    _keep_only(0)
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    _prctl(_PR_SET_DUMPABLE, 0)
    _verify(entry.pw_uid, entry.pw_gid, groups_go=not is_user, bounding_goes=bounding_goes)


def keep() -> None:
    """Keep of all capabilities only what the helper works with, in this process and in what it starts.

    That is CAP_NET_ADMIN and CAP_NET_RAW; root keeps also what it takes to start the forwarder, wherever Python is
    installed, as another user and to end it again.  Call it before there is a second thread.  Raises OSError when the
    kernel does not allow it.
    """
    wanted = {_CAP_NET_ADMIN, _CAP_NET_RAW}
    if os.geteuid() == 0:
        wanted |= {_CAP_DAC_READ_SEARCH, _CAP_KILL, _CAP_SETGID, _CAP_SETUID, _CAP_SETPCAP}
    effective, permitted, _ = _capabilities()
    if effective & 1 << _CAP_SETPCAP:
        for capability in _bounding():
            if capability not in wanted:
                _prctl(_PR_CAPBSET_DROP, capability)
    _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)
    _keep_only(permitted & sum(1 << capability for capability in wanted))
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)


def _verify(uid: int, gid: int, *, groups_go: bool, bounding_goes: bool) -> None:
    left = [
        what
        for what, gone in (
            ("user", os.getresuid() == (uid,) * 3),
            ("group", os.getresgid() == (gid,) * 3),
            ("groups", not groups_go or not os.getgroups()),
            ("capabilities", _capabilities()[:2] == (0, 0)),
            ("ambient set", not _ambient()),
            ("bounding set", not bounding_goes or not _bounding()),
            ("new privileges", _prctl(_PR_GET_NO_NEW_PRIVS) == 1),
            ("dumps", _prctl(_PR_GET_DUMPABLE) == 0),
        )
        if not gone
    ]
    if left:
        raise PermissionError(errno.EPERM, f"could not drop: {', '.join(left)}")


def _keep_only(kept: int) -> None:
    """Set the effective and the permitted set, and empty the inheritable one.

    A filter of system calls may forbid that.  What is inheritable then stays, which without an ambient set and new
    privileges gives nothing; but no more than ``kept`` may be effective or permitted.
    """
    sets = (_Sets * 2)(_Sets(kept & 0xFFFFFFFF, kept & 0xFFFFFFFF, 0), _Sets(kept >> 32, kept >> 32, 0))
    result = _libc.capset(ctypes.byref(_Header(_CAPABILITY_VERSION_3, 0)), ctypes.byref(sets))
    if _capabilities()[:2] != (kept, kept):
        _check(result, "capset")


def _capabilities() -> tuple[int, int, int]:
    """Return the effective, permitted and inheritable sets of this thread as bit masks."""
    sets = (_Sets * 2)()
    _check(_libc.capget(ctypes.byref(_Header(_CAPABILITY_VERSION_3, 0)), ctypes.byref(sets)), "capget")
    low, high = sets
    return (
        low.effective | high.effective << 32,
        low.permitted | high.permitted << 32,
        low.inheritable | high.inheritable << 32,
    )


def _bounding() -> list[int]:
    return [capability for capability in _known() if _prctl(_PR_CAPBSET_READ, capability)]


def _ambient() -> list[int]:
    return [capability for capability in _known() if _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_IS_SET, capability)]


def _known() -> list[int]:
    """Capabilities that this kernel knows: it refuses to speak of others."""
    return [capability for capability in range(64) if _libc.prctl(_PR_CAPBSET_READ, capability, 0, 0, 0) >= 0]


def _prctl(option: int, first: int = 0, second: int = 0) -> int:
    return _check(_libc.prctl(option, first, second, 0, 0), f"prctl {option}")


def _check(result: int, what: str) -> int:
    if result < 0:
        raise OSError(ctypes.get_errno(), what)
    return result
