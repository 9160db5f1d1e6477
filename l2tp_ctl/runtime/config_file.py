"""The configuration file into values, or every mistake in it at once."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from l2tp_ctl.catalogue import Entry, Level
from l2tp_ctl.core.settings import AnyTunnelSettings, Encapsulation, Secret, TunnelSettings
from l2tp_ctl.core.templates import TemplateSettings
from l2tp_ctl.runtime import config_schema, config_text
from l2tp_ctl.runtime.config_reader import Reader
from l2tp_ctl.runtime.config_schema import EACH_FAMILY, is_wildcard, same_family
from l2tp_ctl.runtime.config_text import Problem
from l2tp_ctl.runtime.config_tunnel import Local, TunnelReader, covers
from l2tp_ctl.runtime.secrets import read_secret
from l2tp_kernel.schema import Plane


@dataclass(frozen=True, slots=True)
class ListenAddress:
    """One control socket that is needed; the port is 0 over IP."""

    encapsulation: Encapsulation
    address: str
    port: int

    def __str__(self) -> str:
        port = f" port {self.port}" if self.port else ""
        return f"{self.encapsulation.value} {self.address}{port}"

    def overlaps(self, other: ListenAddress) -> bool:
        """Whether both could not be open at one time without competing for the same messages."""
        return (
            (self.encapsulation, self.port) == (other.encapsulation, other.port)
            and same_family(self.address, other.address)
            and (self.address == other.address or is_wildcard(self.address) or is_wildcard(other.address))
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """What the file says, checked."""

    kernel_directory: Path
    admin_socket: Path
    resolver_socket: Path
    plane: Plane
    log_level: Level
    log_format: str
    """``text`` or ``json``."""
    log_memory: int
    """Octets of log lines that are kept in memory."""
    tunnels: tuple[AnyTunnelSettings, ...]
    templates: tuple[TemplateSettings, ...]
    listeners: tuple[ListenAddress, ...]
    """One for each listen address and encapsulation that some tunnel or template uses there."""
    parameters: tuple[tuple[str, str, str], ...]
    """What was set for each tunnel and template, as ``(name, key, value)`` for the log; passwords are named by file."""


class ConfigError(Exception):
    """The file is not usable; ``problems`` is never empty.

    ``useless`` are the tunnels and sessions that some problem is about: a log entry, the tunnel, the session.
    """

    def __init__(self, path: Path, problems: list[Problem], tables: Mapping[str, object] | None = None) -> None:
        super().__init__("\n".join(f"{path}: {problem.text} ({problem.remedy})" for problem in problems))
        self.path = path
        self.problems = problems
        self.useless = [*_useless(problems, tables or {})]


def load(path: Path, credentials: Path | None = None) -> Configuration:
    """Read the file and the passwords it names; raises ConfigError.

    Relative password files are found beside the configuration file; or in ``credentials``, where a slash in the name
    is an underscore, as ``LoadCredential=`` names the files of a directory (systemd.exec(5)).
    """
    try:
        text = path.read_text("utf-8")
    except OSError as error:
        problem = Problem("", f"{error.strerror}; check the path and its permissions", Entry.CANNOT_OPEN_CONFIG_FILE)
        raise ConfigError(path, [problem]) from None
    except UnicodeDecodeError as error:
        raise ConfigError(path, [Problem("", "save it as UTF-8", problem=str(error))]) from None

    def secret(file: Path) -> Secret:
        found = path.parent / file
        if credentials and not file.is_absolute():
            found = credentials / str(file).replace("/", "_")
        return read_secret(found)

    return parse(path, text, secret)


def parse(path: Path, text: str, secret: Callable[[Path], Secret]) -> Configuration:
    """Return the configuration in ``text``, which is the content of ``path``; raises ConfigError.

    ``secret`` reads a password file; it raises BadValue.
    """
    tree = config_text.parse(text)
    reader = Reader(tree)
    sections = {"local": config_schema.LOCAL, "listen": config_schema.LISTEN, "daemon": config_schema.DAEMON}
    reader.unknown("", tree.values, [*sections, "tunnel", "template"])
    names, listen, daemon = (reader.table(name, tree.values.get(name, {}), keys) for name, keys in sections.items())
    local = Local(names["hostname"], names["router-id"], listen["addresses"], listen["port"])
    _check_addresses(reader, local.addresses or ())
    tables = [tree.values.get(kind, {}) for kind in ("tunnel", "template")]
    tunnel_reader = TunnelReader(reader, local, secret)
    tunnels, templates = tunnel_reader.tunnels(tables[0]), tunnel_reader.templates(tables[1])
    if reader.problems:
        raise ConfigError(path, reader.problems, tree.values)
    return Configuration(
        kernel_directory=daemon["kernel-directory"],
        admin_socket=daemon["admin-socket"],
        resolver_socket=daemon["resolver-socket"],
        plane=daemon["plane"],
        log_level=daemon["log-level"],
        log_format=daemon["log-format"],
        log_memory=daemon["log-memory"] * 1024,
        tunnels=tunnels,
        templates=templates,
        listeners=tuple(_listeners(tunnels, templates, local)),
        parameters=tuple(
            (name, key, str(value))
            for name, table in itertools.chain.from_iterable(kind.items() for kind in tables)
            for key, value in table.items()
            if key != "session"
        ),
    )


def _useless(problems: list[Problem], values: Mapping[str, object]) -> Iterator[tuple[Entry, str, str]]:
    """Go through the tables of tunnels, templates and sessions that some problem is about."""
    for kind in ("tunnel", "template"):
        for tunnel, table in _items(values.get(kind)):
            for session, _ in _items(dict(_items(table)).get("session")):
                if _is_about(f"{kind}.{tunnel}.session.{session}", problems):
                    yield Entry.GET_SESSION_CONFIGURATION_FAILED, tunnel, session
            if _is_about(f"{kind}.{tunnel}", problems):
                yield Entry.GET_TUNNEL_CONFIGURATION_FAILED, tunnel, ""


def _items(table: object) -> Iterable[tuple[str, object]]:
    return table.items() if isinstance(table, dict) else ()


def _is_about(path: str, problems: list[Problem]) -> bool:
    return any(problem.key == path or problem.key.startswith(f"{path}.") for problem in problems)


def _check_addresses(reader: Reader, addresses: tuple[str, ...]) -> None:
    """Refuse listen addresses that overlap: their sockets would compete for the same messages."""
    for position, address in enumerate(addresses):
        if address in addresses[:position]:
            reader.report("listen.addresses", "list each once", problem=f"{address} is there twice")
        elif is_wildcard(address) and any(same_family(address, other) for other in addresses if other != address):
            reader.report("listen.addresses", f"keep {address} or the others of its family", problem="they overlap")


def _directions(tunnel: AnyTunnelSettings) -> Iterator[tuple[str, str]]:
    """Go through our addresses towards a peer, each with an address of its family; ours is empty if none is chosen."""
    host = tunnel.peer_name if isinstance(tunnel, TunnelSettings) else None
    if host is None:
        yield tunnel.address.local, tunnel.address.peer
        return
    for source, family in zip((host.local_ipv4, host.local_ipv6), EACH_FAMILY, strict=True):
        if source is not None:
            yield source, family


def _listeners(
    tunnels: tuple[AnyTunnelSettings, ...], templates: tuple[TemplateSettings, ...], local: Local
) -> Iterator[ListenAddress]:
    ways = {(tunnel.address.encapsulation, source, peer) for tunnel in tunnels for source, peer in _directions(tunnel)}
    ways |= {
        (template.tunnel.address.encapsulation, template.tunnel.address.local, str(network.network_address))
        for template in templates
        for network in template.networks
    }
    for address in local.addresses or ():
        for encapsulation in Encapsulation:
            if any(
                covers(address, source) if source else same_family(address, peer)
                for kind, source, peer in ways
                if kind is encapsulation
            ):
                port = local.port or 0 if encapsulation is Encapsulation.UDP else 0
                yield ListenAddress(encapsulation, address, port)
