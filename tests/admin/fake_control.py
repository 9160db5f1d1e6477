"""A control process that answers admin commands from a table: ``fake_control.py SOCKET``.

It speaks the real protocol on a real socket and prints each request that reaches it.  Some names behave:
``late-N`` is answered after N milliseconds, ``silent`` never, ``huge`` with 512 KiB,
``many`` with 5,000 sessions, ``die`` ends the process.  ``monitor`` is answered with three changes of state.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

from l2tp_ctl.admin_framing import Decoder, encode
from l2tp_ctl.admin_schema import (
    MAX_REQUEST,
    STREAMS,
    Command,
    ErrorCode,
    Request,
    event,
    failure,
    parse_request,
    success,
)

HUGE = 512 * 1024
COUNTERS = {"tx_frames": 7, "tx_octets": 700, "rx_frames": 123456, "rx_octets": 9, "rx_cookie": 3}


def tunnel(name: str, state: str, **other: Any) -> dict[str, Any]:
    up = state == "established"
    return {
        "name": name,
        "mode": "signalled",
        "state": state,
        "encapsulation": "udp",
        "local_address": "192.0.2.1",
        "peer_address": "192.0.2.2",
        "peer_port": 1701,
        "peer_name": "",
        "peer_addresses": [],
        "name_problem": "",
        "local_connection_id": 2864434397,
        "peer_connection_id": 305419896 if up else 0,
        "peer_host_name": "peer" if up else "",
        "peer_router_id": "192.0.2.2" if up else "",
        "peer_vendor_name": "l2tpd" if up else "",
        "ns": 4,
        "nr": 3,
        "window": 16,
        "unacknowledged": 0,
        "queued": 0,
        "retransmissions": 0 if up else 9,
        "authenticated": True,
        "initiator": True,
        "hello_interval": 60.0,
        "sessions_configured": 1,
        "sessions_established": int(up),
        "uptime": 93784.5 if up else None,
        "next_attempt": None if up else 7.25,
        "last_error": "" if up else "no answer to SCCRQ",
        "enabled": True,
        "rtt": 0.0124 if up else None,
        **other,
    }


def session(name: str, of_tunnel: str, state: str, **other: Any) -> dict[str, Any]:
    up = state == "established"
    return {
        "name": name,
        "tunnel": of_tunnel,
        "state": state,
        "interface": f"l2-{name}",
        "remote_end_id": name,
        "pseudowire_type": "ethernet",
        "local_session_id": 1001 if up else 0,
        "peer_session_id": 20002 if up else 0,
        "local_cookie_length": 8,
        "peer_cookie_length": 8 if up else 0,
        "mtu": 1446 if up else 0,
        "mtu_fixed": False,
        "uptime": 3725.0 if up else None,
        "last_error": "" if up else "the tunnel is down",
        "counters": COUNTERS if up else {},
        **other,
    }


TUNNELS = [
    tunnel("tokyo", "established", peer_host_name="host\x1b[31m\nname"),
    tunnel("osaka", "wait-ctl-reply"),
    tunnel("東京本社", "idle", peer_address="2001:db8::2", next_attempt=None, last_error="StopCCN\x07 認証失敗"),
]
DIFFERENCES = {
    "tokyo": ["l2-eth0: MTU is 1300 at l2tp-kernel, 1446 here", "l2-\x07: missing at l2tp-kernel"],
    "osaka": [],
    "東京本社": [],
}
SESSIONS = [
    session("eth0", "tokyo", "established"),
    session("eth1", "osaka", "idle"),
    session("大阪 支社", "東京本社", "wait-reply"),
]


CHANGES = [
    {"time": 1764000000.0 + second, "tunnel": name, "session": "", "state": state, "reason": reason}
    for second, (name, state, reason) in enumerate(
        [("tokyo", "wait-ctl-reply", ""), ("tokyo", "established", ""), ("東京本社", "idle", "peer: \x07 認証失敗")]
    )
]


async def answer(request: Request) -> dict[str, Any] | None:
    """Return the answer to one request; None for none."""
    name = next(iter(request.args.values()), "")
    if name.startswith("late-"):
        await asyncio.sleep(int(name.removeprefix("late-")) / 1000)
        return success(request.id, {"tunnel": tunnel(name, "idle"), "sessions": [], "cleared": [name]})
    if name == "silent":
        return None
    if name == "die":
        os._exit(9)
    if name == "huge":
        return success(request.id, {"sessions": [], "padding": "x" * HUGE})
    if name == "many":
        return success(request.id, {"sessions": [session(f"s{i}", name, "established") for i in range(5000)]})
    return _look_up(request, name)


STATISTICS = {
    "uptime": 3725.5,
    "problem": "",
    "tunnels_configured": 3,
    "tunnels_established": 1,
    "sessions_configured": 3,
    "sessions_established": 1,
    "messages_received": {"sccrp": 1, "hello": 2},
    "messages_sent": {"sccrq": 4},
    "retransmissions": 3,
    "datagrams": 5,
    "drops": {"short": 0, "unknown-peer": 2},
    "helper_connected": True,
    "helper_requests": {"stats": {"count": 4, "seconds": 0.01}},
}
PEER = {
    "address": "192.0.2.2",
    "peer_name": "",
    "host_name": "host\x1b[31m",
    "router_id": "192.0.2.2",
    "vendor_name": "l2tpd",
    "tunnels": ["tokyo", "osaka"],
    "tunnels_established": 1,
    "sessions_configured": 2,
    "sessions_established": 1,
}
CONFIG = {
    "daemon": {"plane": "auto"},
    "listen": [{"encapsulation": "udp", "address": "::", "port": 1701}],
    "tunnel": {"tokyo": {"retry": 10, "hidden": False, "session": {"eth0": {"interface": "l2-eth0"}}}},
    "template": {},
}
FIXED: dict[Command, dict[str, Any]] = {
    Command.SHOW_PEERS: {"peers": [PEER]},
    Command.SHOW_STATISTICS: STATISTICS,
    Command.SHOW_CONFIG: {"config": CONFIG},
    Command.SHOW_VERSION: {"l2tpd": "0.1.0", "python": "3.11.2", "pid": 7, "planes": ["userspace"]},
    Command.MONITOR: {},
    Command.CAPTURE: {},
    Command.SHOW_TUNNELS: {"tunnels": TUNNELS, "problem": ""},
}
MISTAKES = ["l2tpd.toml: tunnel.a.retry: 0 is out of range", "l2tpd.toml: tunnel.a.\x1b: unknown key"]
MESSAGES = [
    {
        "time": 1764000000.5 + sent,
        "sent": bool(sent),
        "encapsulation": "udp",
        "local_address": "192.0.2.1",
        "local_port": 1701,
        "peer_address": "192.0.2.2",
        "peer_port": 1701,
        "data": "yAMADAAAAAAAAAAA",
    }
    for sent in (0, 1)
]
EVENTS: dict[Command, list[dict[str, Any]]] = {Command.MONITOR: CHANGES, Command.CAPTURE: MESSAGES}


def _look_up(request: Request, name: str) -> dict[str, Any]:
    result: dict[str, Any]
    if request.command in FIXED:
        return success(request.id, FIXED[request.command])
    if request.command is Command.RELOAD:
        return failure(request.id, ErrorCode.BAD_CONFIGURATION, "l2tpd.toml has 2 mistakes", MISTAKES)
    tunnels = [one for one in TUNNELS if name in (one["name"], one["peer_address"], "all")]
    sessions = [one for one in SESSIONS if name in (one["name"], one["interface"])]
    if request.command is Command.SHOW_SESSIONS and not name:
        result = {"sessions": SESSIONS}
    elif not tunnels and not sessions:
        return failure(request.id, ErrorCode.NOT_FOUND, f"there is no {name}")
    elif request.command is Command.SHOW_TUNNEL:
        sessions = [one for one in SESSIONS if one["tunnel"] == name]
        result = {"tunnel": tunnels[0], "sessions": sessions, "problem": "", "differences": DIFFERENCES[name]}
    elif request.command is Command.SHOW_SESSION:
        result = {"session": sessions[0], "differences": DIFFERENCES[sessions[0]["tunnel"]]}
    elif request.command in {Command.UP, Command.DOWN}:
        result = {"changed": [name]}
    elif request.command is Command.SHOW_SESSIONS:
        result = {"sessions": [one for one in SESSIONS if one["tunnel"] == name]}
    else:
        result = {"cleared": [one["name"] for one in (*tunnels, *sessions)]}
    return success(request.id, result)


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer one client, each request in its own time."""
    decoder = Decoder(MAX_REQUEST)

    async def respond(request: Request) -> None:
        body = await answer(request)
        if body is not None:
            writer.write(encode(body))
        if request.command in STREAMS:
            for told in EVENTS[request.command]:
                writer.write(encode(event(request.id, told)))

    async with asyncio.TaskGroup() as responding:
        while data := await reader.read(65536):
            for body in decoder.feed(data):
                request = parse_request(body)
                print(json.dumps([request.id, request.command, request.args]), flush=True)
                responding.create_task(respond(request))


async def main(path: Path) -> None:
    server = await asyncio.start_unix_server(serve, path)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
