"""A sweep on many workers, played through on paper: who reads, merges and evaluates when, and who waits for whom.

Discrete events. Workers (GPUs, or processes) take groups of targets: they read the sources that they need and do not hold,
make the group's merges, then evaluate cell by cell; whoever is free takes the open group that shares most source bytes with
what it has at hand. Sources come from a shared file system, whose bandwidth, in all and for each node, is shared fairly by
those who read at the same moment (max-min). What a node has read stays in its memory as long as there is room, and is not
fetched again; who wants what a neighbour is fetching waits for it. Nothing here knows about models, files or clocks.
"""

from __future__ import annotations

import heapq
import math
from collections import Counter, OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

__all__ = [
    "ANEW",
    "STAGES",
    "Cell",
    "Costs",
    "Simulated",
    "Sweep",
    "fair_rates",
    "needed_bandwidth",
    "savings",
    "simulate",
]

STAGES = ("start", "digests", "reading", "merging", "building", "answering", "records", "writing")
"""Where a worker's time goes; the rest of it is idle."""


@dataclass(frozen=True)
class Costs:
    """What things take, on what machine; infinite rates take no time."""

    workers_per_node: float = math.inf
    node_memory: float = math.inf
    """Bytes of sources that a node keeps."""
    worker_memory: float = 0.0
    """Bytes of a worker's own (a GPU's); who has room for all sources keeps those that it has read."""
    shared: float = math.inf
    """Bytes/s that the file system delivers to all nodes together."""
    node: float = math.inf
    """Bytes/s that it delivers to one node."""
    start: float = 0.0
    """Seconds until a worker can begin."""
    digest: float = math.inf
    """Bytes/s at which one process reads all sources before any work, to know them by their content."""
    read: float = math.inf
    """Bytes/s that a worker takes in, from wherever."""
    merge: float = math.inf
    """Bytes/s of sources that it sums."""
    step: float = 0.0
    """Seconds, besides, for each tensor of each source that is summed."""
    build: float = 0.0
    """Seconds until a model that is merged or read can answer."""
    texts: float = math.inf
    """Texts/s that it answers."""
    record: float = 0.0
    """Seconds to write a record with its predictions."""
    words: float = math.inf
    """Rows of the vocabulary that occur in the texts of a target: the others are read, but not summed."""


ANEW = ("shared", "node", "start", "digest", "read", "merge", "step", "build", "texts", "record")
"""What could be made twice as fast."""
_SECONDS = {"start", "step", "build", "record"}


@dataclass(frozen=True)
class Cell:
    """One model to be evaluated."""

    sources: tuple[str, ...]
    texts: int
    is_merge: bool


@dataclass(frozen=True)
class Sweep:
    """All that is to be done."""

    groups: tuple[tuple[Cell, ...], ...]
    """Of cells that are worked on together."""
    source_bytes: Mapping[str, int]
    summed_bytes: float
    """Of one source, those that are summed for a merge."""
    tensors: int
    """Of one source."""
    are_held: bool
    """Whether workers keep the sources that they have read."""
    written_bytes: float = 0.0
    """For each merge that is kept."""

    @property
    def cells(self) -> int:
        """How many models are evaluated."""
        return sum(map(len, self.groups))


@dataclass(frozen=True)
class Simulated:
    """What came of it."""

    workers: int
    seconds: float
    """From the first worker's start to the last one's end."""
    stages: Mapping[str, float]
    """Seconds of all workers together, by :data:`STAGES` and ``idle``."""
    bytes_read: float
    """From the shared file system."""
    bytes_written: float
    peak: float
    """Bytes/s that the file system delivered at most."""
    mean: float
    """Bytes/s while it delivered any; 0 if it never did."""

    @property
    def worker_hours(self) -> float:
        """Of all workers, idle or not."""
        return self.workers * self.seconds / 3600


@dataclass(frozen=True)
class _Busy:
    stage: str
    seconds: float


@dataclass(frozen=True)
class _Read:
    source: str


@dataclass(frozen=True)
class _Write:
    nbytes: float


_Step = _Busy | _Read | _Write


def simulate(sweep: Sweep, costs: Costs, workers: int) -> Simulated:
    """Return what a sweep takes on so many workers."""
    return _Play(sweep, costs, workers).run()


def fair_rates(flows: Mapping[int, int], cap: float, node: float, shared: float) -> dict[int, float]:
    """Return the bytes/s of each flow, by node, where ``flows`` says how many each node has: max-min fair.

    No flow is faster than ``cap``, no node than ``node``, all together not faster than ``shared``. Only who is held up by a
    narrower place gets less than another.
    """
    limits = sorted((min(cap, node / count), where, count) for where, count in flows.items())
    rates: dict[int, float] = {}
    left, open_flows = shared, sum(flows.values())
    for limit, where, count in limits:
        rates[where] = min(limit, left / open_flows)
        left -= rates[where] * count
        open_flows -= count
    return rates


def savings(sweep: Sweep, costs: Costs, workers: int) -> dict[str, float]:
    """Return the seconds that would be saved if one of the costs were twice as fast, each by itself; the largest first."""
    now = simulate(sweep, costs, workers).seconds
    saved = {}
    for name in ANEW:
        value = getattr(costs, name)
        faster = value / 2 if name in _SECONDS else value * 2
        saved[name] = (
            now - simulate(sweep, replace(costs, **{name: faster}), workers).seconds if faster != value else 0.0
        )
    return dict(sorted(saved.items(), key=lambda item: -item[1]))


def needed_bandwidth(sweep: Sweep, costs: Costs, workers: int, *, slack: float = 0.1) -> float:
    """Return the bytes/s that all nodes together need for a sweep to take at most ``slack`` longer than with any number.

    To within five percent; 0 where nothing is read.
    """
    best = simulate(sweep, replace(costs, shared=math.inf), workers)
    allowed = (1 + slack) * best.seconds
    if not best.bytes_read + best.bytes_written:
        return 0.0
    high = 1.0
    while simulate(sweep, replace(costs, shared=high), workers).seconds > allowed:
        high *= 10
    low = high / 10
    while high / low > 1.05:
        middle = math.sqrt(low * high)
        if simulate(sweep, replace(costs, shared=middle), workers).seconds > allowed:
            low = middle
        else:
            high = middle
    return high


class _Node:
    """The memory of a node: sources that it has read, the longest unused one leaves first."""

    def __init__(self, room: float) -> None:
        self.room = room
        self.held: OrderedDict[str, int] = OrderedDict()

    def has(self, source: str) -> bool:
        if source not in self.held:
            return False
        self.held.move_to_end(source)
        return True

    def keep(self, source: str, nbytes: int) -> None:
        if nbytes > self.room:
            return
        self.held[source] = nbytes
        while sum(self.held.values()) > self.room:
            self.held.popitem(last=False)


class _Play:
    """The state of a simulation: one clock, an agenda of who is done when, and the transfers that are under way."""

    def __init__(self, sweep: Sweep, costs: Costs, workers: int) -> None:
        self.sweep, self.costs, self.workers = sweep, costs, workers
        self.now = 0.0
        self.node_of = [int(worker // costs.workers_per_node) for worker in range(workers)]
        self.nodes = {node: _Node(costs.node_memory) for node in self.node_of}
        self.held: list[set[str]] = [set() for _ in range(workers)]
        self.open_groups = list(sweep.groups)
        self.agenda: list[tuple[float, int]] = []
        self.flows: dict[int, float] = {}
        """Bytes that are left of the transfer of each worker that has one."""
        self.fetching: dict[tuple[int, str], list[int]] = {}
        """What is on its way to a node, and who waits there for it."""
        self.at: list[_Step | None] = [None] * workers
        self.since = [0.0] * workers
        self.stages: dict[str, float] = dict.fromkeys(STAGES, 0.0)
        self.read = self.written = self.delivering = self.peak = 0.0

    def run(self) -> Simulated:
        self._know()
        programs = [self._program(worker) for worker in range(self.workers)]
        for worker in range(self.workers):
            self._go_on(worker, programs)
        while self.agenda or self.flows:
            rates = self._rates()
            ends = {worker: self.now + left / rates[worker] for worker, left in self.flows.items()}
            until = min([*ends.values(), *(time for time, _ in self.agenda[:1])])
            self._deliver(rates, until - self.now)
            self.now = until
            over = [worker for worker, end in ends.items() if end <= until]
            for worker in over:
                del self.flows[worker]
            while self.agenda and self.agenda[0][0] <= until:
                over.append(heapq.heappop(self.agenda)[1])
            for worker in over:
                self._go_on(worker, programs)
        idle = self.workers * self.now - sum(self.stages.values())
        moved = self.read + self.written
        return Simulated(
            self.workers,
            self.now,
            {**self.stages, "idle": max(idle, 0.0)},
            self.read,
            self.written,
            self.peak,
            moved / self.delivering if self.delivering else 0.0,
        )

    def _know(self) -> None:
        """Let the first node read all sources; all others wait."""
        rate = min(self.costs.digest, self.costs.node, self.costs.shared)
        if math.isinf(self.costs.digest):  # their digests are known
            return
        total = sum(self.sweep.source_bytes.values())
        self.now = self.delivering = total / rate
        self.stages["digests"] = self.now
        self.read, self.peak = total, rate
        for source, nbytes in self.sweep.source_bytes.items():
            self.nodes[0].keep(source, nbytes)

    def _program(self, worker: int) -> Iterator[_Step]:
        yield _Busy("start", self.costs.start)
        while self.open_groups:
            group = self._nearest(worker)
            self.open_groups.remove(group)
            for source in _needed(group):
                if source not in self.held[worker]:
                    yield _Read(source)
            yield from self._work(group)

    def _nearest(self, worker: int) -> tuple[Cell, ...]:
        """Return the open group that shares most bytes with what is at hand; the first of equals."""
        if len(self.open_groups) == 1:
            return self.open_groups[0]
        at_hand = self.held[worker] or self.nodes[self.node_of[worker]].held
        return max(self.open_groups, key=lambda group: self._nbytes(each for each in _needed(group) if each in at_hand))

    def _nbytes(self, sources: Iterable[str]) -> int:
        return sum(self.sweep.source_bytes[source] for source in sources)

    def _work(self, group: Sequence[Cell]) -> Iterator[_Step]:
        costs, merges = self.costs, [cell for cell in group if cell.is_merge]
        terms = sum(len(cell.sources) for cell in merges)
        yield _Busy("merging", terms * (self.sweep.summed_bytes / costs.merge + self.sweep.tensors * costs.step))
        if self.sweep.written_bytes and merges:
            yield _Write(len(merges) * self.sweep.written_bytes)
        yield _Busy("building", len(group) * costs.build)
        yield _Busy("answering", sum(cell.texts for cell in group) / costs.texts)
        yield _Busy("records", len(group) * costs.record)

    def _go_on(self, worker: int, programs: Sequence[Iterator[_Step]]) -> None:
        """End what a worker was at, and begin what comes next."""
        self._end(worker, programs)
        step = self.at[worker] = next(programs[worker], None)
        self.since[worker] = self.now
        if isinstance(step, _Busy):
            self._done_at(worker, self.now + step.seconds)
        elif isinstance(step, _Write):
            self.flows[worker] = step.nbytes
        elif isinstance(step, _Read):
            self._fetch(worker, step.source)

    def _fetch(self, worker: int, source: str) -> None:
        node, nbytes = self.node_of[worker], self.sweep.source_bytes[source]
        if self.nodes[node].has(source):
            self._done_at(worker, self.now + nbytes / self.costs.read)
        elif (node, source) in self.fetching:
            self.fetching[node, source].append(worker)
        else:
            self.fetching[node, source] = []
            self.flows[worker] = nbytes

    def _done_at(self, worker: int, time: float) -> None:
        heapq.heappush(self.agenda, (time, worker))

    def _end(self, worker: int, programs: Sequence[Iterator[_Step]]) -> None:
        step, node = self.at[worker], self.node_of[worker]
        spent = self.now - self.since[worker]
        if isinstance(step, _Busy):
            self.stages[step.stage] += spent
        elif isinstance(step, _Write):
            self.stages["writing"] += spent
        elif isinstance(step, _Read):
            self.stages["reading"] += spent
            if self.sweep.are_held:
                self.held[worker].add(step.source)
            waiting = self.fetching.pop((node, step.source), None)
            if waiting is not None:
                self.nodes[node].keep(step.source, self.sweep.source_bytes[step.source])
                for neighbour in waiting:  # what a neighbour has just read is taken from its memory
                    self._done_at(neighbour, self.now + self.sweep.source_bytes[step.source] / self.costs.read)

    def _rates(self) -> dict[int, float]:
        by_node = Counter(self.node_of[worker] for worker in self.flows)
        rates = fair_rates(by_node, self.costs.read, self.costs.node, self.costs.shared)
        return {worker: rates[self.node_of[worker]] for worker in self.flows}

    def _deliver(self, rates: Mapping[int, float], seconds: float) -> None:
        for worker, rate in rates.items():
            moved = self.flows[worker] if math.isinf(rate) else min(rate * seconds, self.flows[worker])
            self.flows[worker] -= moved
            if isinstance(self.at[worker], _Write):
                self.written += moved
            else:
                self.read += moved
        if rates and seconds > 0:
            self.delivering += seconds
            self.peak = max(self.peak, sum(rates.values()))


def _needed(group: Sequence[Cell]) -> tuple[str, ...]:
    """Return the sources of a group, each once, in their order."""
    return tuple(dict.fromkeys(source for cell in group for source in cell.sources))
