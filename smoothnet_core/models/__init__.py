"""The networks, one a file, in torch."""
