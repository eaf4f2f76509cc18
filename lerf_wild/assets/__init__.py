"""Meshes that populate a habitat: grown animals, plants and rocks, and the Infinigen pack."""
