"""Data sets in MASSIVE's schema, one module each."""

from sprachbund.data.registry import DATA_SETS, load
from sprachbund.data.schema import PARTITIONS, DataSet, Partition, Row

__all__ = ["DATA_SETS", "PARTITIONS", "DataSet", "Partition", "Row", "load"]
