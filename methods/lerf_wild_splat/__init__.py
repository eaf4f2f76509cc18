"""The method lerf-wild-splat: the language field of lerf-wild on gaussian splats."""
