"""A take as arrays, without Blender: what belongs together, how it is refined, blended and thinned."""
