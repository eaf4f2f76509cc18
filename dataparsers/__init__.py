"""Dataset formats that nerfstudio lacks, one file each; installed as `lerf_wild.dataparsers`."""

if __name__ == "dataparsers":
    # From the root of a checkout this folder is importable under its bare name too, which would
    # give a second copy of every class and break isinstance checks.
    raise ImportError(
        "import lerf_wild.dataparsers instead of dataparsers (run `pip install -e .` once)"
    )
