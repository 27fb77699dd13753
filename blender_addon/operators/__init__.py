"""What the animator can do: one operator, or a few that belong together, in a file."""
