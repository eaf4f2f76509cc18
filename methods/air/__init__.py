"""AIR: recovers primitives from images by inverting a renderer."""
