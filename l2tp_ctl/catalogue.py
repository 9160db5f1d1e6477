"""The message catalogue: every line that l2tpd logs, by a stable name.

The first part is the log reference of the SEIL routers' l2tpd, word for word: its spelling is kept because
operators' filters match it.  The second part is our own.  An entry's name is its stable id.  Templates are
``str.format`` templates; their fields travel beside the text as structured log fields.
"""

from __future__ import annotations

from enum import Enum, IntEnum
from typing import TypeAlias

Field: TypeAlias = str | int
"""What a log line's field may hold: never octets, never anything secret."""


class Level(IntEnum):
    """Severity, with syslog's numbers (RFC 5424, section 6.2.1)."""

    ERROR = 3
    WARN = 4
    NOTICE = 5
    INFO = 6
    DEBUG = 7


ERROR, WARN, NOTICE, INFO, DEBUG = Level


class Entry(Enum):
    """One catalogue entry: its name is its id, its value its level and template."""

    # ---- The log reference.

    URANDOM_OPEN_ERROR = ERROR, "/dev/urandom open error: {error}"
    INVALID_ADDRESS = ERROR, "{tag}: Invalid address"
    NO_PARAM = ERROR, "{tag}: No param"
    THIS_PARAM_IS_ONLY_ONE = ERROR, "{tag}: This param is only one"
    CANNOT_CREATE_PID_FILE = ERROR, "Can't create pid file"
    CANNOT_OPEN_CONFIG_FILE = ERROR, "Can't open config file"
    DAEMON_ERROR = ERROR, "daemon error: {error}"
    FAILED_TO_ACCEPT = ERROR, "failed to accept: {error}"
    FAILED_TO_CREATE_TUNNEL = ERROR, "failed to create tunnel"
    FAILED_TO_IOCTL = ERROR, "failed to ioctl: {error}"
    FAILED_TO_NEW_PACKET = ERROR, "failed to new_packet"
    FAILED_TO_NEW_SESSION = ERROR, "failed to new_session"
    FAILED_TO_RECV = ERROR, "failed to recv: {error}"
    FAILED_TO_RECVFROM = ERROR, "failed to recvfrom: {error}"
    FAILED_TO_SEND_INFORMATION = ERROR, "failed to send l2tpd information: {error}"
    FAILED_TO_SOCKET = ERROR, "failed to socket: {error}"
    GET_SESSION_CONFIGURATION_FAILED = ERROR, "get session configuration failed"
    GET_TUNNEL_CONFIGURATION_FAILED = ERROR, "get tunnel configuration failed"
    INVALID_ADMIN_HEADER_LENGTH = ERROR, "invalid header length of admin command"
    L2TPD_INITIALIZATION_FAILED = ERROR, "l2tpd initialization failed"
    MALLOC_ERROR = ERROR, "malloc error: {error}"
    RESULT_CODE_NOT_SPECIFIED = ERROR, "result code not specified"
    SELECT_ERROR = ERROR, "select error: {error}"
    SET_PWE_PARAM_FAILED = ERROR, "set_pwe_param() failed"

    SEND_FAILED_TUNNEL_SHUTDOWN = WARN, "failed to send control message. tunnel shutdown"
    UNKNOWN_VENDOR_ID = WARN, "<Unknown Vendor-ID, Vendor={vendor_code}, Type={type}, Length={len}"
    ONLY_HMAC_MD5 = WARN, "[{tunnel_id}] {func}: only support HMAC-MD5 digest type({n}) in {msg_type}, Ignoreing"
    INVALID_COOKIE_LENGTH = WARN, "[{tunnel_id}] {func}: invalid cookie length ({len})"
    UNKNOWN_MESSAGE_TYPE = WARN, "[{tunnel_id}] {func}: unknown message type {msg_type}"
    WRONG_SIZE = WARN, "[{tunnel_id}] {func}: wrong size({len}), discarding packet"
    AVP_INVALID = WARN, "[{tunnel_id}] AVP: {AVP_name}: invalid in {msg_type}"
    CANNOT_HANDLE_MESSAGE = WARN, "[{tunnel_id}] AVP: type=Message Type, value=unknown({msg_type}), can't hanle message"
    COOKIE_NOT_FOUND = WARN, "[{tunnel_id}] Assigned Cookie AVP not found in {msg_type}"
    NONCE_NOT_FOUND = WARN, "[{tunnel_id}] Authentication Nonce was not found in SCCRP"
    COOKIE_IS_OFF_BUT_FOUND = WARN, "[{tunnel_id}] Cookie setting is off, but Assigned Cookie AVP found in {msg_type}"
    SERIAL_NUMBER_NOT_FOUND = WARN, "[{tunnel_id}] Serial Number AVP not found in {msg_type}"
    AVP_HANDLER_FAILED = WARN, "[{tunnel_id}] failed to processing packet in AVP handler"
    FIRST_AVP_IS_NOT_MESSAGE_TYPE = WARN, "[{tunnel_id}] first AVP is notmessage type."
    HOSTNAME_MISMATCH = WARN, "[{tunnel_id}] hostname mismatch in {msg_type}"
    MESSAGE_DIGEST_INVALID = WARN, "[{tunnel_id}] message digest invalid in {msg_type}"
    NO_HANDLER = WARN, "[{tunnel_id}] no handler"
    RECEIVE_BUT_IGNORED = WARN, "[{tunnel_id}] receive {msg_type}, but ignored(tunnel state={state})"
    REMOTE_END_ID_MISMATCH = WARN, "[{tunnel_id}] remote-end-id mismatch in {msg_type}"
    RESERVED_BIT_IS_SET = WARN, "[{tunnel_id}] reserved bit is set. discard packet"
    RESULT_CODE_OUT_OF_RANGE = WARN, "[{tunnel_id}] result code out of range ({result},{error}). Ignoring"
    ROUTER_ID_MISMATCH = WARN, "[{tunnel_id}] router-id mismatch in {msg_type}"

    OLDER_MESSAGES_WERE_TRIMMED = NOTICE, '== OLDER "l2tp" LOG MESSAGES WERE TRIMMED =='

    RECEIVED_SIGNAL = INFO, "Received {signo} signal"
    BEGIN_NEW_SESSION = INFO, "[{tunnel_id}] begin new session"
    BEGIN_NEW_TUNNEL = INFO, "[{tunnel_id}] begin new tunnel [{tun_name}] peer:{IPaddress}"
    CREATE_NEW_TUNNEL = INFO, "[{tunnel_id}] create new tunnel, state --> IDLE"
    LOSE_TIE_BREAK = INFO, "[{tunnel_id}] lose tie brek check, state --> IDLE"
    WIN_TIE_BREAK = INFO, "[{tunnel_id}] win tie break check"
    CLEANUP_RESOURCES = INFO, "cleanup resources..."
    L2TPD_EXIT = INFO, "l2tpd exit."
    RECEIVE_STATE = INFO, "receive {msg_type}, state --> {state}"
    SEND_STATE = INFO, "send {msg_type}, state --> {state}"

    L_BIT_IS_NOT_SET = DEBUG, "{func}: L bit is not set"
    S_BIT_IS_NOT_SET = DEBUG, "{func}: S bit is not set"
    T_BIT_IS_NOT_SET = DEBUG, "{func}: T bit is not set"
    NO_SUCH_ADDRESS_PEER = DEBUG, "{func}: no such address peer: {IPaddress}"
    NO_SUCH_IF_NAME = DEBUG, "{func}: no such if_name: {if_name}"
    SUPPORT_ONLY_L2TPV3 = DEBUG, "{func}: support only L2TPv3"
    CONFIG_PARAM = DEBUG, "{tun_name}: {tag}: {param}"
    CLEANUP_CALL = DEBUG, "[{tunnel_id}] {func}: cleanup call: {if_name}"
    CLEANUP_TUNNEL = DEBUG, "[{tunnel_id}] {func}: cleanup tunnel: {IPaddress}"
    NOT_SUPPORT_OCCN = DEBUG, "[{tunnel_id}] {func}: not support OCCN"
    NOT_SUPPORT_OCRP = DEBUG, "[{tunnel_id}] {func}: not support OCRP"
    NOT_SUPPORT_OCRQ = DEBUG, "[{tunnel_id}] {func}: not support OCRQ"
    CANNOT_FIND_SESSION_CONFIG = DEBUG, "[{tunnel_id}] can't find session config (remote-end-id={id})"
    CREATE_NEW_SESSION = DEBUG, "[{tunnel_id}] can't find session, create new session"
    CLEANUP_TUNNEL_BY_NAME = DEBUG, "[{tunnel_id}] cleanup tunnel: {name}"
    TIE_BREAK_CHECK = DEBUG, "[{tunnel_id}] control connection tie break check: local={local_tie}, remote={remote_tie}"
    DELETE_TUNNEL = DEBUG, "[{tunnel_id}] delete tunnel"
    DRAW_TIE_BREAK = DEBUG, "[{tunnel_id}] draw tie break check, state --> IDLE"
    SEND_FAILED_TUNNEL_SHUTDOWN_DEBUG = DEBUG, "[{tunnel_id}] failed to send control message. tunnel shutown."
    NO_HANDLER_M_BIT_NOT_SET = DEBUG, "[{tunnel_id}] no handler, but M bit is not set"
    RECEIVE_EXPLICIT_ACK = DEBUG, "[{tunnel_id}] receive Explicit ACK"
    RECEIVE_HELLO_SEND_ZLB_ACK = DEBUG, "[{tunnel_id}] receive HELLO, send ZLB ACK"
    SEND_MESSAGE = DEBUG, "[{tunnel_id}] send {msg_type}"
    SEND_CONTROL_PACKET = DEBUG, "[{tunnel_id}] send control packet({n}): {msg_type}"
    SEQUENCE_NUMBER_MISMATCH = DEBUG, "[{tunnel_id}] sequence number mismatch: ctl_hdr->ns={ns}, tun->nr={nr}"
    ALREADY_HAVE_TUNNEL = DEBUG, "[{tunnel_id}] we have already tunnel, remote tunnel is invalid?"
    CLEANUP_SESSION = DEBUG, "[{tunnel_id}][{session_id}] cleanup session: {name}"
    DELETE_SESSION = DEBUG, "[{tunnel_id}][{session_id}] delete session"
    L2TPD_START = DEBUG, "l2tpd start"
    TUNNEL_CREATE_SUCCEEDED = DEBUG, "tunnel create suceeded: my connection ID = {id}({id:#x})"

    # ---- Our own.

    CONFIG_ERROR = ERROR, "{tag}: {problem}"
    CONFIG_REMEDY = NOTICE, "{where}: {remedy}"
    HELPER_LOST = ERROR, "connection to l2tp-kernel lost: {error}"
    HELPER_REFUSED = ERROR, "l2tp-kernel refused {verb}: {reason}"
    HELPER_FAILED = ERROR, "l2tp-kernel failed {verb}: {error}"
    NO_SUCH_PLANE = ERROR, "l2tp-kernel has no kernel plane: {remedy}"
    CONTROL_LOST = ERROR, "connection to l2tp-ctl lost: {error}"

    RESOLVER_LOST = ERROR, "connection to l2tp-resolver lost, host names cannot be resolved: {error}"

    PROCESS_ENDED = ERROR, "{name} ended with status {status}"
    NOT_RELOADED = ERROR, "{file}: the configuration has mistakes, nothing was changed"

    INTERNAL_ERROR = ERROR, "internal error: {error}"

    ADMIN_CLIENT_CUT = WARN, "admin client {who} cut: {reason}"
    NEEDS_RESTART = WARN, "{tag}: the new value takes effect when l2tp-ctl is started again"
    AUTHENTICATION_MISSING = WARN, "[{tunnel_id}] no valid authentication in {msg_type} from {address}, dropped"
    DIGEST_TYPE_REFUSED = WARN, "[{tunnel_id}] digest type {n} in {msg_type} is not allowed here, dropped"
    PEER_UNKNOWN = WARN, "{msg_type} from {address}: no tunnel is configured for this peer, dropped"
    OWN_SCCRQ_CAME_BACK = WARN, "SCCRQ from {address}: it is our own that came back, dropped"
    PEER_LIMIT = WARN, "{msg_type} from {address}: the template has as many peers as it may, dropped"
    PEER_STOPPED = WARN, "[{tunnel_id}] peer sent {msg_type}: {reason}"
    TUNNEL_RETRY = WARN, "[{tunnel_id}] tunnel [{tun_name}] is down, next attempt in {seconds} s"
    NAME_NOT_RESOLVED = WARN, "tunnel [{tun_name}]: cannot resolve {name}: {error}"
    NAME_CONFLICT = WARN, "tunnel [{tun_name}]: {name} is {address}, which tunnel [{other}] has"
    VIOLATION = WARN, "[{tunnel_id}] receive {msg_type} in state {state}, which RFC 3931 does not allow"
    CANNOT_SEND = WARN, "cannot send to {address}: {error}"
    DATAGRAM_MALFORMED = WARN, "malformed control message from {address}: {problem}"

    ADMIN_COMMAND = NOTICE, "admin command {command} {target} by {who}: {outcome}"
    TUNNEL_UP = NOTICE, "[{tunnel_id}] tunnel [{tun_name}] is up, peer:{address}"
    TUNNEL_DOWN = NOTICE, "[{tunnel_id}] tunnel [{tun_name}] is down: {reason}"
    SESSION_UP = NOTICE, "[{tunnel_id}][{session_id}] session [{name}] is up on {if_name}"
    PEER_CIRCUIT = NOTICE, "[{tunnel_id}][{session_id}] the peer's circuit of session [{name}] is {state}"
    SESSION_DOWN = NOTICE, "[{tunnel_id}][{session_id}] session [{name}] is down: {reason}"

    NAME_RESOLVED = NOTICE, "tunnel [{tun_name}]: {name} is {address}"

    RELOADED = NOTICE, "configuration reloaded: {added} added, {changed} changed, {removed} removed"

    CONTROL_CONNECTED = INFO, "connected to l2tp-ctl"
    HELPER_CONNECTED = INFO, "connected to l2tp-kernel, plane {plane}"
    RESOLVER_CONNECTED = INFO, "connected to l2tp-resolver"

    @property
    def level(self) -> Level:
        """The level this entry is always logged at."""
        return self.value[0]

    @property
    def template(self) -> str:
        """The ``str.format`` template of the line."""
        return self.value[1]

    def render(self, fields: dict[str, Field]) -> str:
        """Return the log line with its fields filled in."""
        return self.template.format_map(fields)
