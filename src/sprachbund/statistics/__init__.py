"""What merge methods need of a source besides its tensors, found out on texts and kept: one file a source.

A statistic is a safetensors file with the names of the checkpoint's tensors. It hangs on the checkpoint, on the texts (and
labels) and on settings, and is kept under the digest of these: who asks again finds it, without a model being loaded.

The texts of a source are its own: of the locale it was trained on, labelled or not, and never of the target.
"""

from sprachbund.statistics.fisher import fisher_file
from sprachbund.statistics.gram import gram_file
from sprachbund.statistics.regmean_pp import layerwise_gram_files
from sprachbund.statistics.sources import KINDS, Kind, for_sources

__all__ = ["KINDS", "Kind", "fisher_file", "for_sources", "gram_file", "layerwise_gram_files"]
