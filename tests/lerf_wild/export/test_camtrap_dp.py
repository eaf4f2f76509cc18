"""The package keeps the rules of Camtrap DP 1.0.1, which are written down here once more."""

import csv
import json
import re
from datetime import datetime, timedelta, timezone

import pytest

from lerf_wild.errors import ExportError
from lerf_wild.export.camtrap_dp import (
    Deployment,
    Medium,
    Sighting,
    table_text,
    writable,
    write_camtrap_dp,
)

TEXT, TIME = (lambda text: True), (lambda text: bool(datetime.strptime(text, STAMP)))
STAMP = "%Y-%m-%dT%H:%M:%S%z"
NUMBER = re.compile(r"-?\d+(\.\d+)?(e-?\d+)?")


def number(low, high=float("inf"), is_whole=False):
    def holds(text):
        whole = re.fullmatch(r"-?\d+", text) if is_whole else NUMBER.fullmatch(text)
        return bool(whole) and low <= float(text) <= high

    return holds


def one_of(*words):
    return lambda text: text in words


PATH = re.compile(r"^(?=^[^./~])(^((?!\.{2}).)*$).*$")
RULES = {
    "deployments": {
        "deploymentID!": TEXT, "latitude!": number(-90, 90), "longitude!": number(-180, 180),
        "deploymentStart!": TIME, "deploymentEnd!": TIME, "cameraHeight": number(0),
        "cameraTilt": number(-90, 90, True), "deploymentComments": TEXT,
    },
    "media": {
        "mediaID!": TEXT, "deploymentID!": TEXT, "timestamp!": TIME,
        "filePath!": lambda text: bool(PATH.match(text)), "filePublic!": one_of("true", "false"),
        "fileName": TEXT, "fileMediatype!": lambda text: bool(re.match(r"^image/.*$", text)),
        "mediaComments": TEXT,
    },
    "observations": {
        "observationID!": TEXT, "deploymentID!": TEXT, "mediaID": TEXT, "eventStart!": TIME,
        "eventEnd!": TIME, "observationLevel!": one_of("media", "event"),
        "observationType!": one_of("animal", "human", "vehicle", "blank", "unknown"),
        "scientificName": TEXT, "count": number(1, is_whole=True),
        "individualPositionRadius": number(0), "individualPositionAngle": number(-90, 90),
        "bboxX": number(0, 1), "bboxY": number(0, 1), "bboxWidth": number(1e-15, 1),
        "bboxHeight": number(1e-15, 1), "classificationMethod": one_of("human", "machine"),
        "classifiedBy": TEXT, "classificationTimestamp": TIME,
        "classificationProbability": number(0, 1), "observationComments": TEXT,
    },
}  # fmt: skip
"""Column -> what the standard takes there; "!" marks what must not be empty."""
ORDER = {
    "deployments": """deploymentID locationID locationName latitude longitude coordinateUncertainty
        deploymentStart deploymentEnd setupBy cameraID cameraModel cameraDelay cameraHeight
        cameraDepth cameraTilt cameraHeading detectionDistance timestampIssues baitUse featureType
        habitat deploymentGroups deploymentTags deploymentComments""".split(),
    "media": """mediaID deploymentID captureMethod timestamp filePath filePublic fileName
        fileMediatype exifData favorite mediaComments""".split(),
    "observations": """observationID deploymentID mediaID eventID eventStart eventEnd
        observationLevel observationType cameraSetupType scientificName count lifeStage sex behavior
        individualID individualPositionRadius individualPositionAngle individualSpeed bboxX bboxY
        bboxWidth bboxHeight classificationMethod classifiedBy classificationTimestamp
        classificationProbability observationTags observationComments""".split(),
}
PLACE = Deployment("Ridge 3, north", 52.70442, 23.84995, camera_height_m=1.2)
NOON = datetime(2024, 5, 4, 12, 0, 0, tzinfo=timezone(timedelta(hours=2)))
FOX = Sighting("carnivore", 6.8123, -8.561, (0.2, 0.4, 0.5, 0.9), 0.912, 'looks like "red fox", 2')
BIRD = Sighting("bird", 3.0, 95.0, (-0.1, 0.5, 1.4, 1.2), None)
MEDIA = [
    Medium("a/IMG, 1.JPG", NOON, (FOX, BIRD), tilt_deg=-6.4),
    Medium("a/IMG_2.png", NOON + timedelta(days=1), (), tilt_deg=-5.2, comment="file's time"),
]


def checked(folder):
    """The rows of a package that keeps all rules."""
    rows = {}
    for name, rules in RULES.items():
        with open(folder / f"{name}.csv", newline="", encoding="utf-8") as file:
            rows[name] = list(csv.DictReader(file))
        for row in rows[name]:
            used = {key for key, value in row.items() if value}
            assert used <= {key.rstrip("!") for key in rules} <= set(row)
            for key, holds in rules.items():
                value = row[key.rstrip("!")]
                assert holds(value) if value else not key.endswith("!"), (name, key, value)
    for name, key in (("deployments", "deploymentID"), ("media", "mediaID")):
        known = [row[key] for row in rows[name]]
        assert len(set(known)) == len(known)
        for other in rows.values():
            assert {row[key] for row in other if key in row} <= set(known)
    identifiers = [row["observationID"] for row in rows["observations"]]
    assert len(set(identifiers)) == len(identifiers)
    return rows


def test_the_tables_keep_the_rules_of_the_standard(tmp_path):
    write_camtrap_dp(tmp_path, PLACE, MEDIA, "lerf-wild", NOON)
    rows = checked(tmp_path)
    fox, bird, blank = rows["observations"]
    assert (fox["individualPositionRadius"], fox["individualPositionAngle"]) == ("6.81", "-8.56")
    assert (fox["scientificName"], fox["count"]) == ("Carnivora", "1")
    assert [float(fox[f"bbox{k}"]) for k in ("X", "Y", "Width", "Height")] == [0.2, 0.4, 0.3, 0.5]
    assert fox["observationComments"] == FOX.comment
    assert bird["individualPositionAngle"] == "90.0" and bird["classificationProbability"] == ""
    assert float(bird["bboxX"]) == 0.0 and float(bird["bboxWidth"]) == 1.0
    assert blank["observationType"] == "blank" and blank["scientificName"] == ""
    assert rows["media"][0]["filePath"] == "a/IMG, 1.JPG"
    place = rows["deployments"][0]
    assert place["cameraTilt"] == "-6" and place["cameraHeight"] == "1.2"
    assert place["deploymentStart"] == "2024-05-04T12:00:00+02:00"
    assert {name: list(content[0]) for name, content in rows.items()} == ORDER


def test_the_package_has_what_the_profile_requires(tmp_path):
    write_camtrap_dp(tmp_path, PLACE, MEDIA, "lerf-wild", NOON)
    package = json.loads((tmp_path / "datapackage.json").read_text())
    required = "resources profile created contributors project spatial temporal taxonomic".split()
    assert set(required) <= set(package)
    assert [r["name"] for r in package["resources"]] == ["deployments", "media", "observations"]
    for resource in package["resources"]:
        assert resource["profile"] == "tabular-data-resource"
        assert resource["schema"].endswith(f"/1.0.1/{resource['name']}-table-schema.json")
        assert (tmp_path / resource["path"]).is_file()
    assert package["profile"].endswith("/1.0.1/camtrap-dp-profile.json")
    project = "title samplingDesign captureMethod individualAnimals observationLevel".split()
    assert set(project) <= set(package["project"])
    assert package["spatial"] == {"type": "Point", "coordinates": [23.84995, 52.70442]}
    assert package["temporal"] == {"start": "2024-05-04", "end": "2024-05-05"}
    assert {taxon["scientificName"] for taxon in package["taxonomic"]} == {"Carnivora", "Aves"}
    assert re.fullmatch(r"[-a-z0-9._/]+", package["name"])
    assert datetime.strptime(package["created"], STAMP) == NOON


def test_paths_that_the_standard_refuses_are_named(tmp_path):
    strange = [
        Medium(name, NOON) for name in ("../x.jpg", "/x.jpg", "~x.jpg", ".x.jpg", "a..b.jpg")
    ]
    good, refused = writable([*MEDIA, *strange])
    assert good == MEDIA and len(refused) == 5
    for media in ([strange[0]], [], [MEDIA[0], MEDIA[0]]):
        with pytest.raises(ExportError, match="photos of different paths"):
            write_camtrap_dp(tmp_path / "out", PLACE, media, "lerf-wild")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "values", [("", 1, 1), ("a", 91, 0), ("a", 0, -181), ("a", float("nan"), 0)]
)
def test_a_deployment_has_a_place(values):
    with pytest.raises(ExportError, match="deployment"):
        Deployment(*values)


def test_what_a_row_lacks_stays_empty():
    assert table_text(("a", "b"), [{"a": 'x,"y"'}, {"b": 2}]) == 'a,b\n"x,""y""",\n,2\n'
