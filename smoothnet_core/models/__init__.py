"""The networks, one a file, in torch; their sizes without it."""
