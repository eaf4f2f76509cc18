"""nerfstudio methods, one folder each, and what some share; installed as `lerf_wild.methods`."""

if __name__ == "methods":
    # From the root of a checkout this folder is importable under its bare name too, which would
    # give a second copy of every class and break isinstance checks.
    raise ImportError("import lerf_wild.methods instead of methods (run `pip install -e .` once)")
