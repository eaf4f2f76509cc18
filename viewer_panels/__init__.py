"""Viewer panels, one file each; installed as `lerf_wild.viewer_panels`."""

if __name__ == "viewer_panels":
    # From the root of a checkout this folder is importable under its bare name too, which would
    # give a second copy of every class and break isinstance checks.
    raise ImportError(
        "import lerf_wild.viewer_panels instead of viewer_panels (run `pip install -e .` once)"
    )
