"""RAW: reads a photo as a scene program."""
