"""Feet on the ground: when they stand, where the ground is, and keeping them there."""
