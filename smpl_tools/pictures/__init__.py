"""Figures and video of motions: what a person looks at to judge a refinement."""
