"""The policy file: what it allows, and every mistake in it at once."""

from __future__ import annotations

import os
import pwd
from typing import TYPE_CHECKING

import pytest

from l2tp_kernel import policy as policies
from l2tp_kernel.policy import BadPolicy, Policy
from l2tp_kernel.schema import Reason
from l2tp_kernel.wire import Refused
from tests.kernel.helper import POLICY, address, listener, over_ip, param

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from l2tp_kernel.schema import PweParam

pytestmark = pytest.mark.root  # the file must be root's


def load(directory: Path, text: str = POLICY) -> Policy:
    directory.chmod(0o755)
    file = directory / "policy.toml"
    file.write_text(text)
    return policies.load(file)


def mistakes(directory: Path, text: str) -> list[str]:
    with pytest.raises(BadPolicy) as bad:
        load(directory, text)
    prefix = f"{directory / 'policy.toml'}: "
    assert all(each.startswith(prefix) for each in bad.value.args)
    return [each.removeprefix(prefix) for each in bad.value.args]


def test_a_good_policy_is_read(tmp_path: Path) -> None:
    policy = load(tmp_path, POLICY.replace('["root"]', '["root", 4711]'))
    assert policy.clients == {0, 4711}
    assert policy.forwarder_user == "nobody"
    assert policy.ports == {0, 1701, 1702}
    assert policy.maximum == 4


def test_bridges_may_be_left_out(tmp_path: Path) -> None:
    assert load(tmp_path, POLICY[: POLICY.index("[bridges]")]).bridges == ()
    assert load(tmp_path, POLICY[: POLICY.index("[bridges]")] + "[bridges]\nnames = []").bridges == ()


def test_the_packaged_policy_is_good_where_its_users_exist(tmp_path: Path, repository: Path) -> None:
    text = (repository / "conf/l2tp-kernel.toml").read_text()
    policy = load(tmp_path, text.replace('"l2tp-ctl"]', '"root"]').replace('"l2tp-kernel"', '"nobody"'))
    policy.check_listener(listener())
    policy.check_interface(param(1, "l2tp0"), others=0)
    policy.check_ends(address("192.0.2.1"), address("198.51.100.1"))
    assert not policy.bridges


def refusal(call: Callable[[], None]) -> str:
    with pytest.raises(Refused) as refused:
        call()
    assert refused.value.reason is Reason.POLICY
    return str(refused.value)


def test_listeners_are_checked(tmp_path: Path) -> None:
    policy = load(tmp_path)
    for good in (listener(), listener("2001:db8::1", 1702), over_ip(), listener("0.0.0.0")):
        policy.check_listener(good)
    assert (
        refusal(lambda: policy.check_listener(listener("198.51.100.1"))) == "198.51.100.1 is not in [listen] addresses"
    )
    assert refusal(lambda: policy.check_listener(listener("::"))) == ":: is not in [listen] addresses"
    assert refusal(lambda: policy.check_listener(listener(port=1703))) == "port 1703 is not in [listen] ports"
    only_udp = load(tmp_path, POLICY.replace("1702, 0]", "1702]"))
    assert "port 0" in refusal(lambda: only_udp.check_listener(over_ip()))


def check(policy: Policy, wanted: PweParam, *, others: int) -> None:
    policy.check_ends(wanted.local_address, wanted.peer_address)
    policy.check_interface(wanted, others=others)


def test_pseudowires_are_checked(tmp_path: Path) -> None:
    policy = load(tmp_path)
    for good in (param(1), param(1, "outer"), param(1, bridge="br-lan"), param(1, local_address=address("192.0.2.1"))):
        check(policy, good, others=3)
    for bad, why in (
        (param(1, local_address=address("198.51.100.1")), "198.51.100.1 is not in [listen] addresses"),
        (param(1, peer_address=address("198.51.100.1")), "198.51.100.1 is not in [peers] addresses"),
        (param(1, peer_address=address("2001:db9::1")), "2001:db9::1 is not in [peers] addresses"),
        (param(1, "eth0"), "eth0 is not in [interfaces] names"),
        (param(1, "Pw0"), "Pw0 is not in [interfaces] names"),
        (param(1, bridge="br0"), "br0 is not in [bridges] names"),
    ):
        assert refusal(lambda bad=bad: check(policy, bad, others=0)) == why  # type: ignore[misc]  # a default argument binds the loop's value
    assert refusal(lambda: check(policy, param(1), others=4)) == "[interfaces] maximum is 4"


def test_every_mistake_is_told_at_once(tmp_path: Path) -> None:
    text = """
clients = ["no-such-user", -1, true, "a\\u0000b"]
forwarder-user = "root"
surprise = 1
[listen]
addresses = ["192.0.2.1/24", 5]
ports = [1701, 65536, "1701", true]
port = 5
[peers]
addresses = "192.0.2.0/24"
[interfaces]
names = ["pw%d", "", "a/b", 7]
maximum = 0
[bridge]
names = ["br0"]
"""
    found = mistakes(tmp_path, text)
    assert [each.split(": ")[0] for each in found] == [
        *["clients"] * 4, "forwarder-user", *["listen.addresses"] * 2, *["listen.ports"] * 3, "peers.addresses",
        *["interfaces.names"] * 4, "interfaces.maximum", "surprise", "listen.port", "bridge",
    ]  # fmt: skip
    assert "'no-such-user' is not a user of this machine" in found[0]
    assert "write another" in found[4]
    assert "has host bits set" in found[5]
    assert "must be a list" in found[10]
    assert "unknown; remove it, or write one of " in found[-1]


def test_what_is_missing_is_told(tmp_path: Path) -> None:
    assert [each.split("; ")[0] for each in mistakes(tmp_path, "listen = 1\n[peers]\naddresses = []\n")] == [
        "clients: missing", "forwarder-user: missing", "listen.addresses: missing", "listen.ports: missing",
        "peers.addresses: must be a list with at least one item", "interfaces.names: missing",
        "interfaces.maximum: missing", "listen: unknown",
    ]  # fmt: skip


def test_a_file_that_is_not_toml_is_told(tmp_path: Path) -> None:
    assert mistakes(tmp_path, "clients = [")[0].startswith("not TOML: ")
    (tmp_path / "policy.toml").write_bytes(b"\xff")
    with pytest.raises(BadPolicy, match="not TOML"):
        policies.load(tmp_path / "policy.toml")


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(BadPolicy, match="No such file or directory; give the path of a readable file with --policy"):
        policies.load(tmp_path / "none.toml")


def owned_by_another(path: Path) -> None:
    os.chown(path, pwd.getpwnam("nobody").pw_uid, -1)


@pytest.mark.parametrize("of", ["file", "directory"])
@pytest.mark.parametrize(
    ("spoil", "remedy"),
    [
        (owned_by_another, "chown root {}"),
        (lambda path: path.chmod(0o770), "chmod go-w {}"),
        (lambda path: path.chmod(0o757), "chmod go-w {}"),
    ],
)
def test_only_root_may_be_able_to_write_it(tmp_path: Path, of: str, spoil: Callable[[Path], None], remedy: str) -> None:
    directory = tmp_path / "etc"
    directory.mkdir()
    load(directory)
    spoiled = directory if of == "directory" else directory / "policy.toml"
    spoil(spoiled)
    with pytest.raises(BadPolicy) as bad:
        policies.load(directory / "policy.toml")
    (mistake,) = bad.value.args
    assert mistake.endswith(remedy.format(spoiled))


def test_the_directory_of_a_link_counts_too(tmp_path: Path) -> None:
    for name in ("etc", "real"):
        (tmp_path / name).mkdir()
    load(tmp_path / "real")
    link = tmp_path / "etc" / "policy.toml"
    link.symlink_to(tmp_path / "real" / "policy.toml")
    policies.load(link)
    (tmp_path / "etc").chmod(0o777)
    with pytest.raises(BadPolicy, match=r"chmod go-w .*/etc"):
        policies.load(link)
