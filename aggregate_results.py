"""Gather all results of a folder into tables, a summary and a report.

python aggregate_results.py
python aggregate_results.py --show-missing --format markdown
"""

try:
    from sprachbund.cli import script
except ModuleNotFoundError as error:
    if error.name != "sprachbund":
        raise
    raise SystemExit(
        "sprachbund is not installed here: run `make install`, then `source .venv/bin/activate`."
    ) from None

if __name__ == "__main__":  # processes that the job starts import this file
    script("aggregate")
