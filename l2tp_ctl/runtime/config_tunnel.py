"""The tunnels, templates and sessions of the file, and what must hold between them."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from l2tp_ctl.catalogue import Entry
from l2tp_ctl.core.settings import (
    Address,
    DigestPolicy,
    Encapsulation,
    Secret,
    Sequencing,
    SessionSettings,
    Sublayer,
    TunnelSettings,
)
from l2tp_ctl.core.templates import NUMBER, TemplateSettings
from l2tp_ctl.runtime.config_reader import Reader
from l2tp_ctl.runtime.config_schema import (
    L2TP_PORT,
    SESSION,
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

    def tunnels(self, tables: object) -> tuple[TunnelSettings, ...]:
        """Return the tunnels that are right."""
        return tuple(
            tunnel for path, name, table in self._named("tunnel", tables) if (tunnel := self._tunnel(path, name, table))
        )

    def templates(self, tables: object) -> tuple[TemplateSettings, ...]:
        """Return the templates that are right."""
        return tuple(
            template
            for path, name, table in self._named("template", tables)
            if (template := self._template(path, name, table))
        )

    def _tunnel(self, path: str, name: str, table: dict[str, Any]) -> TunnelSettings | None:
        values = self._reader.table(path, table, TUNNEL, ["session"])
        sessions = self._sessions(path, table, SESSION)
        for place, session in sessions:
            self._only(f"{place}.interface", ("interface", session["interface"]), "give each session its own interface")
        secrets = self._secrets(path, values)
        peer, encapsulation = values["peer-address"], values["encapsulation"]
        local_address = self._local_address(path, "peer-address", values, () if peer is None else (peer,))
        if encapsulation is Encapsulation.IP and values["peer-port"]:
            self._reader.report(f"{path}.peer-port", "leave it out", problem='there are no ports with "ip"')
        if peer and encapsulation:
            self._only(
                f"{path}.peer-address",
                ("peer", peer, encapsulation),
                "one tunnel for each peer and encapsulation: give it more sessions",
            )
        if self._reader.problems:
            return None
        return self._settings(name, values, sessions, secrets, local_address)

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
    ) -> TunnelSettings:
        over_udp = values["encapsulation"] is Encapsulation.UDP
        return TunnelSettings(
            name=name,
            address=Address(
                encapsulation=values["encapsulation"],
                local=local_address,
                local_port=self._local.port or 0 if over_udp else 0,
                peer=values["peer-address"],
                peer_port=values["peer-port"] or L2TP_PORT if over_udp else 0,
            ),
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

    def _sessions(self, path: str, table: dict[str, Any], keys: Mapping[str, Key]) -> list[tuple[str, dict[str, Any]]]:
        """Return the session tables inside a tunnel's or a template's, each with its path, and check them."""
        found = []
        for inner, name, session_table in self._named(f"{path}.session", table.get("session", {})):
            values = self._reader.table(inner, session_table, keys)
            self._only(inner, ("session", name), "session names are unique in the whole file")
            end_id = values["remote-end-id"]
            self._only(
                f"{inner}.remote-end-id",
                None if end_id is None else ("remote-end-id", path, end_id),
                "the peer tells a tunnel's sessions apart by it",
            )
            if values["sequencing"] not in {None, Sequencing.NONE} and values["sublayer"] is Sublayer.NONE:
                self._reader.report(
                    f"{inner}.sequencing", 'set sublayer = "default"', problem="sequence numbers need a sublayer"
                )
            found.append((inner, values))
        return found

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


def covers(listening: str, local: str) -> bool:
    """Whether a socket on the listen address gets what is sent to ``local``."""
    return listening == local or (is_wildcard(listening) and same_family(listening, local))
