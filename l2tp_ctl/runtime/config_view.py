"""The configuration in force, in the words of its file and without secrets."""

from __future__ import annotations

import ipaddress
from typing import Any

from l2tp_ctl.core.settings import (
    Address,
    AnyTunnelSettings,
    Encapsulation,
    Mode,
    PseudowireType,
    SessionSettings,
    StaticSessionSettings,
    StaticTunnelSettings,
    TunnelSettings,
)
from l2tp_ctl.core.templates import TemplateSettings
from l2tp_ctl.runtime.admin_views import end_id
from l2tp_ctl.runtime.config_file import Configuration


def config_view(configuration: Configuration) -> dict[str, Any]:
    """Return everything that holds, defaults included; of passwords only how many, of cookies how long they are."""
    return {
        "daemon": {
            "kernel-directory": str(configuration.kernel_directory),
            "admin-socket": str(configuration.admin_socket),
            "resolver-socket": str(configuration.resolver_socket),
            "plane": configuration.plane.name.lower(),
            "log-level": configuration.log_level.name.lower(),
            "log-format": configuration.log_format,
            "log-memory": configuration.log_memory // 1024,
        },
        "listen": [
            {"encapsulation": one.encapsulation.value, "address": one.address, "port": one.port}
            for one in configuration.listeners
        ],
        "tunnel": {settings.name: _tunnel(settings) for settings in configuration.tunnels},
        "template": {template.tunnel.name: _template(template) for template in configuration.templates},
    }


def _tunnel(settings: AnyTunnelSettings) -> dict[str, Any]:
    if isinstance(settings, StaticTunnelSettings):
        return _static_tunnel(settings)
    own = {"mode": Mode.SIGNALLED.value, **_peer(settings.address)}
    if settings.peer_name is not None:
        own["peer-address"] = settings.peer_name.name
    return {**own, **_common(settings), "initiate": settings.initiate} | _sessions(settings)


def _static_tunnel(settings: StaticTunnelSettings) -> dict[str, Any]:
    told = {
        "mode": Mode.STATIC.value,
        **_peer(settings.address),
        "local-address": settings.address.local,
        "encapsulation": settings.address.encapsulation.value,
        "local-connection-id": settings.local_connection_id,
        "peer-connection-id": settings.peer_connection_id,
        "hello-interval": "none" if settings.hello_interval is None else int(settings.hello_interval),
        "retry": settings.retry,
        "reconnect-interval": int(settings.reconnect_interval),
        "session": {session.name: _static_session(session) for session in settings.sessions},
    }
    return {key: value for key, value in told.items() if value not in (0, "")}


def _peer(address: Address) -> dict[str, Any]:
    ports = {"peer-port": address.peer_port} if address.encapsulation is Encapsulation.UDP else {}
    return {"peer-address": address.peer, **ports}


def _template(template: TemplateSettings) -> dict[str, Any]:
    own = {"addresses": [str(network) for network in template.networks], "maximum": template.maximum}
    return {**own, **_common(template.tunnel)} | _sessions(template.tunnel)


def _common(settings: TunnelSettings) -> dict[str, Any]:
    told = {
        "local-address": settings.address.local,
        "encapsulation": settings.address.encapsulation.value,
        "hostname": None if settings.peer_host_name is None else settings.peer_host_name.decode(),
        "router-id": None if settings.peer_router_id is None else str(ipaddress.IPv4Address(settings.peer_router_id)),
        "passwords": len(settings.secrets),
        "digest": settings.digest.value,
        "hidden": settings.hidden,
        "cookie": settings.cookie_length,
        "reserved-bits": "discard" if settings.discard_reserved else "ignore",
        "retry": settings.retry,
        "hello-interval": "none" if settings.hello_interval is None else int(settings.hello_interval),
        "reconnect-interval": int(settings.reconnect_interval),
        "compatibility": settings.compatibility.value,
    }
    return {key: value for key, value in told.items() if value is not None and value != ""}


def _sessions(settings: TunnelSettings) -> dict[str, Any]:
    return {"session": {session.name: _session(session) for session in settings.sessions}}


def _static_session(session: StaticSessionSettings) -> dict[str, Any]:
    told = {
        "interface": session.interface,
        "local-session-id": session.local_session_id,
        "peer-session-id": session.peer_session_id,
        "local-cookie-length": len(session.local_cookie),
        "peer-cookie-length": len(session.peer_cookie),
        "mtu": session.mtu,
        "bridge": session.bridge,
        "sublayer": session.sublayer.name.lower(),
        "sequencing": session.sequencing.name.lower().replace("_", "-"),
    }
    return {key: value for key, value in told.items() if value not in {0, ""}}


def _session(session: SessionSettings) -> dict[str, Any]:
    told = {
        "remote-end-id": end_id(session.remote_end_id),
        "interface": session.interface,
        "pseudowire-type": "vlan" if session.pseudowire_type is PseudowireType.ETHERNET_VLAN else "ethernet",
        "mtu": session.mtu,
        "bridge": session.bridge,
        "sublayer": session.sublayer.name.lower(),
        "sequencing": session.sequencing.name.lower().replace("_", "-"),
    }
    return {key: value for key, value in told.items() if value not in {0, ""}}
