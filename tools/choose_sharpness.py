"""Choose the default sharpness of the ``similarity`` weighting: on the dev split of the embedded data, never on test.

    python tools/choose_sharpness.py docs/experiments/sharpness.csv

Merges the five most similar sources for each of the 52 locales at each sharpness and writes the mean dev accuracy. About five
minutes on two cores, once the embedded models are there. What came out: docs/experiments/sharpness.md.
"""

import csv
import sys
import tempfile
from pathlib import Path

from sprachbund import inference, locales, weighting
from sprachbund.cli.console import Reporter
from sprachbund.config import ExperimentConfig
from sprachbund.inputs import open_inputs
from sprachbund.preparing import prepare

CANDIDATES = (0.0, 2.0, 5.0, 10.0, 15.0, 20.0, 30.0, 50.0, 100.0)


def main(out: Path) -> None:
    """Write one row per sharpness: mean dev accuracy, mean effective number of sources."""
    inference.quieten()
    rows = [mean_accuracy(sharpness) for sharpness in CANDIDATES]
    with out.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["sharpness", "mean_dev_accuracy", "mean_effective_sources", "locales"])
        writer.writerows(rows)


def mean_accuracy(sharpness: float) -> tuple[str, str, str, int]:
    """Evaluate the similarity merge of every locale on dev."""
    with tempfile.TemporaryDirectory() as folder, Reporter() as report:
        config = ExperimentConfig(
            demo=True,
            variants=("similarity",),
            split="dev",
            sharpness=sharpness,
            skip_zero_shot=True,
            keep_models="none",
            output_dir=Path(folder),
        )
        experiment = prepare(config, open_inputs(config, locales.names(), report), locales.names())
        outcome = experiment.run(report)
    accuracies = [record.performance.accuracy for record in outcome.records.values()]
    effective = [weighting.effective_number(choice.mix.weights) for choice in experiment.choices.values()]
    return (
        f"{sharpness:g}",
        f"{sum(accuracies) / len(accuracies):.4f}",
        f"{sum(effective) / len(effective):.2f}",
        len(accuracies),
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
