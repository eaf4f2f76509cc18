"""Meshes of animals, plants and rocks."""
