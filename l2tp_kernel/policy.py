"""The root-owned policy: who may ask, and for which addresses, ports, interfaces and bridges.

A bad file raises :class:`BadPolicy` with every mistake in it, each with the file, the key and what to do.
"""

from __future__ import annotations

import fnmatch
import functools
import ipaddress
import os
import pwd
import re
import stat
import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from l2tp_kernel.schema import Listener, PweParam, Reason
from l2tp_kernel.wire import Refused

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

T = TypeVar("T")


class Prefix(NamedTuple):
    """A network, as numbers: thousands of addresses may be checked in a row."""

    size: int
    """Octets of its addresses."""
    network: int
    mask: int


class BadPolicy(Exception):  # noqa: N818  # it is the policy that is bad
    """The policy cannot be used; the arguments are the mistakes, one line for each."""


@dataclass(frozen=True, slots=True)
class Policy:
    """What the file allows; the ``check`` methods raise Refused(POLICY) for anything else."""

    clients: frozenset[int]
    """User ids that may connect."""
    forwarder_user: str
    listen: tuple[Prefix, ...]
    ports: frozenset[int]
    """UDP ports; 0 stands for IP protocol 115, which has none."""
    peers: tuple[Prefix, ...]
    interfaces: tuple[str, ...]
    maximum: int
    bridges: tuple[str, ...]

    def check_listener(self, listener: Listener) -> None:
        """Check a control socket's address and port."""
        _check_address(listener.address, self.listen, "[listen] addresses")
        if listener.port not in self.ports:
            raise Refused(Reason.POLICY, f"port {listener.port} is not in [listen] ports")

    def check_ends(self, local: bytes, peer: bytes) -> None:
        """Check where the frames of a pseudowire come from and go to."""
        if any(local):  # all zero leaves it to the listener, which was checked
            _check_address(local, self.listen, "[listen] addresses")
        _check_address(peer, self.peers, "[peers] addresses")

    def check_interface(self, param: PweParam, *, others: int) -> None:
        """Check the interface of a pseudowire beside ``others`` that exist already."""
        if not _one_of(self.interfaces).fullmatch(param.interface):
            raise Refused(Reason.POLICY, f"{param.interface} is not in [interfaces] names")
        self.check_bridge(param)
        if others >= self.maximum:
            raise Refused(Reason.POLICY, f"[interfaces] maximum is {self.maximum}")

    def check_bridge(self, param: PweParam) -> None:
        """Check a pseudowire's bridge, if it is to have one."""
        if param.bridge and not _one_of(self.bridges).fullmatch(param.bridge):
            raise Refused(Reason.POLICY, f"{param.bridge} is not in [bridges] names")


def _check_address(octets: bytes, prefixes: tuple[Prefix, ...], key: str) -> None:
    size, address = len(octets), int.from_bytes(octets)
    if not any(size == prefix.size and address & prefix.mask == prefix.network for prefix in prefixes):
        raise Refused(Reason.POLICY, f"{ipaddress.ip_address(octets)} is not in {key}")


@functools.cache
def _one_of(patterns: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(map(fnmatch.translate, patterns)) or "(?!)")


def load(path: Path) -> Policy:
    """Read the policy; BadPolicy with every mistake."""
    try:
        with path.open("rb") as file:
            mistakes = _ownership(path, os.fstat(file.fileno()))
            for directory in sorted({path.absolute().parent, path.resolve().parent}):  # two where the file is a link
                mistakes += _ownership(directory, directory.stat())
            reader = _Reader(path, tomllib.load(file), mistakes)
    except OSError as error:
        raise BadPolicy(f"{path}: {error.strerror}; give the path of a readable file with --policy") from None
    except ValueError as error:
        raise BadPolicy(f"{path}: not TOML: {error}") from None
    policy = Policy(
        clients=frozenset(reader.items("clients", _user)),
        forwarder_user=reader.item("forwarder-user", _forwarder_user, "nobody"),
        listen=tuple(reader.items("listen.addresses", prefix)),
        ports=frozenset(reader.items("listen.ports", _integer(0, 65535))),
        peers=tuple(reader.items("peers.addresses", prefix)),
        interfaces=tuple(reader.items("interfaces.names", _pattern)),
        maximum=reader.item("interfaces.maximum", _integer(1, 65535), 0),
        bridges=tuple(reader.items("bridges.names", _pattern, required=False)),
    )
    reader.refuse_unknown()
    if mistakes:
        raise BadPolicy(*mistakes)
    return policy


def _ownership(path: Path, status: os.stat_result) -> list[str]:
    """Whoever may write the policy has the helper's privilege, so that must be root alone."""
    mistakes = []
    if status.st_uid != 0:
        mistakes.append(f"{path}: owned by uid {status.st_uid}; chown root {path}")
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        mistakes.append(f"{path}: mode {stat.S_IMODE(status.st_mode):04o} lets others write; chmod go-w {path}")
    return mistakes


class _Reader:
    """Values of one file by dotted key, each converted or noted as a mistake."""

    def __init__(self, path: Path, table: dict[str, object], mistakes: list[str]) -> None:
        self._path = path
        self._table = table
        self._mistakes = mistakes
        self._known: set[str] = set()

    def item(self, key: str, convert: Callable[[object], T], otherwise: T) -> T:
        """One required value; ``otherwise`` where it is a mistake."""
        found = self._find(key)
        return next(iter(self._convert(key, [found], convert)), otherwise) if found is not None else otherwise

    def items(self, key: str, convert: Callable[[object], T], *, required: bool = True) -> list[T]:
        """All values of a list, which may be missing or empty unless ``required``."""
        found = self._find(key, required=required)
        if found is None or (found == [] and not required):
            return []
        if not isinstance(found, list) or not found:
            self._note(key, f"must be a list with at least one item; write {key.split('.')[-1]} = [...]")
            return []
        return self._convert(key, found, convert)

    def refuse_unknown(self) -> None:
        """Note every key that nothing has asked for: a misspelt limit must not pass for no limit."""
        sections = {key.split(".")[0] for key in self._known if "." in key}
        for key, value in self._table.items():
            inside = [f"{key}.{name}" for name in value] if key in sections and isinstance(value, dict) else [key]
            for each in inside:
                if each not in self._known:
                    self._note(each, f"unknown; remove it, or write one of {', '.join(sorted(self._known))}")

    def _find(self, key: str, *, required: bool = True) -> object:
        self._known.add(key)
        value: object = self._table
        for name in key.split("."):
            value = value.get(name) if isinstance(value, dict) else None
        if value is None and required:
            self._note(key, "missing; the packaged file shows what to write")
        return value

    def _convert(self, key: str, values: list[object], convert: Callable[[object], T]) -> list[T]:
        converted = []
        for value in values:
            try:
                converted.append(convert(value))
            except ValueError as error:
                self._note(key, f"{value!r} is not {error}")
        return converted

    def _note(self, key: str, text: str) -> None:
        self._mistakes.append(f"{self._path}: {key}: {text}")


def _integer(low: int, high: int) -> Callable[[object], int]:
    def convert(value: object) -> int:
        if type(value) is int and low <= value <= high:
            return value
        raise ValueError(f"an integer from {low} to {high}")

    return convert


def _user(value: object) -> int:
    if type(value) is int and value >= 0:
        return value
    return pwd.getpwnam(_user_name(value)).pw_uid


def _user_name(value: object) -> str:
    try:
        return pwd.getpwnam(str(value)).pw_name
    except KeyError:
        raise ValueError("a user of this machine; create the user or write another") from None


def _forwarder_user(value: object) -> str:
    name = _user_name(value)
    if 0 in pwd.getpwnam(name)[2:4]:
        raise ValueError("a user without root's uid and gid; write another")
    return name


def prefix(value: object) -> Prefix:
    """Read a prefix as people write it; ValueError for anything else."""
    try:
        network = ipaddress.ip_network(str(value))
    except ValueError as error:
        raise ValueError(f'a prefix such as "192.0.2.0/24" or "2001:db8::/32" ({error})') from None
    return Prefix(network.max_prefixlen // 8, int(network.network_address), int(network.netmask))


def _pattern(value: object) -> str:
    if isinstance(value, str) and re.fullmatch(r"[A-Za-z0-9*?][A-Za-z0-9._*?-]{0,14}", value):
        return value
    raise ValueError('a name or pattern of at most 15 characters, such as "pw*"')
