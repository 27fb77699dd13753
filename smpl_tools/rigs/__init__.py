"""Rigs of BVH files and SMPL's 24 joints, from one to the other."""
