"""Whatever is in a file, its parser gives a value or one sentence that names the file; never anything else.

More examples for a long run: ``HYPOTHESIS_EXAMPLES=5000 pytest tests/hostile``. ``make fuzz`` does the same with atheris.
"""

from __future__ import annotations

import os
import tempfile
import warnings
from pathlib import Path

import pytest
from hostile.parsers import PARSERS
from hostile.spoiled import spoiled
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

EXAMPLES = int(os.environ.get("HYPOTHESIS_EXAMPLES", "40"))
SLOW = int(os.environ.get("HYPOTHESIS_EXAMPLES", "10"))
every_parser = pytest.mark.parametrize("name", PARSERS)


@every_parser
def test_a_good_file_is_read(name: str, tmp_path: Path) -> None:
    assert PARSERS[name].feed(tmp_path, PARSERS[name].seed) is None


@every_parser
def test_a_spoiled_file_is_a_value_or_one_sentence(name: str) -> None:
    parser = PARSERS[name]

    @settings(
        max_examples=SLOW if parser.slow else EXAMPLES,
        deadline=None if parser.slow else 5000,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.data())
    def check(data: st.DataObject) -> None:
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            parser.feed(Path(folder), data.draw(spoiled(parser.seed)))

    check()
