"""Animals in photos as a Camtrap DP 1.0.1 package: one deployment, its media, and observations.

The standard: https://camtrap-dp.tdwg.org. Observations are of media, one row an animal, with its
distance from the camera (metres) and the angle from the middle of its view (degrees,
negative to the left); a photo without animals has one row that says so.
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from statistics import median
from types import MappingProxyType

from lerf_wild.errors import ExportError
from lerf_wild.storage.atomic import write_json, write_text, writing

VERSION = "1.0.1"
SCHEMAS = f"https://raw.githubusercontent.com/tdwg/camtrap-dp/{VERSION}"
TAXA: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "bird": ("Aves", "class"),
        "carnivore": ("Carnivora", "order"),
        "herbivore": ("Mammalia", "class"),
    }
)
"""Scientific name and rank of what a kind says; what an animal looks like says no species."""
MEDIA_TYPES: Mapping[str, str] = MappingProxyType(
    {
        ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".png": "image/png", ".webp": "image/webp",
        ".bmp": "image/bmp", ".tif": "image/tiff", ".tiff": "image/tiff",
    }
)  # fmt: skip
DEPLOYMENT_COLUMNS = (
    "deploymentID locationID locationName latitude longitude coordinateUncertainty deploymentStart "
    "deploymentEnd setupBy cameraID cameraModel cameraDelay cameraHeight cameraDepth cameraTilt "
    "cameraHeading detectionDistance timestampIssues baitUse featureType habitat deploymentGroups "
    "deploymentTags deploymentComments"
).split()
MEDIA_COLUMNS = (
    "mediaID deploymentID captureMethod timestamp filePath filePublic fileName fileMediatype "
    "exifData favorite mediaComments"
).split()
OBSERVATION_COLUMNS = (
    "observationID deploymentID mediaID eventID eventStart eventEnd observationLevel "
    "observationType cameraSetupType scientificName count lifeStage sex behavior individualID "
    "individualPositionRadius individualPositionAngle individualSpeed bboxX bboxY bboxWidth "
    "bboxHeight classificationMethod classifiedBy classificationTimestamp "
    "classificationProbability observationTags observationComments"
).split()
"""All columns of the standard in their order; validators want those that stay empty too."""
_PATH = re.compile(r"(?!.*\.\.)[^./~].*")
"""What the standard takes for a path below the package."""
Row = Mapping[str, object]


@dataclass(frozen=True)
class Deployment:
    """Where the camera stood."""

    identifier: str
    latitude: float
    longitude: float
    camera_height_m: float | None = None

    def __post_init__(self) -> None:
        is_sound = -90 <= self.latitude <= 90 and -180 <= self.longitude <= 180
        if not is_sound or not self.identifier.strip() or not self.identifier.isprintable():
            raise ExportError(
                f"A deployment needs a name, a latitude of -90 to 90 and a longitude of -180 to "
                f"180, not {self.identifier[:40]!r}, {self.latitude:g}, {self.longitude:g}."
            )


@dataclass(frozen=True)
class Sighting:
    """One animal in a photo."""

    kind: str
    """"bird", "carnivore" or "herbivore"."""
    radius_m: float
    angle_deg: float
    box_4: Sequence[float]
    """Left, top, right, bottom as shares of the photo."""
    confidence: float | None
    comment: str = ""


@dataclass(frozen=True)
class Medium:
    """One photo."""

    name: str
    """Path below the folder that was read, with forward slashes."""
    time: datetime
    """With its zone."""
    animals: tuple[Sighting, ...] = ()
    tilt_deg: float | None = None
    """Camera's angle from level; negative is down."""
    comment: str = ""


def writable(media: Iterable[Medium]) -> tuple[list[Medium], list[str]]:
    """The photos whose paths the standard takes, and the names of the others."""
    media = list(media)
    good = [item for item in media if _PATH.fullmatch(item.name)]
    return good, [item.name for item in media if not _PATH.fullmatch(item.name)]


def write_camtrap_dp(
    folder: Path,
    deployment: Deployment,
    media: Sequence[Medium],
    classified_by: str,
    created: datetime | None = None,
) -> None:
    """Write `deployments.csv`, `media.csv`, `observations.csv` and, last, `datapackage.json`.

    Args:
        folder: Where to; made if need be.
        deployment: Where the camera stood.
        media: At least one photo, all of paths that `writable` lets through.
        classified_by: What has looked at them.
        created: The package's time; now when None.

    Raises:
        ExportError: for no photos, a path that the standard refuses, two photos of one name, or a
            file that can't be written.
    """
    refused = writable(media)[1]
    if not media or refused or len({item.name for item in media}) != len(media):
        raise ExportError(
            f"A Camtrap DP package needs photos of different paths, none of which holds '..'"
            f"{'; not ' + repr(refused[0][:60]) if refused else ''}."
        )
    created = (created or datetime.now(timezone.utc)).replace(microsecond=0)
    rows = [
        row for item in media for row in _observations(item, deployment, classified_by, created)
    ]
    tables = {
        "deployments": (DEPLOYMENT_COLUMNS, [_deployment(deployment, media)]),
        "media": (MEDIA_COLUMNS, [_medium(item, deployment) for item in media]),
        "observations": (OBSERVATION_COLUMNS, rows),
    }
    with writing(folder):
        for name, (columns, content) in tables.items():
            write_text(folder / f"{name}.csv", table_text(columns, content))
        write_json(folder / "datapackage.json", _package(deployment, media, created))


def table_text(columns: Sequence[str], rows: Iterable[Row]) -> str:
    """Comma-separated text of rows; what a row lacks stays empty."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, columns, lineterminator="\n", restval="")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()


def _deployment(deployment: Deployment, media: Sequence[Medium]) -> Row:
    tilts = [item.tilt_deg for item in media if item.tilt_deg is not None]
    row: dict[str, object] = {
        "deploymentID": deployment.identifier,
        "latitude": deployment.latitude,
        "longitude": deployment.longitude,
        "deploymentStart": _stamp(min(item.time for item in media)),
        "deploymentEnd": _stamp(max(item.time for item in media)),
        "deploymentComments": "start and end are those of the first and the last photo",
    }
    if deployment.camera_height_m is not None:
        row["cameraHeight"] = deployment.camera_height_m
    if tilts:
        row["cameraTilt"] = min(max(round(median(tilts)), -90), 90)
    return row


def _medium(item: Medium, deployment: Deployment) -> Row:
    path = Path(item.name)
    return {
        "mediaID": _identifier(item.name),
        "deploymentID": deployment.identifier,
        "timestamp": _stamp(item.time),
        "filePath": item.name,
        "filePublic": "false",
        "fileName": path.name,
        "fileMediatype": MEDIA_TYPES[path.suffix.lower()],
        "mediaComments": item.comment,
    }


def _observations(
    item: Medium, deployment: Deployment, classified_by: str, created: datetime
) -> list[Row]:
    shared = {
        "deploymentID": deployment.identifier,
        "mediaID": _identifier(item.name),
        "eventStart": _stamp(item.time),
        "eventEnd": _stamp(item.time),
        "observationLevel": "media",
        "observationType": "animal" if item.animals else "blank",
        "classificationMethod": "machine",
        "classifiedBy": classified_by,
        "classificationTimestamp": _stamp(created),
    }
    rows = [_sighting(animal) for animal in item.animals] or [{}]
    return [
        {"observationID": f"{_identifier(item.name)}-{number}", **shared, **row}
        for number, row in enumerate(rows, 1)
    ]


def _sighting(animal: Sighting) -> Row:
    x0, y0, x1, y1 = (min(max(float(share), 0.0), 1.0) for share in animal.box_4)
    row: dict[str, object] = {
        "scientificName": TAXA[animal.kind][0],
        "count": 1,
        "individualPositionRadius": round(animal.radius_m, 2),
        "individualPositionAngle": round(min(max(animal.angle_deg, -90.0), 90.0), 2),
        "observationComments": animal.comment,
    }
    if x1 - x0 > 1e-4 and y1 - y0 > 1e-4:
        sizes = (x0, y0, min(x1 - x0, 1.0 - x0), min(y1 - y0, 1.0 - y0))
        names = ("bboxX", "bboxY", "bboxWidth", "bboxHeight")
        row |= {name: round(size, 4) for name, size in zip(names, sizes)}
    if animal.confidence is not None:
        row["classificationProbability"] = round(animal.confidence, 3)
    return row


def _package(
    deployment: Deployment, media: Sequence[Medium], created: datetime
) -> dict[str, object]:
    kinds = dict.fromkeys(animal.kind for item in media for animal in item.animals)
    place = [deployment.longitude, deployment.latitude]
    return {
        "resources": [_resource(name) for name in ("deployments", "media", "observations")],
        "profile": f"{SCHEMAS}/camtrap-dp-profile.json",
        "name": _slug(deployment.identifier),
        "created": _stamp(created),
        "contributors": [{"title": "lerf-wild", "role": "contributor"}],
        "project": {
            "title": f"Photos of {deployment.identifier}",
            "samplingDesign": "opportunistic",
            "captureMethod": ["activityDetection"],
            "individualAnimals": False,
            "observationLevel": ["media"],
        },
        "spatial": {"type": "Point", "coordinates": place},
        "temporal": {
            "start": min(item.time for item in media).date().isoformat(),
            "end": max(item.time for item in media).date().isoformat(),
        },
        "taxonomic": [
            {
                "scientificName": TAXA[kind][0],
                "taxonRank": TAXA[kind][1],
                "vernacularNames": {"eng": kind},
            }
            for kind in kinds
        ],
    }


def _resource(name: str) -> dict[str, object]:
    return {
        "name": name,
        "path": f"{name}.csv",
        "profile": "tabular-data-resource",
        "format": "csv",
        "mediatype": "text/csv",
        "encoding": "utf-8",
        "schema": f"{SCHEMAS}/{name}-table-schema.json",
    }


def _stamp(time: datetime) -> str:
    """ISO 8601 to the second with its zone, as %Y-%m-%dT%H:%M:%S%z reads it."""
    return time.replace(microsecond=0).isoformat().replace("+00:00", "Z")


def _identifier(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:16]


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9._-]+", "-", text.casefold()).strip("-._") or "photos"
