"""Motion files: one format a module, one table."""

from smpl_tools.formats.table import FORMATS, detect, read, write

__all__ = ["FORMATS", "detect", "read", "write"]
