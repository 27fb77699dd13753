"""Bodies: models from files, a licence-free one, meshes of motions and motions from meshes."""
