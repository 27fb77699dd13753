"""Motion files: one format a module, one table."""

from smpl_tools.formats.table import FORMATS, detect, read, rewriting, write

__all__ = ["FORMATS", "detect", "read", "rewriting", "write"]
