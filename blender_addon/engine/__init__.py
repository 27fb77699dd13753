"""What computes: SciPy, torch, or another Python as a process of its own."""
