"""Bones as arrays, without Blender: where they are, what part of a body they are, whether feet stand."""
