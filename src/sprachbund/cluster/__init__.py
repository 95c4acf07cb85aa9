"""Files that start a run on a cluster: for Slurm, one that sbatch takes. How the run uses its cluster is not known here."""

from sprachbund.cluster.slurm import sbatch_file

__all__ = ["sbatch_file"]
