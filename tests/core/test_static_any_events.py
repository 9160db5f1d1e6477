"""Whatever befalls a static tunnel, in whatever order: nothing raises, and nothing is left of it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.core.bench import Bench, FarEnd
from tests.core.stages import settles
from tests.core.static_bench import faced, far_end, session, tunnel, watched
from tests.core.test_any_events import OTHER_EVENTS, Step, peer_messages


def unheard() -> tuple[Bench, FarEnd]:
    bench = Bench(watched())
    far = far_end(bench)
    far.acks = False
    bench.start()
    bench.run(0.6)
    return bench, far


def unwatched() -> tuple[Bench, FarEnd]:
    bench = Bench(watched(hello_interval=None))
    bench.start()
    bench.run(0.6)
    return bench, far_end(bench)


STAGES: dict[str, Callable[[], tuple[Bench, FarEnd]]] = {stage.__name__: stage for stage in (faced, unheard, unwatched)}


def _reload(*sessions: str, **changes: object) -> Step:
    def act(bench: Bench, far: FarEnd) -> None:
        bench.endpoint.reload([watched(*map(session, sessions), **changes)], bench.now)
        bench.settle()

    return act


def _hello(*, ns: int, nr: int) -> Step:
    def send(bench: Bench, far: FarEnd) -> None:
        far.ns, far.nr = ns, nr
        far.acknowledge()

    return send


STATIC_EVENTS = st.sampled_from(
    [
        _reload("s1"),
        _reload("s1", "s22"),
        _reload("s22"),
        _reload("s1", hello_interval=None),
        _reload("s1", local_connection_id=0xA1),
        _hello(ns=0, nr=0),
        _hello(ns=7, nr=1),
        _hello(ns=0xFFFF, nr=0x8000),
    ]
)


@pytest.mark.parametrize("stage", STAGES)
@given(steps=st.lists(st.one_of(STATIC_EVENTS, peer_messages(), OTHER_EVENTS), min_size=3, max_size=15))
@settings(max_examples=60)
def test_any_events_in_any_stage(stage: str, steps: list[Step]) -> None:
    bench, far = STAGES[stage]()
    for step in steps:
        step(bench, far)
    settles(bench, far)


def test_it_begins_and_ends() -> None:
    bench = Bench(tunnel())
    settles(bench, far_end(bench))
