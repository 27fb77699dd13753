"""Training on arrays: pairs of an estimate and its truth in, weights out."""
