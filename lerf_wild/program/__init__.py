"""Scene programs: one photo as a short text of settings and objects that can be edited."""
