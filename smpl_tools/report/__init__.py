"""The report: one HTML file in which a motion is seen before, after and in truth, and the same from a server."""
