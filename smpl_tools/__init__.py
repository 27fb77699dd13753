"""Motions as people have them: formats, rotations, skeletons, refinement of whole motions, the command line."""
