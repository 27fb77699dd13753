"""Training and test data as files have it, read into arrays for :mod:`smoothnet_core.training`."""

from smpl_tools.sources.clean import read_clean
from smpl_tools.sources.clips import PairedClip, as_pair, at_rate
from smpl_tools.sources.paired import MODES, read_paired
from smpl_tools.sources.published import DATASETS, Dataset, read_published
from smpl_tools.sources.specs import Sources, read_sources

__all__ = [
    "DATASETS",
    "MODES",
    "Dataset",
    "PairedClip",
    "Sources",
    "as_pair",
    "at_rate",
    "read_clean",
    "read_paired",
    "read_published",
    "read_sources",
]
