"""Messages that are sent again (RFC 3931, sections 4.2 and 5.3)."""

from __future__ import annotations

from l2tp_ctl.core.effects import Send
from tests.core.bench import ADDRESS, Bench, answering, secrets, tunnel
from tests.core.octets import split


def test_an_sccrq_comes_again_octet_for_octet() -> None:
    """Also with hidden AVPs: the peer takes it for what it is, and no second control connection begins."""
    near = Bench(tunnel(initiate=True, hidden=True, secrets=secrets(b"secret")))
    near.start()
    near.run(4.0)
    sent = [one.data for one in near.astray]
    assert len(sent) == 3
    assert len(set(sent)) == 1
    far = Bench(tunnel(secrets=secrets(b"secret")))
    for data in sent:
        far.endpoint.receive_datagram(data, ADDRESS, far.now)
    answers = [one for one in far.endpoint.take_effects() if isinstance(one, Send)]
    assert [split(one.data)[1][0].value for one in answers] == [b"\0\2", b"\0\x14", b"\0\x14"], "SCCRP, ACK, ACK"
    assert far.dropped("duplicate") == 2


def test_each_message_has_a_random_vector_of_its_own() -> None:
    bench = Bench(tunnel(hidden=True, secrets=secrets(b"secret")))
    far = answering(bench, secrets=[b"secret"])
    far.connect()
    vectors = [one.octets(36) for one in far.received if 36 in one.types]
    assert [len(vector) for vector in vectors] == [16, 16], "SCCRP and ICRP"
    assert len(set(vectors)) == 2
