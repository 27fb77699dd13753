"""Networks that only the studies train, in torch, one a file: sequences of vectors in, sequences of vectors out."""
