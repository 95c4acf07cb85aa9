"""Counters of made-up machines: a tree like /sys/class/powercap, and an NVML of a few lines."""

from __future__ import annotations

import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from sprachbund import cells, energy
from sprachbund.energy import counters, metered

NVML = """
class NVMLError(Exception):
    pass
drawn = 5_000  # mJ
def nvmlInit():
    pass
def nvmlDeviceGetHandleByUUID(uuid):
    if uuid != "GPU-1":
        raise NVMLError("Not Found")
    return uuid
def nvmlDeviceGetName(handle):
    return "NVIDIA H200"
def nvmlDeviceGetTotalEnergyConsumption(handle):
    if drawn is None:
        raise NVMLError("GPU is lost")
    return drawn
"""


def zone(root: Path, folder: str, name: str, joules: float, *, at_most: float = 262_143.0) -> Path:
    place = root / folder
    place.mkdir()
    (place / "name").write_text(f"{name}\n")
    (place / "max_energy_range_uj").write_text(f"{round(at_most * 1e6)}\n")
    draw(place, joules)
    return place


def draw(place: Path, joules: float) -> None:
    (place / "energy_uj").write_text(f"{round(joules * 1e6)}\n")


@pytest.fixture
def powercap(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine whose processors can be counted; none yet."""
    root = tmp_path / "powercap"
    root.mkdir()
    monkeypatch.setattr(energy, "POWERCAP", root)
    return root


@pytest.fixture
def nvml(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "pynvml.py").write_text(NVML)
    monkeypatch.syspath_prepend(tmp_path / "lib")
    monkeypatch.delitem(sys.modules, "pynvml", raising=False)


def test_packages_and_their_memory_count_and_nothing_counts_twice(powercap: Path) -> None:
    places = {
        folder: zone(powercap, folder, name, 10.0)
        for folder, name in {
            "intel-rapl:0": "package-0",
            "intel-rapl:0:0": "core",
            "intel-rapl:0:1": "dram",
            "intel-rapl:1": "package-1",
            "intel-rapl:2": "psys",
            "intel-rapl-mmio:0": "package-0",
        }.items()
    }
    (powercap / "intel-rapl").mkdir()
    with metered(counters(None)) as meter:
        for extra, place in enumerate(places.values(), start=1):
            draw(place, 10.0 + 10**extra)
        names = ("CPU package-0", "memory of CPU package-0", "CPU package-1")
        assert meter.read() == (pytest.approx(10 + 1_000 + 10_000), names)


def test_what_only_root_may_read_is_left_out(powercap: Path) -> None:
    zone(powercap, "intel-rapl:0", "package-0", 1.0)
    (zone(powercap, "intel-rapl:1", "package-1", 1.0) / "energy_uj").unlink()
    assert [counter.name for counter in counters(None)] == ["CPU package-0"]


def test_a_counter_that_begins_again_is_followed_however_often(powercap: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(energy, "SECONDS_BETWEEN_READINGS", 0.01)
    place, before = zone(powercap, "intel-rapl:0", "package-0", 90.0, at_most=100.0), threading.active_count()
    (found,), readings = counters(None), []

    def read() -> float:
        readings.append(found.read())
        return readings[-1]

    with metered([replace(found, read=read)]) as meter:
        for joules in (50.0, 95.0, 45.0):  # 60 + 45 + 50 later
            draw_whole(place, joules)
            seen = len(readings)
            while len(readings) == seen:
                time.sleep(0.005)
        assert meter.read()[0] == pytest.approx(155.0)
    assert threading.active_count() == before, "nobody reads on"


def draw_whole(place: Path, joules: float) -> None:
    """Like :func:`draw`; whoever reads meanwhile sees one number or the other."""
    draw(place.parent, joules)
    (place.parent / "energy_uj").replace(place / "energy_uj")


def test_a_failing_counter_leaves_no_sum_that_lacks_it(powercap: Path) -> None:
    places = [zone(powercap, f"intel-rapl:{number}", f"package-{number}", 1.0) for number in (0, 1)]
    with metered(counters(None)) as meter:
        assert meter.read()[0] == 0.0
        (places[1] / "energy_uj").unlink()
        assert meter.read() == (None, ())
        draw(places[1], 2.0)
        assert meter.read()[0] is None, "what it took meanwhile is not known"


@pytest.mark.usefixtures("powercap", "nvml")
def test_a_gpu_is_found_by_its_uuid() -> None:
    import pynvml

    with metered(counters("GPU-1")) as meter:
        pynvml.drawn += 2_500
        assert meter.read() == (2.5, ("GPU NVIDIA H200",))
        pynvml.drawn = 100  # the driver was loaded anew
        assert meter.read()[0] is None
    assert counters("GPU-of-a-slice") == ()
    pynvml.drawn = None
    assert counters("GPU-1") == ()


@pytest.mark.usefixtures("powercap")
def test_without_a_counter_nothing_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)  # as if it were not installed
    before = threading.active_count()
    with metered(counters("GPU-1")) as meter:
        assert threading.active_count() == before
        assert meter.read() == (None, ())


def test_energy_and_what_it_is_of_are_one_reading() -> None:
    """Else a counter that fails between the two would leave a figure of nothing."""
    readings = iter([0.0, 2.0])

    def read() -> float:
        try:
            return next(readings)
        except StopIteration:
            raise OSError("gone") from None

    meter = energy.Meter([energy.Counter("CPU package-0", read)])
    assert cells._energy(meter) == {"energy": 2.0, "energy_of": ("CPU package-0",)}
