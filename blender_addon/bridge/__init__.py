"""Between Blender's data and arrays: keys, actions, slots, NLA strips, bones."""
