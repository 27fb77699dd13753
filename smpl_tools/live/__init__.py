"""Streams of frames from other programs, refined on their way to the next one."""
