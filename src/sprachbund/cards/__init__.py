"""What stands beside a merged model: details for programs, details for people, a model card.

:mod:`details` is what a program reads back, :mod:`text` the same for people. The model card (:mod:`model_card`) is made of the
details and of the records of this very model: written once with the model, and once more when it has been measured. Licence and
data come from what the sources' own cards say (:mod:`origins`), the reasons from the recipe (:mod:`why`), the command that
makes the model again from recipe and mode (:mod:`reproducing`). A card that its owner has changed is known as that
(:mod:`marking`). Nothing of it names a place on this machine (:mod:`public`), and nothing that is sent to the hub does
(:mod:`publishing`).
"""

from sprachbund.cards.details import (
    BLEND,
    CARD,
    DETAILS,
    DETAILS_TEXT,
    BlendDetails,
    BlendedModel,
    MergeDetails,
    MergedSource,
    details_of,
    model_digest,
    read_blend,
    read_details,
)
from sprachbund.cards.marking import is_changed
from sprachbund.cards.model_card import lacks_results, records_of, write_card
from sprachbund.cards.origins import JOINED, Origin, labels_met, origin_of, trained_on
from sprachbund.cards.publishing import published_files
from sprachbund.cards.writing import write_blend, write_details, write_made

__all__ = [
    "BLEND",
    "CARD",
    "DETAILS",
    "DETAILS_TEXT",
    "JOINED",
    "BlendDetails",
    "BlendedModel",
    "MergeDetails",
    "MergedSource",
    "Origin",
    "details_of",
    "is_changed",
    "labels_met",
    "lacks_results",
    "model_digest",
    "origin_of",
    "published_files",
    "read_blend",
    "read_details",
    "records_of",
    "trained_on",
    "write_blend",
    "write_card",
    "write_details",
    "write_made",
]
