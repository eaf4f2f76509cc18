"""Data generators: habitats, crops, primitives, animals, programs."""
