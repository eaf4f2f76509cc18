"""Animals: body models of the SMAL schema, their poses, shapes, files and measures."""
