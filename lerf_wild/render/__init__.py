"""Renderers: ray-cast meshes, primitives, light and sky, compositing."""
