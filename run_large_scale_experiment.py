"""Evaluate baseline, similarity merge and average merge for every locale; an interrupted run goes on.

python run_large_scale_experiment.py --demo
python run_large_scale_experiment.py --locales sq-AL cy-GB --models "my-models/xlmr-{locale}" --data massive:PATH
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
    script("experiment")
