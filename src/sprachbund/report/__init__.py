"""Tables, statistics and pictures, computed from the run store alone.

    results = load(Path("results"))              one setup of results, or an error that says how to choose
    summary = summarise(results)                 rows, columns, statistics: plain values
    analysis = analysis_of(Path("results"), results)        intervals and tests, from the predictions
    print_results(Console(), summary, analysis)  on a terminal of 80 columns
    write_aggregate(results, summary, Path("."), when=datetime.now(), analysis=analysis)
    dumbbell(summary, Path("results.svg"))
    heat_map(similarity.load("uriel:geo"), Path("geo.svg"))
    answers, analysis = read_and_analyse(Path("results"), results)        with every prediction
    write_html(Path("report.html"), results, summary, answers, analysis, when=datetime.now(), command="…")

Looking at results loads no torch and no transformers, and matplotlib and jinja2 only when they draw or write.
"""

from __future__ import annotations

from sprachbund.report.aggregate import FORMATS, csv_text, summary_json, write_aggregate
from sprachbund.report.analysis import Analysis, analysis_of, read_and_analyse
from sprachbund.report.answers import read_answers
from sprachbund.report.compare import Compared, compare, compare_json, compare_rows, pairs_of
from sprachbund.report.compare_terminal import print_compared
from sprachbund.report.drawing import check_format
from sprachbund.report.heatmap import heat_map
from sprachbund.report.html import Texts, write_html
from sprachbund.report.live import frame
from sprachbund.report.plots import dumbbell
from sprachbund.report.progress import Reader, RunState
from sprachbund.report.summary import Correlation, Summary, headline, summarise, transfer_similarity_correlation
from sprachbund.report.table import EXPECTED_VARIANTS, Results, Setup, load, setups
from sprachbund.report.terminal import print_missing, print_results

__all__ = [
    "EXPECTED_VARIANTS",
    "FORMATS",
    "Analysis",
    "Compared",
    "Correlation",
    "Reader",
    "Results",
    "RunState",
    "Setup",
    "Summary",
    "Texts",
    "analysis_of",
    "check_format",
    "compare",
    "compare_json",
    "compare_rows",
    "csv_text",
    "dumbbell",
    "frame",
    "headline",
    "heat_map",
    "load",
    "pairs_of",
    "print_compared",
    "print_missing",
    "print_results",
    "read_and_analyse",
    "read_answers",
    "setups",
    "summarise",
    "summary_json",
    "transfer_similarity_correlation",
    "write_aggregate",
    "write_html",
]
