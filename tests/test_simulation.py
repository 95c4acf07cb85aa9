"""Sweeps that are played through: nothing gets lost, and nothing is faster than it can be."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sprachbund.simulation import Cell, Costs, Sweep, fair_rates, needed_bandwidth, savings, simulate

SOURCES = "abcdef"
SIZE = 100
some = st.floats(0.5, 50)
cells = st.builds(
    Cell,
    st.lists(st.sampled_from(SOURCES), min_size=1, max_size=4, unique=True).map(tuple),
    st.integers(1, 50),
    st.booleans(),
)
groups = st.lists(st.lists(cells, min_size=1, max_size=3).map(tuple), min_size=1, max_size=7).map(tuple)


def sweep_of(found: tuple[tuple[Cell, ...], ...], *, held: bool = False, written: float = 0.0) -> Sweep:
    return Sweep(found, dict.fromkeys(SOURCES, SIZE), 60.0, 3, held, written)


costs_ = st.builds(
    Costs,
    workers_per_node=st.integers(1, 3),
    node_memory=st.sampled_from([0.0, 250.0, math.inf]),
    shared=some,
    node=some,
    start=some,
    digest=st.sampled_from([3.0, math.inf]),
    read=some,
    merge=some,
    step=some,
    build=some,
    texts=some,
    record=some,
)


@settings(max_examples=60, deadline=None)
@given(groups, costs_, st.integers(1, 6), st.booleans(), st.sampled_from([0.0, 70.0]))
def test_nothing_is_lost_and_nothing_is_too_fast(
    found: tuple[tuple[Cell, ...], ...], costs: Costs, workers: int, held: bool, written: float
) -> None:
    sweep = sweep_of(found, held=held, written=written)
    came = simulate(sweep, costs, workers)
    assert sum(came.stages.values()) == pytest.approx(workers * came.seconds), "busy and idle"
    merged = [cell for group in found for cell in group if cell.is_merge]
    every = [cell for group in found for cell in group]
    work = {
        "start": workers * costs.start,
        "merging": sum(len(cell.sources) for cell in merged) * (60 / costs.merge + 3 * costs.step),
        "building": len(every) * costs.build,
        "answering": sum(cell.texts for cell in every) / costs.texts,
        "records": len(every) * costs.record,
    }
    assert {name: came.stages[name] for name in work} == pytest.approx(work), "all of the work, once"
    assert came.bytes_written == pytest.approx(len(merged) * written)
    used = {source for cell in every for source in cell.sources}
    known = 0 if math.isinf(costs.digest) else len(SOURCES) * SIZE
    wanted = sum(len({source for cell in group for source in cell.sources}) for group in found) * SIZE
    assert came.bytes_read <= known + wanted + 1e-6
    if math.isinf(costs.node_memory):
        nodes = math.ceil(workers / costs.workers_per_node)
        assert came.bytes_read <= known + nodes * len(used) * SIZE + 1e-6, "a node fetches nothing twice"
    if not known:
        assert came.bytes_read >= len(used) * SIZE - 1e-6
    assert came.peak <= costs.shared * (1 + 1e-9)
    assert came.seconds >= sum(work.values()) / workers - 1e-6
    assert came.seconds * costs.shared >= came.bytes_read + came.bytes_written - 1e-6


@settings(max_examples=30, deadline=None)
@given(groups, costs_)
def test_one_worker_is_the_sum_of_its_parts(found: tuple[tuple[Cell, ...], ...], costs: Costs) -> None:
    came = simulate(sweep_of(found), costs, 1)
    assert came.stages["idle"] == pytest.approx(0, abs=1e-6)
    assert came.seconds == pytest.approx(sum(came.stages.values()))


def test_two_readers_share_a_file_system_and_a_neighbour_waits() -> None:
    alone = tuple((Cell((source,), 0, False),) for source in "ab")
    apart = Costs(workers_per_node=1, shared=10.0)
    assert simulate(sweep_of(alone), apart, 2).seconds == pytest.approx(20), "200 bytes by 10 a second"
    assert simulate(sweep_of(alone), Costs(workers_per_node=1, shared=10.0, node=2.0), 2).seconds == pytest.approx(50)
    same = tuple((Cell(("a",), 0, False),) for _ in "ab")
    together = simulate(sweep_of(same), Costs(workers_per_node=2, shared=10.0, read=20.0), 2)
    assert (together.seconds, together.bytes_read) == (pytest.approx(10 + 5), SIZE)
    assert simulate(sweep_of(same), apart, 2).bytes_read == 2 * SIZE


def test_who_is_held_up_elsewhere_leaves_his_share_to_others() -> None:
    assert fair_rates({0: 3, 1: 1}, cap=5.0, node=6.0, shared=10.0) == {0: 2.0, 1: 4.0}
    assert fair_rates({0: 2, 1: 2}, cap=1.0, node=6.0, shared=10.0) == {0: 1.0, 1: 1.0}


def test_what_binds_and_what_is_needed_are_found() -> None:
    sweep = sweep_of(((Cell(("a",), 100, False),),))
    costs = Costs(shared=1.0, texts=10.0)
    assert savings(sweep, costs, 1)["shared"] == pytest.approx(50)
    assert next(iter(savings(sweep, costs, 1))) == "shared"
    assert needed_bandwidth(sweep, costs, 1) == pytest.approx(100, rel=0.05), "one second more than ten"
