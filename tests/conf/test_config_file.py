"""The configuration file: what it gives, and every mistake in it at once."""

from __future__ import annotations

import os
from ipaddress import ip_network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2tp_ctl.catalogue import Entry, Level
from l2tp_ctl.core.settings import (
    Address,
    Compatibility,
    DigestPolicy,
    Encapsulation,
    PseudowireType,
    Secret,
    Sequencing,
    SessionSettings,
    Sublayer,
    TunnelSettings,
)
from l2tp_ctl.core.templates import TemplateSettings
from l2tp_ctl.runtime.config_file import ConfigError, Configuration, ListenAddress, load, parse
from l2tp_ctl.runtime.secrets import read_secret
from l2tp_kernel.schema import Plane

NO_LINK_LOCAL = "link-local addresses (fe80::/10) are not supported, write a global or unique local one"
LOCAL = '[local]\nhostname = "west"\nrouter-id = "192.0.2.1"\n'
TUNNEL = LOCAL + '[tunnel.east]\npeer-address = "192.0.2.2"\n'
SESSION = TUNNEL + '[tunnel.east.session.office]\nremote-end-id = "office"\ninterface = "pw0"\n'


class Files:
    """A directory with a configuration file."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.path = directory / "l2tpd.toml"

    def load(self, text: str, credentials: Path | None = None) -> Configuration:
        self.path.write_text(text)
        return load(self.path, credentials)

    def secrets(self, text: str, credentials: Path | None = None) -> tuple[Secret, ...]:
        """The passwords of the first tunnel."""
        tunnel = self.load(text, credentials).tunnels[0]
        assert isinstance(tunnel, TunnelSettings)
        return tunnel.secrets

    def problems(self, text: str) -> list[str]:
        """Each line of the error, without the file's name that begins it."""
        with pytest.raises(ConfigError) as caught:
            self.load(text)
        lines = str(caught.value).splitlines()
        assert len(lines) == len(caught.value.problems)
        start = f"{self.path}: "
        assert all(line.startswith(start) for line in lines)
        return [line.removeprefix(start) for line in lines]

    def secret(self, name: str, content: bytes, mode: int = 0o600) -> None:
        path = self.directory / name
        path.write_bytes(content)
        path.chmod(mode)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def test_the_least_that_makes_a_tunnel(files: Files) -> None:
    assert files.load(SESSION) == Configuration(
        kernel_directory=Path("/run/l2tp-kernel"),
        admin_socket=Path("/run/l2tp-ctl/admin.sock"),
        resolver_socket=Path("/run/l2tp-resolver/resolver.sock"),
        plane=Plane.AUTO,
        log_level=Level.INFO,
        log_format="text",
        log_memory=1024 * 1024,
        tunnels=(
            TunnelSettings(
                name="east",
                address=Address(Encapsulation.UDP, "", 1701, "192.0.2.2", 1701),
                local_host_name=b"west",
                local_router_id=0xC0000201,
                sessions=(SessionSettings(name="office", remote_end_id=b"office", interface="pw0"),),
            ),
        ),
        templates=(),
        listeners=(ListenAddress(Encapsulation.UDP, "0.0.0.0", 1701),),
        parameters=(("east", "peer-address", "192.0.2.2"),),
    )


def test_every_key_is_taken(files: Files) -> None:
    files.secret("one", b"first\n")
    files.secret("two", b"second\r\n")
    configuration = files.load("""
        [local]
        hostname = "west"
        router-id = "10.0.0.1"
        [listen]
        addresses = ["2001:DB8:0::1", "192.0.2.1"]
        port = 2701
        [daemon]
        kernel-directory = "/k"
        admin-socket = "/a"
        plane = "kernel"
        log-level = "debug"
        log-format = "json"
        [tunnel.east]
        peer-address = "2001:db8::2"
        local-address = "2001:db8::1"
        encapsulation = "udp"
        peer-port = 3701
        hostname = "east"
        router-id = "10.0.0.2"
        password-file = "one"
        password-file-next = "two"
        digest = "sha1"
        hidden = true
        cookie = 8
        retry = 99
        hello-interval = "none"
        initiate = false
        reconnect-interval = 3600
        compatibility = "cisco"
        [tunnel.east.session.office]
        remote-end-id = 100
        interface = "pw0"
        pseudowire-type = "vlan"
        mtu = 1400
        bridge = "br0"
        sublayer = "default"
        sequencing = "non-ip"
        [tunnel.direct]
        peer-address = "192.0.2.3"
        encapsulation = "ip"
        hello-interval = 1
        """)
    assert (configuration.kernel_directory, configuration.admin_socket) == (Path("/k"), Path("/a"))
    assert (configuration.plane, configuration.log_level, configuration.log_format) == (
        Plane.KERNEL,
        Level.DEBUG,
        "json",
    )
    east, direct = configuration.tunnels
    assert east == TunnelSettings(
        name="east",
        address=Address(Encapsulation.UDP, "2001:db8::1", 2701, "2001:db8::2", 3701),
        peer_host_name=b"east",
        peer_router_id=0x0A000002,
        local_host_name=b"west",
        local_router_id=0x0A000001,
        secrets=(Secret(b"first"), Secret(b"second")),
        digest=DigestPolicy.SHA1,
        hidden=True,
        cookie_length=8,
        retry=99,
        hello_interval=None,
        initiate=False,
        reconnect_interval=3600.0,
        compatibility=Compatibility.CISCO,
        sessions=(
            SessionSettings(
                name="office",
                remote_end_id=bytes([0, 0, 0, 100]),
                interface="pw0",
                pseudowire_type=PseudowireType.ETHERNET_VLAN,
                mtu=1400,
                bridge="br0",
                sublayer=Sublayer.DEFAULT,
                sequencing=Sequencing.NON_IP,
            ),
        ),
    )
    assert direct.address == Address(Encapsulation.IP, "192.0.2.1", 0, "192.0.2.3", 0)
    assert direct.hello_interval == 1.0
    assert configuration.listeners == (
        ListenAddress(Encapsulation.UDP, "2001:db8::1", 2701),
        ListenAddress(Encapsulation.IP, "192.0.2.1", 0),
    )
    assert ("east", "password-file", "one") in configuration.parameters
    assert not any("first" in value or "session" in key for _, key, value in configuration.parameters)


def test_secrets_show_in_no_repr(files: Files) -> None:
    files.secret("one", b"hunter2")
    assert "hunter2" not in repr(files.load(TUNNEL + 'password-file = "one"\n'))


def test_credentials_come_before_the_files_own_directory(files: Files, tmp_path: Path) -> None:
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    files.secret("one", b"beside")
    files.secret("credentials/one", b"credential")
    text = TUNNEL + 'password-file = "one"\n'
    assert files.secrets(text) == (Secret(b"beside"),)
    assert files.secrets(text, credentials) == (Secret(b"credential"),)
    absolute = TUNNEL + f'password-file = "{tmp_path}/one"\n'
    assert files.secrets(absolute, credentials) == (Secret(b"beside"),)


def test_a_directory_of_credentials_has_an_underscore_for_the_slash(files: Files, tmp_path: Path) -> None:
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    files.secret("credentials/passwords_one", b"credential")
    text = TUNNEL + 'password-file = "passwords/one"\n'
    assert files.secrets(text, credentials) == (Secret(b"credential"),)


def test_no_tunnel_needs_no_socket(files: Files) -> None:
    assert files.load(LOCAL).listeners == ()


def test_every_mistake_comes_out_at_once(files: Files) -> None:
    text = """
        [local]
        hostname = "west"
        hostname = "again"
        [listen]
        addresses = ["0.0.0.0", "192.0.2.1", "bad"]
        [tunnel.east]
        peer-address = "192.0.2"
        retry = 100
        retry = 5
        helo-interval = 3
        cookie = true
        password-file = "missing"
        [tunnel.west]
        [tunnel.west.session.one]
        interface = "pw0"
        [tunnel.west.session.two]
        interface = "pw0"
        remote-end-id = 4294967296
        """
    two = "tunnel.west.session.two"
    missing = f"cannot read {files.directory}/missing: No such file or directory"
    assert files.problems(text) == [
        "local.hostname: This param is only one (line 4 says it again: keep one)",
        "tunnel.east.retry: This param is only one (line 10 says it again: keep one)",
        "local.router-id: No param (give dotted quad)",
        "listen.addresses: Invalid address (write an IPv4 or IPv6 address)",
        "tunnel.east.helo-interval: unknown key (did you mean hello-interval?)",
        "tunnel.east.peer-address: Invalid address (write an IPv4 or IPv6 address, or a host name in ASCII)",
        "tunnel.east.cookie: True is not a choice (write one of 0, 4, 8)",
        "tunnel.east.retry: 100 is out of range (write 1..99)",
        f"tunnel.east.password-file: {missing} (write the password into that file)",
        "tunnel.west.peer-address: No param (give IPv4 or IPv6 address, or host name)",
        "tunnel.west.session.one.remote-end-id: No param (give text of 1..255 octets, or 0..4294967295)",
        f"{two}.remote-end-id: 4294967296 is out of range (write 0..4294967295)",
        f"{two}.interface: the same as tunnel.west.session.one.interface (give each session its own interface)",
    ]


def test_the_entries_are_the_catalogues(files: Files) -> None:
    with pytest.raises(ConfigError) as caught:
        files.load("[local]\nhostname = 'a'\nhostname = 'b'\n[tunnel.east]\npeer-address = ''\n")
    assert [(problem.entry, problem.key) for problem in caught.value.problems] == [
        (Entry.THIS_PARAM_IS_ONLY_ONE, "local.hostname"),
        (Entry.NO_PARAM, "local.router-id"),
        (Entry.INVALID_ADDRESS, "tunnel.east.peer-address"),
    ]


def test_a_file_that_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "none.toml")
    assert str(caught.value) == (
        f"{tmp_path}/none.toml: Can't open config file (No such file or directory; check the path and its permissions)"
    )


def test_a_file_that_is_no_text(files: Files) -> None:
    files.path.write_bytes(b"[local]\nhostname = '\xff'\n")
    with pytest.raises(ConfigError, match=r"can't decode byte 0xff .* \(save it as UTF-8\)$"):
        load(files.path)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "[tunnel.east]\npeer-address = 192.0.2.2\nretry = 0",
            ["tunnel.east.peer-address: line 5: ", "tunnel.east.retry: 0 is"],
        ),
        (
            "[listen]\naddresses = [\n'::1',\n::,\n'::2'\n]\nport = 0",
            ["listen.addresses: line 7: ", "listen.port: 0 is"],
        ),
        ("[listen]\naddresses = ['::1'\nport = 0", ["listen.addresses: line 6: Unclosed array", "listen.port: 0 is"]),
        (
            "[listen]\naddresses = ['::1'\n[daemon]\nplane = 1",
            ["listen.addresses: line 6: Unclosed array", "daemon.plane: 1 is"],
        ),
        ("[tunnel.east\npeer-address = 1\n[listen]\nport = 0", ["tunnel.east: line 4", "listen.port: 0 is"]),
        ("[tunnel.east]\n= 1\nretry = 0", ["tunnel.east: line 5: "]),
        ("[local]\nhostname = 'b'\n[listen]\nport = 0", ["local: This param is only one", "listen.port: 0 is"]),
        (
            "[listen]\nport = 1\n[listen.port]\nx = 1\n[daemon]\nplane = 1",
            ["listen.port: This param is only one (line 6", "daemon.plane"],
        ),
        (
            "tunnel = {a = 1, a = 2}",
            ["local.tunnel: This param is only one (line 4"],
        ),
        (
            '[listen]\nport = 0\nport = """never closed',
            [": Unterminated string (at end of document) (close what was opened)"],
        ),
    ],
)
def test_a_mistake_in_the_syntax_hides_no_other(files: Files, text: str, expected: list[str]) -> None:
    found = files.problems(LOCAL + text)
    assert len(found) == len(expected), found
    for line, start in zip(found, expected, strict=True):
        assert line.startswith(start)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("local = 1", ["local: not a table (write [local])"]),
        ("tunnel = 1", ["tunnel: not a table (write [tunnel.NAME])"]),
        ("[tunnel]\neast = 1", ["tunnel.east: not a table (write [tunnel.east])"]),
        ("[tunel.east]\nx = 1", ["tunel: unknown key (did you mean tunnel?)"]),
        ("[daemon]\nzzz = 1", [
            ("daemon.zzz: unknown key "
             "(known are admin-socket, kernel-directory, log-format, log-level, log-memory, plane, resolver-socket)")
        ]),
        ("[daemon]\nadmin-socket = 1", ['daemon.admin-socket: not a text (write it in quotes: "...")']),
        ("[daemon]\nplane = 'ebpf'", [
            "daemon.plane: 'ebpf' is not a choice (write one of \"auto\", \"userspace\", \"kernel\")"
        ]),
        ("[listen]\nport = true", ["listen.port: not an integer (write a number, 1..65535, without quotes)"]),
        ("[listen]\naddresses = []", ['listen.addresses: not a list of addresses (write ["ADDRESS", ...])']),
        ("[listen]\naddresses = '::'", ['listen.addresses: not a list of addresses (write ["ADDRESS", ...])']),
        ("[listen]\naddresses = ['fe80::1', '::1']", [f"listen.addresses: Invalid address ({NO_LINK_LOCAL})"]),
        ("[listen]\naddresses = ['::1', '::1']", ["listen.addresses: ::1 is there twice (list each once)"]),
        ("[listen]\naddresses = ['::1', '::', '192.0.2.1']", [
            "listen.addresses: they overlap (keep :: or the others of its family)"
        ]),
    ],
)  # fmt: skip
def test_mistakes_in_the_tables(files: Files, text: str, expected: list[str]) -> None:
    before = "" if text.startswith("local") else LOCAL
    assert files.problems(text + "\n" + before if not text.startswith("[") else before + text) == expected


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("peer-address = 1", "Invalid address (write an IPv4 or IPv6 address, or a host name in ASCII)"),
        ("peer-address = 'fe80::1%eth0'", f"Invalid address ({NO_LINK_LOCAL})"),
        ("peer-address = 'fe80::1'", f"Invalid address ({NO_LINK_LOCAL})"),
        ("peer-address = 'febf::1'", f"Invalid address ({NO_LINK_LOCAL})"),
        ("local-address = 'fe80::1'", f"Invalid address ({NO_LINK_LOCAL})"),
        ("peer-address = '::ffff:192.0.2.1'", "Invalid address (write the IPv4 address itself)"),
        ("peer-address = '224.0.0.1'", "Invalid address (write the address of one host)"),
        ("peer-address = '255.255.255.255'", "Invalid address (write the address of one host)"),
        ("peer-address = '::'", "Invalid address (write the address of one host)"),
        ("peer-address = '010.0.0.1'", "Invalid address (write an IPv4 or IPv6 address, or a host name in ASCII)"),
        ("router-id = 'east'", 'Invalid address (write a dotted quad: "192.0.2.1")'),
        ("router-id = 1", 'Invalid address (write a dotted quad: "192.0.2.1")'),
        ("hostname = ''", "0 octets long (write 1 to 255 octets)"),
        (f"hostname = '{'é' * 128}'", "256 octets long (write 1 to 255 octets)"),
        ('hostname = "a\\nb"', "holds a control character (write printable characters)"),
        ("cookie = '8'", "'8' is not a choice (write one of 0, 4, 8)"),
        ("cookie = 4.0", "4.0 is not a choice (write one of 0, 4, 8)"),
        ("initiate = 1", "1 is not a choice (write one of true, false)"),
        ("hello-interval = 'never'", 'not an integer (write 1..3600 or "none")'),
        ("hello-interval = 0", '0 is out of range (write 1..3600 or "none")'),
        ("reconnect-interval = 'none'", "not an integer (write 1..3600)"),
        ("local-address = '2001:db8::1'", "Invalid address (write an address of the family of 192.0.2.2)"),
        ("password-file-next = 'one'", "password-file: No param (password-file-next is the second of two)"),
        ("digest = 'none'\npassword-file = 'one'", 'a password needs a digest (write "auto")'),
        ("hidden = true", "hiding needs a password (give a password-file)"),
        ("encapsulation = 'ip'\npeer-port = 1701", 'peer-port: there are no ports with "ip" (leave it out)'),
    ],
)
def test_mistakes_in_a_tunnel(files: Files, key: str, expected: str) -> None:
    files.secret("one", b"secret")
    tunnel = "[tunnel.east]\n" if key.startswith("peer-address") else "[tunnel.east]\npeer-address = '192.0.2.2'\n"
    name = key.split()[0]
    wanted = expected if expected.startswith(("peer-port:", "password-file:")) else f"{name}: {expected}"
    assert files.problems(LOCAL + tunnel + key) == [f"tunnel.east.{wanted}"]


@pytest.mark.parametrize(
    ("listen", "local", "expected"),
    [
        ("['192.0.2.1', '192.0.2.3']", "'192.0.2.9'", [
            "tunnel.east.local-address: no listen address covers it (add 192.0.2.9 to listen.addresses)"
        ]),
        ("['192.0.2.1', '192.0.2.3']", None, [
            "tunnel.east.local-address: No param (choose one of 192.0.2.1, 192.0.2.3)"
        ]),
        ("['::']", None, [
            "tunnel.east.peer-address: no listen address reaches it (add one of its family to listen.addresses)"
        ]),
    ],
)  # fmt: skip
def test_listen_addresses_serve_every_tunnel(files: Files, listen: str, local: str | None, expected: list[str]) -> None:
    key = f"local-address = {local}" if local else ""
    assert files.problems(TUNNEL + key + f"\n[listen]\naddresses = {listen}") == expected


@pytest.mark.parametrize(
    ("listen", "local", "source"),
    [
        ("['0.0.0.0']", None, ""),
        ("['0.0.0.0']", "'192.0.2.1'", "192.0.2.1"),
        ("['192.0.2.1', '192.0.2.3']", "'192.0.2.3'", "192.0.2.3"),
        ("['192.0.2.1', '::1']", None, "192.0.2.1"),
    ],
)
def test_source_address(files: Files, listen: str, local: str | None, source: str) -> None:
    key = f"local-address = {local}" if local else ""
    configuration = files.load(TUNNEL + key + f"\n[listen]\naddresses = {listen}")
    assert configuration.tunnels[0].address.local == source
    assert len(configuration.listeners) == 1


def test_two_tunnels_to_one_peer_differ_in_encapsulation(files: Files) -> None:
    other = "[tunnel.other]\npeer-address = '192.0.2.2'\n"
    same = "the same as tunnel.east.peer-address"
    assert files.problems(TUNNEL + other) == [
        f"tunnel.other.peer-address: {same} (one tunnel for each peer and encapsulation: give it more sessions)"
    ]
    listeners = files.load(TUNNEL + other + "encapsulation = 'ip'").listeners
    assert listeners == (
        ListenAddress(Encapsulation.UDP, "0.0.0.0", 1701),
        ListenAddress(Encapsulation.IP, "0.0.0.0", 0),
    )


@pytest.mark.parametrize("name", ["all", "'a b'", "''", "a" * 33])
def test_names_are_easy_to_type(files: Files, name: str) -> None:
    found = files.problems(LOCAL + f"[tunnel.{name}]\npeer-address = '192.0.2.2'\n")
    plain = name.strip("'")
    assert found == [f"tunnel.{plain}: bad name (write 1 to 32 letters, digits, '.', '_' or '-', not \"all\")"]


def test_mistakes_between_sessions(files: Files) -> None:
    text = (
        SESSION
        + """
        sequencing = "all"
        [tunnel.east.session.second]
        remote-end-id = "office"
        interface = "pw0/1"
        [tunnel.south]
        peer-address = "192.0.2.3"
        [tunnel.south.session.office]
        remote-end-id = "office"
        interface = "pw1"
        """
    )
    office, second = "tunnel.east.session.office", "tunnel.east.session.second"
    assert files.problems(text) == [
        f'{office}.sequencing: sequence numbers need a sublayer (set sublayer = "default")',
        f"{second}.interface: not an interface name (write 1 to 15 letters, digits, '.', '_' or '-')",
        f"{second}.remote-end-id: the same as {office}.remote-end-id (the peer tells a tunnel's sessions apart by it)",
        f"tunnel.south.session.office: the same as {office} (session names are unique in the whole file)",
    ]


def test_a_number_and_a_text_of_the_same_octets_are_one_remote_end_id(files: Files) -> None:
    second = "[tunnel.east.session.two]\nremote-end-id = 1633771873\ninterface = 'pw1'\n"
    assert len(files.problems(SESSION.replace('"office"', '"aaaa"') + second)) == 1


@pytest.mark.parametrize(
    ("content", "mode", "problem"),
    [
        (b"", 0o600, "{} is empty (write the password into that file)"),
        (b"\n", 0o600, "{} is empty (write the password into that file)"),
        (b"secret", 0o604, "{0} is open to every user (chmod o= {0})"),
        (b"s" * 1025, 0o600, "{} is too long (a password has at most 1024 octets)"),
        (None, 0o700, "{} is not a file (write the password into a file)"),
    ],
)
def test_password_files(files: Files, content: bytes | None, mode: int, problem: str) -> None:
    path = files.directory / "one"
    if content is None:
        os.mkfifo(path, mode)
    else:
        files.secret("one", content, mode)
    text = TUNNEL + "password-file = 'one'"
    assert files.problems(text) == ["tunnel.east.password-file: " + problem.format(path)]


def test_a_password_keeps_all_but_one_newline(files: Files) -> None:
    files.secret("one", b" a\n\n")
    files.secret("two", b"s" * 1024 + b"\r\n")
    keys = "password-file = 'one'\npassword-file-next = 'two'\n"
    assert [secret.value for secret in files.secrets(TUNNEL + keys)] == [b" a\n", b"s" * 1024]


_PIECES = st.sampled_from(
    [*SESSION, *SESSION.splitlines(keepends=True), '"""', "'", "{", "}", "[[", "\n", "#", "\\", "\x00"]
)


@given(st.lists(_PIECES | st.text(max_size=3), max_size=60))
def test_any_text_is_a_configuration_or_has_mistakes(pieces: list[str]) -> None:
    try:
        parse(Path("l2tpd.toml"), "".join(pieces), read_secret)
    except ConfigError as error:
        assert error.problems


TEMPLATE = LOCAL + '[template.road]\naddresses = ["198.51.100.0/24"]\n'
TEMPLATE_SESSION = TEMPLATE + '[template.road.session.lan]\nremote-end-id = "lan"\ninterface = "pw-r{n}"\n'


def test_a_template_takes_the_keys_of_a_tunnel(files: Files) -> None:
    files.secret("one", b"first")
    configuration = files.load("""
        [local]
        hostname = "west"
        router-id = "192.0.2.1"
        [template.road]
        addresses = ["198.51.100.0/24", "2001:db8::/32"]
        maximum = 10
        encapsulation = "ip"
        hostname = "car"
        password-file = "one"
        cookie = 4
        hidden = true
        [template.road.session.lan]
        remote-end-id = 7
        interface = "pw-r{n}"
        mtu = 1400
    """)
    assert configuration.tunnels == ()
    assert configuration.templates == (
        TemplateSettings(
            tunnel=TunnelSettings(
                name="road",
                address=Address(Encapsulation.IP, "", 0, "", 0),
                peer_host_name=b"car",
                local_host_name=b"west",
                local_router_id=0xC0000201,
                secrets=(Secret(b"first"),),
                hidden=True,
                cookie_length=4,
                initiate=False,
                sessions=(SessionSettings(name="lan", remote_end_id=b"\0\0\0\7", interface="pw-r{n}", mtu=1400),),
            ),
            networks=(ip_network("198.51.100.0/24"), ip_network("2001:db8::/32")),
            maximum=10,
        ),
    )
    assert configuration.listeners == (
        ListenAddress(Encapsulation.IP, "0.0.0.0", 0),
        ListenAddress(Encapsulation.IP, "::", 0),
    )
    assert ("road", "maximum", "10") in configuration.parameters


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (LOCAL + "[template.road]\n", "template.road.addresses: No param (give list of IPv4 and IPv6 prefixes)"),
        (
            LOCAL + '[template.road]\naddresses = ["198.51.100.1/24"]\n',
            'template.road.addresses: Invalid address (write ADDRESS/LENGTH, without bits beyond it: "192.0.2.0/24")',
        ),
        (
            LOCAL + '[template.road]\naddresses = ["fe80::/64"]\n',
            f"template.road.addresses: Invalid address ({NO_LINK_LOCAL})",
        ),
        (
            LOCAL + '[template.road]\naddresses = "198.51.100.0/24"\n',
            'template.road.addresses: not a list of prefixes (write ["ADDRESS/LENGTH", ...])',
        ),
        (TEMPLATE + "maximum = 0\n", "template.road.maximum: 0 is out of range (write 1..9999)"),
        (
            TEMPLATE + "initiate = false\n",
            (
                "template.road.initiate: unknown key (known are addresses, compatibility, cookie, digest, "
                "encapsulation, hello-interval, hidden, hostname, local-address, maximum, password-file, "
                "password-file-next, reconnect-interval, reserved-bits, retry, router-id, session)"
            ),
        ),
        (TEMPLATE + "hidden = true\n", "template.road.hidden: hiding needs a password (give a password-file)"),
        (
            TEMPLATE_SESSION.replace("pw-r{n}", "pw0"),
            "template.road.session.lan.interface: not an interface name with {n} (write one like pw{n})",
        ),
        (
            TEMPLATE_SESSION.replace("pw-r{n}", "{n}pw{n}"),
            "template.road.session.lan.interface: not an interface name with {n} (write one like pw{n})",
        ),
        (
            TEMPLATE_SESSION.replace("pw-r{n}", "pw-0123456789{n}"),
            "template.road.session.lan.interface: pw-0123456789255 is too long (shorten it, or lower maximum)",
        ),
        (
            SESSION.replace("pw0", "pw-r7") + TEMPLATE_SESSION.removeprefix(LOCAL),
            (
                "template.road.session.lan.interface: pw-r7 is also tunnel.east.session.office.interface "
                "(give each session its own interface)"
            ),
        ),
        (
            TEMPLATE_SESSION
            + '[template.rail]\naddresses = ["203.0.113.0/24"]\n[template.rail.session.two]\n'
            + 'remote-end-id = "lan"\ninterface = "pw-r1{n}"\n',
            (
                "template.rail.session.two.interface: pw-r10 is also template.road.session.lan.interface "
                "(give each session its own interface)"
            ),
        ),
        (
            LOCAL + '[listen]\naddresses = ["192.0.2.1"]\n[template.road]\naddresses = ["2001:db8::/32"]\n',
            "template.road.addresses: no listen address reaches it (add one of its family to listen.addresses)",
        ),
        (
            LOCAL
            + '[listen]\naddresses = ["192.0.2.1", "::"]\n'
            + '[template.road]\naddresses = ["2001:db8::/32", "198.51.100.0/24"]\n',
            "template.road.addresses: sources differ (make a template for each family)",
        ),
    ],
)
def test_each_mistake_of_a_template(files: Files, text: str, problem: str) -> None:
    assert files.problems(text) == [problem]
