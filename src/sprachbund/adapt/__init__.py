"""From sources and raw text of the target to one checkpoint, without a label of the target, or with a few where that is wanted.

What an adaptation may look at comes in as arguments, and there is nothing else: sources that never met the target
(:mod:`unseen`), its texts as strings, and what the sources answer to them (:mod:`material`). From that follows how much each
source counts and what a student is taught (:mod:`teaching`). :func:`adapt` makes the checkpoint, kind by kind (:mod:`merges`,
:mod:`students`, :mod:`auto`, with labels :mod:`few`), and says how; :func:`candidate` names it by what goes in, so that a
finished one is recognised without being made.
"""

from sprachbund.adapt.making import Answers, adapt, ensemble
from sprachbund.adapt.material import ADAPT_VERSION, Material, candidate
from sprachbund.adapt.teaching import teacher, weights_of
from sprachbund.adapt.unseen import check_unseen

__all__ = [
    "ADAPT_VERSION",
    "Answers",
    "Material",
    "adapt",
    "candidate",
    "check_unseen",
    "ensemble",
    "teacher",
    "weights_of",
]
