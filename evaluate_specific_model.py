"""Evaluate one model on one locale, into results/{prefix}_{locale}/results.json.

python evaluate_specific_model.py --base-model merged_models/similarity_merge_sq-AL --locale sq-AL --prefix similarity --demo
python evaluate_specific_model.py --base-model haryoaw/xlm-roberta-base_massive_k_sq-AL --list-models --demo
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
    script("evaluate")
