"""What runs the networks: torch-free on SciPy, and torch."""
