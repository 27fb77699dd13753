"""The studies of the paper's supplementary document, and those that go on from it, on data that can be had."""
