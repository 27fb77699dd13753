"""Files of motions as armatures, and back."""
