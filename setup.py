"""Lists the packages; everything else is in pyproject.toml.

The list is computed so that a new sub-package can't be forgotten: `lerf_wild/` installs as itself,
and the top-level folders `methods/`, `dataparsers/` and `viewer_panels/` install as
`lerf_wild.methods` and so on.
"""

from setuptools import find_packages, setup

MAPPED_FOLDERS = ("methods", "dataparsers", "viewer_panels")

packages = find_packages(include=["lerf_wild", "lerf_wild.*"])
for folder in MAPPED_FOLDERS:
    inner = find_packages(where=folder)
    packages += [f"lerf_wild.{folder}", *(f"lerf_wild.{folder}.{name}" for name in inner)]

setup(
    packages=packages,
    package_dir={f"lerf_wild.{folder}": folder for folder in MAPPED_FOLDERS},
)
