"""Every line that l2tp-kernel logs, by a stable name.

What each means and what to do about it stands beside the control process's own lines, in l2tp_ctl/catalogue.toml.
"""

from __future__ import annotations

from enum import Enum

ERROR, WARNING, NOTICE = 3, 4, 5
"""Priorities of syslog(3)."""


class Line(Enum):
    """One line: its name is its id, its value its priority and ``str.format`` template."""

    POLICY_MISTAKE = ERROR, "{mistake}"
    POLICY_KEPT = ERROR, "the policy before stays in force"
    CANNOT_SERVE = ERROR, "cannot serve in {directory}: {error}"
    FORWARDER_FAILED = ERROR, "forwarder: {error}"

    CLIENT_COMPLAINT = WARNING, "{sender}: {problem}"
    CLIENT_COMPLAINTS_LEFT_OUT = WARNING, "{sender}: {count} more of these were not logged"
    BRIDGE_NOT_JOINED = WARNING, "{interface}: not put into {bridge}: {error}"

    POLICY_GOOD = NOTICE, "{file}: good"
    POLICY_READ = NOTICE, "{file}: read again"
    NO_KERNEL_PLANE = NOTICE, "no kernel plane, so frames are forwarded in userspace: module l2tp_netlink: {error}"
    SERVING = NOTICE, "serving in {directory}"
    FORWARDER_STARTED = NOTICE, "forwarder: pid {pid}, {count} pseudowires"
    CLIENT_CONNECTED = NOTICE, "{sender}: connected"
    CLIENT_GONE = NOTICE, "{sender}: gone; what it made stays"
    LISTENER_OPEN = NOTICE, "listener {handle}: open, {encapsulation} {address} port {port}"
    LISTENER_CLOSED = NOTICE, "listener {handle}: closed"
    INTERFACE_ADOPTED = NOTICE, "{interface}: adopted"
    INTERFACE_MADE = NOTICE, "{interface}: made, sessions {local_id} and {peer_id} with {peer}"
    INTERFACE_CHANGED = NOTICE, "{interface}: changed, sessions {local_id} and {peer_id} with {peer}"
    INTERFACE_REMOVED = NOTICE, "{interface}: removed"
    INTERFACE_REMOVED_BY_OTHERS = NOTICE, "{interface}: removed by somebody else"
    INTERFACE_SET_BY_OTHERS = NOTICE, "{interface}: set {state} by somebody else"
    BRIDGE_AWAITED = NOTICE, "{interface}: waits for the bridge {bridge}"
    BRIDGE_JOINED = NOTICE, "{interface}: put into the bridge {bridge}"
    TUNNEL_DELETED_BY_OTHERS = NOTICE, "tunnel {number}: deleted by somebody else"

    def __init__(self, priority: int, template: str) -> None:
        self.priority = priority
        self.template = template
