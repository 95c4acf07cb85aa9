"""Recipes of mergekit (github.com/arcee-ai/mergekit, 0.1.5): what one YAML file means there, as a blend of ours.

A recipe keeps mergekit's defaults, which are not all ours: ties and della divide by the weights of those that agree and linear
by the sum of the weights (``normalize``), densities are 1. A key that would not be honoured is refused by its name, so that
what is made is what the recipe says. Four things are different on purpose:

- ``rescale`` divides by the fraction that is kept, as the papers of DARE and DELLA do; mergekit restores the L1 norm of each
  tensor. With ``rescale: false`` they are the same.
- ``dtype`` is what is written. mergekit rounds the sources to it before it merges; here sums are of float32 numbers.
- What is dropped at random is drawn by numpy from ``--seed``, not by torch.
- Config and tokenizer are the first source's, not the base's, which may have another head; ``tokenizer_source`` is honoured.

:mod:`tables` says what is called how there and here, :mod:`reading` makes a blend of a recipe, :mod:`writing` a recipe of a
blend that mergekit runs to the same tensors.
"""

from sprachbund.mergekit.reading import read_recipe
from sprachbund.mergekit.tables import FOREIGN, Foreign
from sprachbund.mergekit.writing import blend_of, write_recipe

__all__ = ["FOREIGN", "Foreign", "blend_of", "read_recipe", "write_recipe"]
