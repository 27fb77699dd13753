"""A tree of motion files refined into another, file by file, so that a run can end anywhere and be gone on with."""
