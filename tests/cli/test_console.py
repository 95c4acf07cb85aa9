"""What is said while something runs, and to whom: by a clock that only tests can move."""

from __future__ import annotations

import io
import json
import re
from dataclasses import dataclass
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console

from sprachbund.cli import console
from sprachbund.cli.console import Reporter, detail, duration, result, say, set_mode
from sprachbund.errors import UserError

Capture = pytest.CaptureFixture[str]


@dataclass
class Clock:
    """A clock that stands until it is moved."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(autouse=True)
def no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "_notes", Console(stderr=True, highlight=False, force_terminal=False, width=80))


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """What is drawn on a terminal of 80 columns."""
    drawn = io.StringIO()
    monkeypatch.setattr(console, "_notes", Console(file=drawn, force_terminal=True, width=80, _environ={}))
    return drawn


def lines(capsys: Capture) -> list[str]:
    """The lines on standard error, with nothing on standard output."""
    out, err = capsys.readouterr()
    assert out == ""
    return err.splitlines()


def frames(drawn: io.StringIO) -> list[str]:
    """Every line that was ever on the terminal, without what moves the cursor and colours."""
    return [
        line.rstrip()
        for line in re.split(r"\r|\n", re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", drawn.getvalue()))
        if line.strip()
    ]


# --- plain lines -------------------------------------------------------------------------------------------------------


def test_away_from_a_terminal_there_is_a_line_at_most_every_ten_seconds(clock: Clock, capsys: Capture) -> None:
    with Reporter(clock) as report:
        for done in range(41):
            report("cells, sq-AL", done, 40)
            clock.now += 1
    assert lines(capsys) == [
        "cells: 0/40, 0 s",
        "cells: 10/40, 10 s, 1.0/s, 30 s left",
        "cells: 20/40, 20 s, 1.0/s, 20 s left",
        "cells: 30/40, 30 s, 1.0/s, 10 s left",
        "cells: 40/40, 40 s, 1.0/s",
    ]


def test_the_end_of_a_stage_is_said_at_once_and_once(clock: Clock, capsys: Capture) -> None:
    report = Reporter(clock)
    for done in (0, 1, 2, 2, 2):
        report("cells", done, 2)
        clock.now += 1
    report("zero-shot test", 0, 9)
    report("zero-shot test", 9, 9)
    assert lines(capsys) == ["cells: 0/2, 0 s", "cells: 2/2, 2 s, 1.0/s", "zero-shot test: 9/9, 0 s"]


def test_a_stage_that_begins_again_is_told_of_again(clock: Clock, capsys: Capture) -> None:
    report = Reporter(clock)
    report("fine-tuning", 1, 1)
    clock.now += 10
    report("fine-tuning", 1, 3)
    clock.now += 1
    report("fine-tuning", 3, 3)
    assert [line.partition(",")[0] for line in lines(capsys)] == [
        "fine-tuning: 1/1",
        "fine-tuning: 1/3",
        "fine-tuning: 3/3",
    ]


def test_what_was_finished_before_tells_nothing_about_the_rate(clock: Clock, capsys: Capture) -> None:
    report = Reporter(clock)
    report("cells", 100, 156)
    clock.now += 10
    report("cells", 100, 156)
    clock.now += 10
    report("cells", 110, 156)
    assert lines(capsys) == [
        "cells: 100/156, 0 s",
        "cells: 100/156, 10 s",
        "cells: 110/156, 20 s, 30.0/min, 2 min left",
    ]


def test_the_time_left_of_all_stages_is_measured_where_it_can_be_and_else_as_expected(
    clock: Clock, capsys: Capture
) -> None:
    report = Reporter(clock)
    report.expect({"cells": 600, "zero-shot test": 30})
    report("cells", 0, 50)
    clock.now += 10
    report("cells", 10, 50)
    clock.now += 40
    report("cells", 50, 50)
    report("zero-shot test", 0, 4)
    clock.now += 40
    report("zero-shot test", 2, 4)
    clock.now += 40
    report("zero-shot test", 4, 4)
    assert lines(capsys) == [
        "cells: 0/50, 0 s, 10 min left, overall 10 min left",
        "cells: 10/50, 10 s, 1.0/s, 40 s left, overall 70 s left",
        "cells: 50/50, 50 s, 1.0/s, overall 30 s left",
        "zero-shot test: 2/4, 40 s, 3.0/min, 40 s left, overall 40 s left",
        "zero-shot test: 4/4, 80 s, 3.0/min",
    ]


def test_nothing_is_said_of_all_while_one_stage_is_a_riddle(clock: Clock, capsys: Capture) -> None:
    report = Reporter(clock)
    report.expect({"zero-shot test": 30})
    report("preparing", 0, 5)
    clock.now += 10
    report("preparing", 1, 5)
    assert lines(capsys) == ["preparing: 0/5, 0 s", "preparing: 1/5, 10 s, 6.0/min, 40 s left, overall 70 s left"]


def test_a_stage_that_was_finished_before_takes_no_time(clock: Clock, capsys: Capture) -> None:
    report = Reporter(clock)
    report.expect({"zero-shot test": 30})
    report("cells", 9, 9)
    assert lines(capsys) == ["cells: 9/9, 0 s, overall 30 s left"]


def test_a_stage_alone_is_all_there_is(clock: Clock, capsys: Capture) -> None:
    report = Reporter(clock)
    report.expect({"cells": 600})
    report("cells, sq-AL", 0, 50)
    assert lines(capsys) == ["cells: 0/50, 0 s, 10 min left"]


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0 s"),
        (41.6, "42 s"),
        (89.4, "89 s"),
        (90, "2 min"),
        (725, "12 min"),
        (89 * 60 + 29, "89 min"),
        (90 * 60, "1 h 30 min"),
        (3 * 3600 + 20 * 60, "3 h 20 min"),
        (2 * 3600 - 1, "2 h 00 min"),
        (49 * 3600 + 5 * 60, "49 h 05 min"),
    ],
)
def test_durations_are_said_as_people_say_them(seconds: float, said: str) -> None:
    assert duration(seconds) == said


# --- live bars ---------------------------------------------------------------------------------------------------------


def test_on_a_terminal_bars_are_drawn_that_fit_80_columns(terminal: io.StringIO, clock: Clock, capsys: Capture) -> None:
    with Reporter(clock) as report:
        report.expect({"cells": 20_000, "zero-shot test": 12_000})
        report("cells", 0, 156)
        for done in range(1, 157):
            clock.now += 100
            report(f"cells, {'sq-AL' if done > 20 else 'a name that is far too long'}", done, 156)
            if done in (10, 39, 156):
                report._progress.refresh()
        report("zero-shot test", 0, 52)
        clock.now += 30
        report("zero-shot test", 26, 52)
        report._progress.refresh()
        clock.now += 30
        report("zero-shot test", 52, 52)
    drawn = frames(terminal)
    assert max(map(cell_len, drawn)) <= 80
    assert not any("…" in line for line in drawn)
    bar = "[╺╸━]{12}"
    for expected in (
        rf"cells a name that is far {bar}  10/156 0\.6/min 4 h 03 min left",
        rf"overall +{bar}   4/100 +7 h 23 min left",
        rf"cells sq-AL +{bar}  39/156 0\.6/min 3 h 15 min left",
        rf"cells sq-AL +{bar} 156/156 0\.6/min done",
        rf"overall +{bar}  57/100 +3 h 20 min left",
        rf"zero-shot test +{bar} 26/52 +52\.0/min 30 s left",
        rf"zero-shot test +{bar} 52/52 +52\.0/min done",
        rf"overall +{bar} 100/100 +done",
    ):
        assert any(re.fullmatch(expected, line) for line in drawn), expected
    assert lines(capsys) == [], "all of it went to the terminal"


def test_a_single_stage_has_a_single_bar(terminal: io.StringIO, clock: Clock) -> None:
    with Reporter(clock) as report:
        report("zero-shot test", 0, 52)
        report("zero-shot test", 1, 52)
    assert all(line.startswith("zero-shot test") for line in frames(terminal))


# --- to whom -----------------------------------------------------------------------------------------------------------


def test_quiet_says_nothing_but_results(clock: Clock, capsys: Capture) -> None:
    set_mode(quiet=True)
    with Reporter(clock) as report:
        for done in range(3):
            report("cells", done, 2)
            clock.now += 100
    say("a note")
    detail("a detail")
    assert lines(capsys) == []
    result(dict, lambda: print("a result"))
    assert capsys.readouterr() == ("a result\n", "")


def test_quiet_draws_no_bars_either(terminal: io.StringIO, clock: Clock) -> None:
    set_mode(quiet=True)
    with Reporter(clock) as report:
        report("cells", 1, 2)
        report("cells", 2, 2)
    say("a note")
    assert terminal.getvalue() == ""


def test_details_are_for_those_who_ask(capsys: Capture) -> None:
    say("[a] note that is longer than any terminal is wide" + " and longer" * 10)
    detail("[a] detail")
    assert lines(capsys) == ["[a] note that is longer than any terminal is wide" + " and longer" * 10]
    set_mode(verbose=True)
    detail("[a] detail")
    assert lines(capsys) == ["[a] detail"]


def test_a_mode_does_not_outlast_the_next_one() -> None:
    set_mode(quiet=True, json=True)
    set_mode(verbose=True)
    assert (console.MODE.quiet, console.MODE.verbose, console.MODE.json) == (False, True, False)
    with pytest.raises(UserError, match="contradict"):
        set_mode(quiet=True, verbose=True)


def test_programs_get_one_json_document_and_nothing_else(clock: Clock, capsys: Capture) -> None:
    @dataclass
    class Answer:
        path: Path
        scores: tuple[float | None, ...]

    set_mode(json=True)
    with Reporter(clock) as report:
        say("a note")
        report("cells", 1, 1)
        result(
            lambda: {"answer": Answer(Path("a/b"), (0.1, None, float("nan"))), "of": "Gəncə"},
            lambda: print("for people"),
        )
    out, err = capsys.readouterr()
    assert json.loads(out, parse_constant=refuse) == {
        "answer": {"path": "a/b", "scores": [0.1, None, None]},
        "of": "Gəncə",
    }
    assert "Gəncə" in out, "as people write it"
    assert err.splitlines() == ["a note", "cells: 1/1, 0 s"]


def refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is no JSON")


def test_people_get_text_and_no_value_is_computed(capsys: Capture) -> None:
    result(lambda: pytest.fail("nobody asked for it"), lambda: print("for people"))
    assert capsys.readouterr().out == "for people\n"


# --- bytes -------------------------------------------------------------------------------------------------------------


def test_bytes_are_told_as_people_say_them(clock: Clock, capsys: Capture) -> None:
    with Reporter(clock) as report:
        for done in (0, 500_000_000, 2_000_000_000):
            report("downloading", done, 2_000_000_000)
            clock.now += 10
    assert lines(capsys) == [
        "downloading: 0.0 kB/2.0 GB, 0 s",
        "downloading: 500.0 MB/2.0 GB, 10 s, 50.0 MB/s, 30 s left",
        "downloading: 2.0 GB/2.0 GB, 20 s, 100.0 MB/s",
    ]


def test_bytes_on_a_bar(clock: Clock, terminal: io.StringIO) -> None:
    with Reporter(clock) as report:
        report("downloading", 0, 57_000_000_000)
        clock.now += 10
        report("downloading", 999_900_000, 57_000_000_000)
    (last,) = frames(terminal)[-1:]
    assert re.search(r"^downloading +━+ +999\.9 MB/57\.0 GB 100\.0 MB/s 9 min left$", last)
    assert all(cell_len(line) <= 80 for line in frames(terminal))
