"""Files on disk: atomic writes, the feature cache, and one checked door per file format."""
