"""The tunnels, templates and sessions of the file, and what must hold between them."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from l2tp_ctl.catalogue import Entry
from l2tp_ctl.core.settings import (
    Address,
    AnyTunnelSettings,
    DigestPolicy,
    Encapsulation,
    HostName,
    Mode,
    Secret,
    Sequencing,
    SessionSettings,
    StaticSessionSettings,
    StaticTunnelSettings,
    Sublayer,
    TunnelSettings,
)
from l2tp_ctl.core.templates import NUMBER, TemplateSettings
from l2tp_ctl.resolver_schema import is_name
from l2tp_ctl.runtime.config_reader import Reader
from l2tp_ctl.runtime.config_schema import (
    EACH_FAMILY,
    L2TP_PORT,
    SESSION,
    STATIC_SESSION,
    STATIC_TUNNEL,
    TABLE_NAME,
    TEMPLATE,
    TEMPLATE_SESSION,
    TEMPLATE_TUNNEL,
    TUNNEL,
    Key,
    is_wildcard,
    same_family,
)
from l2tp_kernel.schema import NAME

_ONLY_STATIC = 'only with mode = "static"'
_NOT_STATIC = 'not with mode = "static": nothing is signalled there'


@dataclass(frozen=True, slots=True)
class Local:
    """This end, as far as the file is right about it."""

    hostname: bytes | None
    router_id: int | None
    addresses: tuple[str, ...] | None
    port: int | None


class TunnelReader:
    """Reads the ``tunnel`` and ``template`` tables.  ``secret`` reads a password file; it raises BadValue."""

    def __init__(self, reader: Reader, local: Local, secret: Callable[[Path], Secret]) -> None:
        self._reader = reader
        self._local = local
        self._secret = secret
        self._taken: dict[Hashable, str] = {}

    def tunnels(self, tables: object) -> tuple[AnyTunnelSettings, ...]:
        """Return the tunnels that are right."""
        found: list[AnyTunnelSettings | None] = []
        for path, name, table in self._named("tunnel", tables):
            match None if self._reader.unread(f"{path}.mode") else table.get("mode", Mode.SIGNALLED.value):
                case Mode.SIGNALLED.value:
                    found.append(self._tunnel(path, name, table))
                case Mode.STATIC.value:
                    found.append(self._static_tunnel(path, name, table))
                case _:
                    self._unknown_mode(path, table)
        return tuple(filter(None, found))

    def templates(self, tables: object) -> tuple[TemplateSettings, ...]:
        """Return the templates that are right."""
        return tuple(
            template
            for path, name, table in self._named("template", tables)
            if (template := self._template(path, name, table))
        )

    def _tunnel(self, path: str, name: str, table: dict[str, Any]) -> TunnelSettings | None:
        values = self._reader.table(path, table, TUNNEL, ["session"], elsewhere=STATIC_TUNNEL, why=_ONLY_STATIC)
        sessions = self._sessions(path, table, SESSION)
        self._own_interfaces(sessions)
        secrets = self._secrets(path, values)
        peer, encapsulation = values["peer-address"], values["encapsulation"]
        host = self._host_name(path, values) if peer and is_name(peer) else None
        local_address = self._address(path, values)
        if peer and encapsulation:
            self._only(
                f"{path}.peer-address",
                ("peer", peer.removesuffix("."), encapsulation),
                "one tunnel for each peer and encapsulation: give it more sessions",
            )
        if self._reader.problems:
            return None
        if host is not None:
            values, local_address = {**values, "peer-address": ""}, values["local-address"] or ""
        return self._settings(name, values, sessions, secrets, local_address, host)

    def _static_tunnel(self, path: str, name: str, table: dict[str, Any]) -> StaticTunnelSettings | None:
        values = self._reader.table(path, table, STATIC_TUNNEL, ["session"], elsewhere=TUNNEL, why=_NOT_STATIC)
        sessions = self._session_tables(path, table, STATIC_SESSION, elsewhere=SESSION, why=_NOT_STATIC)
        self._own_interfaces(sessions)
        local_address = self._address(path, values)
        self._check_connection_ids(path, table, values)
        peer, encapsulation = values["peer-address"], values["encapsulation"]
        if peer and encapsulation:
            self._only(
                f"{path}.peer-address",
                ("static", encapsulation, local_address, peer, values["peer-port"] or L2TP_PORT),
                "one static tunnel between two addresses and ports: give it more sessions",
            )
            listening = self._listening(local_address, peer)
            for place, session in sessions:
                self._only(
                    f"{place}.local-session-id",
                    ("local-session-id", encapsulation, listening, session["local-session-id"]),
                    "frames that arrive at one listen address are told apart by it",
                )
        for place, session in sessions:
            self._only(
                f"{place}.peer-session-id",
                ("peer-session-id", path, session["peer-session-id"]),
                "the peer tells its sessions apart by it",
            )
        if self._reader.problems:
            return None
        return StaticTunnelSettings(
            name=name,
            address=self._way(values, local_address),
            local_connection_id=values["local-connection-id"] or 0,
            peer_connection_id=values["peer-connection-id"] or 0,
            hello_interval=values["hello-interval"],
            retry=values["retry"],
            reconnect_interval=values["reconnect-interval"],
            sessions=tuple(_static_session(place.rpartition(".")[2], session) for place, session in sessions),
        )

    def _check_connection_ids(self, path: str, table: dict[str, Any], values: dict[str, Any]) -> None:
        """Check the Control Connection IDs of a static tunnel, and what needs them."""
        keys = ("local-connection-id", "peer-connection-id")
        watched = table.get("hello-interval", "none") != "none"
        remedy = "HELLO needs both Control Connection IDs" if watched else "give both Control Connection IDs, or none"
        for key in keys:
            if key not in table and (watched or any(other in table for other in keys)):
                self._reader.report(f"{path}.{key}", remedy, entry=Entry.NO_PARAM)
        if not watched and "retry" in table:
            self._reader.report(f"{path}.retry", "give hello-interval, or leave it out", problem="nothing is sent")
        self._only(
            f"{path}.local-connection-id",
            ("local-connection-id", values["local-connection-id"]),
            "the peers' messages are told apart by it",
        )

    def _unknown_mode(self, path: str, table: dict[str, Any]) -> None:
        """Find what is wrong whichever mode was meant."""
        self._reader.table(path, table, _either(STATIC_TUNNEL, TUNNEL), ["session"])
        self._own_interfaces(self._session_tables(path, table, _either(STATIC_SESSION, SESSION)))

    def _template(self, path: str, name: str, table: dict[str, Any]) -> TemplateSettings | None:
        values = self._reader.table(path, table, {**TEMPLATE, **TEMPLATE_TUNNEL}, ["session"])
        sessions = self._sessions(path, table, {**SESSION, **TEMPLATE_SESSION})
        for place, session in sessions:
            self._check_pattern(f"{place}.interface", session["interface"], values["maximum"])
        secrets = self._secrets(path, values)
        networks = values["addresses"] or ()
        # One address stands for each family.
        peers = {network.version: str(network.network_address) for network in networks}.values()
        local_address = self._local_address(path, "addresses", values, tuple(peers))
        if self._reader.problems:
            return None
        model = {**values, "peer-address": "", "peer-port": None, "initiate": False}
        return TemplateSettings(
            tunnel=self._settings(name, model, sessions, secrets, local_address),
            networks=networks,
            maximum=values["maximum"],
        )

    def _settings(
        self,
        name: str,
        values: dict[str, Any],
        sessions: list[tuple[str, dict[str, Any]]],
        secrets: tuple[Secret, ...],
        local_address: str,
        peer_name: HostName | None = None,
    ) -> TunnelSettings:
        return TunnelSettings(
            name=name,
            address=self._way(values, local_address),
            peer_name=peer_name,
            peer_host_name=values["hostname"],
            peer_router_id=values["router-id"],
            local_host_name=self._local.hostname or b"",
            local_router_id=self._local.router_id or 0,
            secrets=secrets,
            digest=values["digest"],
            hidden=values["hidden"],
            cookie_length=values["cookie"],
            retry=values["retry"],
            hello_interval=values["hello-interval"],
            initiate=values["initiate"],
            reconnect_interval=values["reconnect-interval"],
            compatibility=values["compatibility"],
            discard_reserved=values["reserved-bits"],
            sessions=tuple(_session(path.rpartition(".")[2], session) for path, session in sessions),
        )

    def _way(self, values: dict[str, Any], local_address: str) -> Address:
        over_udp = values["encapsulation"] is Encapsulation.UDP
        return Address(
            encapsulation=values["encapsulation"],
            local=local_address,
            local_port=self._local.port or 0 if over_udp else 0,
            peer=values["peer-address"],
            peer_port=values["peer-port"] or L2TP_PORT if over_udp else 0,
        )

    def _sessions(self, path: str, table: dict[str, Any], keys: Mapping[str, Key]) -> list[tuple[str, dict[str, Any]]]:
        """Return the session tables inside a tunnel's or a template's, each with its path, and check them."""
        found = self._session_tables(path, table, keys, elsewhere=STATIC_SESSION, why=_ONLY_STATIC)
        for place, values in found:
            end_id = values["remote-end-id"]
            self._only(
                f"{place}.remote-end-id",
                None if end_id is None else ("remote-end-id", path, end_id),
                "the peer tells a tunnel's sessions apart by it",
            )
        return found

    def _session_tables(
        self,
        path: str,
        table: dict[str, Any],
        keys: Mapping[str, Key],
        *,
        elsewhere: Collection[str] = (),
        why: str = "",
    ) -> list[tuple[str, dict[str, Any]]]:
        """Return the session tables of any mode, each with its path, and check what is the same in all."""
        found = []
        for inner, name, session_table in self._named(f"{path}.session", table.get("session", {})):
            values = self._reader.table(inner, session_table, keys, elsewhere=elsewhere, why=why)
            self._only(inner, ("session", name), "session names are unique in the whole file")
            if values["sequencing"] not in {None, Sequencing.NONE} and values["sublayer"] is Sublayer.NONE:
                self._reader.report(
                    f"{inner}.sequencing", 'set sublayer = "default"', problem="sequence numbers need a sublayer"
                )
            found.append((inner, values))
        return found

    def _own_interfaces(self, sessions: list[tuple[str, dict[str, Any]]]) -> None:
        for place, session in sessions:
            self._only(f"{place}.interface", ("interface", session["interface"]), "give each session its own interface")

    def _check_pattern(self, key: str, pattern: str | None, maximum: int | None) -> None:
        """Check every interface name that a template can make."""
        if pattern is None or maximum is None:
            return
        longest = pattern.replace(NUMBER, str(maximum - 1))
        if not re.fullmatch(NAME, longest):
            self._reader.report(key, "shorten it, or lower maximum", problem=f"{longest} is too long")
            return
        for number in range(maximum):
            name = pattern.replace(NUMBER, str(number))
            if first := self._taken.get(("interface", name)):
                self._reader.report(key, "give each session its own interface", problem=f"{name} is also {first}")
                return
            self._taken["interface", name] = key

    def _named(self, path: str, tables: object) -> Iterator[tuple[str, str, dict[str, Any]]]:
        """Go through the tables ``[PATH.NAME]``."""
        if not isinstance(tables, dict):
            self._reader.report(path, f"write [{path}.NAME]", problem="not a table")
            return
        for name, table in tables.items():
            inner = f"{path}.{name}"
            if not isinstance(table, dict):
                self._reader.report(inner, f"write [{inner}]", problem="not a table")
                continue
            if not TABLE_NAME.fullmatch(name) or name == "all":
                self._reader.report(
                    inner, "write 1 to 32 letters, digits, '.', '_' or '-', not \"all\"", problem="bad name"
                )
            yield inner, name, table

    def _secrets(self, path: str, values: dict[str, Any]) -> tuple[Secret, ...]:
        if values["password-file-next"] and not values["password-file"]:
            self._reader.report(
                f"{path}.password-file", "password-file-next is the second of two", entry=Entry.NO_PARAM
            )
        if values["password-file"] and values["digest"] is DigestPolicy.NONE:
            self._reader.report(f"{path}.digest", 'write "auto"', problem="a password needs a digest")
        if values["hidden"] and not values["password-file"]:
            self._reader.report(f"{path}.hidden", "give a password-file", problem="hiding needs a password")
        secrets = (
            self._reader.attempt(f"{path}.{key}", partial(self._secret, values[key]))
            for key in ("password-file", "password-file-next")
            if values[key]
        )
        return tuple(filter(None, secrets))

    def _address(self, path: str, values: dict[str, Any]) -> str:
        """Return the source address of a tunnel's to an address, and check it and the peer's port."""
        peer = values["peer-address"]
        if values["encapsulation"] is Encapsulation.IP and values["peer-port"]:
            self._reader.report(f"{path}.peer-port", "leave it out", problem='there are no ports with "ip"')
        return self._local_address(path, "peer-address", values, () if peer is None or is_name(peer) else (peer,))

    def _listening(self, local: str, peer: str) -> str | None:
        """Return the listen address at which the frames of a tunnel arrive."""
        for address in self._local.addresses or ():
            if covers(address, local) if local else same_family(address, peer):
                return address
        return None

    def _local_address(self, path: str, key: str, values: dict[str, Any], peers: tuple[str, ...]) -> str:
        """Return the source address, empty to leave it to the routing table; a listener must cover it.

        ``key`` is where the peers' addresses stand, ``peers`` holds one for each family of theirs.
        """
        local, listening = values["local-address"], self._local.addresses
        if listening is None:
            return ""
        chosen = {self._source(path, key, peer, local, listening) for peer in peers}
        if len(chosen) > 1:
            self._reader.report(f"{path}.{key}", "make a template for each family", problem="sources differ")
        return chosen.pop() if chosen else ""

    def _host_name(self, path: str, values: dict[str, Any]) -> HostName:
        """Return the host name in the place of the peer's address, with our address for each family that may be."""
        name, local, listening = values["peer-address"], values["local-address"], self._local.addresses
        if listening is None:
            return HostName(name)
        sources: list[str | None] = []
        for family in EACH_FAMILY:
            usable = [local] if local else listening
            if any(same_family(family, address) for address in usable):
                sources.append(self._source(path, "peer-address", family, local, listening))
            else:
                sources.append(None)
        return HostName(name, *sources)

    def _source(self, path: str, key: str, peer: str, local: str | None, listening: tuple[str, ...]) -> str:
        """Return the source address towards one peer."""
        choice = f"{path}.local-address"
        if local is not None:
            if not same_family(local, peer):
                self._reader.report(choice, f"write an address of the family of {peer}", entry=Entry.INVALID_ADDRESS)
            elif not any(covers(address, local) for address in listening):
                self._reader.report(choice, f"add {local} to listen.addresses", problem="no listen address covers it")
            return local
        usable = [address for address in listening if same_family(address, peer)]
        if not usable:
            self._reader.report(
                f"{path}.{key}", "add one of its family to listen.addresses", problem="no listen address reaches it"
            )
            return ""
        if len(usable) > 1:
            self._reader.report(choice, f"choose one of {', '.join(usable)}", entry=Entry.NO_PARAM)
        return "" if is_wildcard(usable[0]) else usable[0]

    def _only(self, key: str, value: Hashable | None, remedy: str) -> None:
        """Note the key unless it is the first with this value; None is no value."""
        if value is None or (isinstance(value, tuple) and value[-1] is None):
            return
        if first := self._taken.get(value):
            self._reader.report(key, remedy, problem=f"the same as {first}")
        else:
            self._taken[value] = key


def _session(name: str, values: dict[str, Any]) -> SessionSettings:
    return SessionSettings(
        name=name,
        remote_end_id=values["remote-end-id"],
        interface=values["interface"],
        pseudowire_type=values["pseudowire-type"],
        mtu=values["mtu"] or 0,
        bridge=values["bridge"] or "",
        sublayer=values["sublayer"],
        sequencing=values["sequencing"],
    )


def _static_session(name: str, values: dict[str, Any]) -> StaticSessionSettings:
    return StaticSessionSettings(
        name=name,
        interface=values["interface"],
        local_session_id=values["local-session-id"],
        peer_session_id=values["peer-session-id"],
        local_cookie=values["local-cookie"],
        peer_cookie=values["peer-cookie"],
        mtu=values["mtu"] or 0,
        bridge=values["bridge"] or "",
        sublayer=values["sublayer"],
        sequencing=values["sequencing"],
    )


def _either(one: Mapping[str, Key], other: Mapping[str, Key]) -> dict[str, Key]:
    """Return the keys of two schemas, of which only those are required that both require."""
    required = {name for name in one.keys() & other.keys() if one[name].required and other[name].required}
    return {name: replace(key, required=name in required) for name, key in {**one, **other}.items()}


def covers(listening: str, local: str) -> bool:
    """Whether a socket on the listen address gets what is sent to ``local``."""
    return listening == local or (is_wildcard(listening) and same_family(listening, local))
