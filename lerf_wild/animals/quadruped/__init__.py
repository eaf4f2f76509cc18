"""The bundled quadruped: own anatomy, skin and shape space in the SMAL schema."""
