"""Merge sources into one model for a target language, under merged_models/.

python run_merging_pipeline.py --mode similarity --target-lang sq-AL --demo
python run_merging_pipeline.py --mode manual --target-lang sq-AL --sources it-IT ro-RO --weights 0.6 0.4 --demo
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
    script("merge")
