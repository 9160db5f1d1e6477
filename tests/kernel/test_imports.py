"""What the privileged process has imported after it has served every verb: no more than imports.txt says."""

from __future__ import annotations

import os
import re
import sys
from dataclasses import astuple
from pathlib import Path
from typing import TYPE_CHECKING

import msgpack
import pytest

from l2tp_kernel.schema import EventKind, Verb
from tests.kernel.helper import listener, over_ip, param, running
from tests.support.netns import veth_pair

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.root

LIST = Path(__file__).with_name("imports.txt")
# Without site, so that neither an editable installation nor coverage adds modules of its own.
PROGRAM = """
import sys
sys.path[:0] = sys.argv.pop(1).split(":")
from l2tp_kernel.main import main
main()
with open(sys.argv[2] + ".imports", "w") as file:
    file.write("\\n".join(sys.modules))
"""


def entries() -> Iterator[str]:
    for line in LIST.read_text().splitlines():
        yield from line.split("#")[0].split()


def shown(name: str) -> str:
    """Name as the list has it: our own and other people's packages, and modules of the standard library, by their top.

    Private modules are the business of those that import them, and Cython's have a version in their name.
    """
    return re.sub(r"^_cython_\w+", "cython_runtime", name.split(".")[0])


def test_the_helper_imports_nothing_that_is_not_listed(tmp_path: Path) -> None:
    path = os.pathsep.join(each for each in sys.path if each)
    command = (sys.executable, "-I", "-S", "-W", "ignore", "-c", PROGRAM, path)
    with veth_pair("imports") as (host, _), running(host, tmp_path, command=command) as started:
        with started.client() as client:
            for wanted in (listener(), over_ip(), listener("2001:db8::1")):
                _, _, control = client.open_listener(wanted)
                control.close()
            handle = client.request(Verb.LIST)[0][0][-1]
            client.set_pwe(param(handle, bridge="br-lan"))
            client.set_pwe(param(handle, local_cookie=b"1234"))
            for refused in (astuple(param(handle, "eth0")), [1]):
                client.send(msgpack.packb([client.sequence + 1, Verb.SET_PWE_PARAM, [refused]]))
                assert client.receive() is not None
                client.sequence += 1
            client.request(Verb.STATS, [])
            host.ip("link set pw0 down")
            assert client.event() == [EventKind.LINK, "pw0", False]
            client.delete_pwe("pw0", 101)
            client.request(Verb.CLOSE_LISTENER, handle)
        started.process.stop()
    there = {shown(name) for name in (tmp_path / "policy.toml.imports").read_text().split()}
    there = {name for name in there if not name.startswith("_")}
    assert there - set(entries()) == set(), "not in tests/kernel/imports.txt"
    if sys.version_info[:2] == (3, 11):
        assert set(entries()) - there == set(), "in tests/kernel/imports.txt, and not imported"


def test_the_list_is_in_order() -> None:
    for line in LIST.read_text().splitlines():
        words = line.split("#")[0].split()
        assert words == sorted(words)
