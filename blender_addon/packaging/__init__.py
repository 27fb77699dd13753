"""Builds and checks the archives of the extension; not part of them. Plain Python, without Blender."""
