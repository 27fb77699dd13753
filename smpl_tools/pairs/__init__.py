"""Pairs of exact truth and an estimator's output: rendered people moved by any motion file; see ``docs/pairs.md``."""
