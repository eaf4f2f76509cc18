"""What `raw reconstruct` needs to write a Camtrap DP package, and the package from its results."""

from dataclasses import dataclass
from datetime import timezone
from pathlib import Path
from typing import Any

from rich.console import Console

from lerf_wild import __version__
from lerf_wild.cli.progress import say
from lerf_wild.errors import InputError


@dataclass(frozen=True)
class Survey:
    """Where and when the photos of a Camtrap DP package were taken."""

    deployment_id: str | None = None
    """Name of the camera's deployment; needed for --camtrap-dp."""
    latitude: float | None = None
    """Degrees north (WGS84); needed for --camtrap-dp."""
    longitude: float | None = None
    """Degrees east (WGS84); needed for --camtrap-dp."""
    utc_offset: str = "+00:00"
    """Zone of the camera's clock where photos don't say, such as +02:00."""

    def zone(self) -> timezone:
        """The zone of the camera's clock; raises InputError when it is none."""
        from lerf_wild.storage.photo_times import zone_of

        return zone_of(self.utc_offset)

    def deployment(self, camera_height_m: float | None) -> Any:
        """The deployment.

        Raises:
            InputError: when something is missing or wrong.
        """
        from lerf_wild.export.camtrap_dp import Deployment

        self.zone()
        if self.deployment_id is None or self.latitude is None or self.longitude is None:
            raise InputError("--camtrap-dp needs --deployment-id, --latitude and --longitude.")
        return Deployment(self.deployment_id, self.latitude, self.longitude, camera_height_m)


NOWHERE = Survey()


def write_observations(
    console: Console, folder: Path, deployment: Any, zone: timezone, outcomes: list[Any]
) -> None:
    """Writes the package of all photos that were read; those with people or vehicles and no animal
    are left out, as saying anything of them is not the reader's business."""
    from lerf_wild.export.camtrap_dp import writable, write_camtrap_dp

    media = [_medium(o, zone) for o in outcomes if o.state != "failed" and not _shows_others(o)]
    good, refused = writable(media)
    for name in refused[:20]:
        say(console, f"Left out of the package: {name}: Camtrap DP takes no such path.")
    if not good:
        say(console, f"{folder}: no package, as there is no photo to tell of.")
        return
    write_camtrap_dp(folder, deployment, good, f"lerf-wild raw {__version__}")
    animals = sum(len(item.animals) for item in good)
    guessed = sum(bool(item.comment) for item in good)
    note = f"; {guessed} have the time of their file, as they hold none" if guessed else ""
    say(console, f"{folder}: {animals} observations of animals in {len(good)} photos{note}.")


def _shows_others(outcome: Any) -> bool:
    return outcome.state == "no animal" and bool(outcome.scene.get("people_or_vehicles"))


def _medium(outcome: Any, zone: timezone) -> Any:
    from lerf_wild.export.camtrap_dp import TAXA, Medium
    from lerf_wild.storage.photo_times import time_taken

    scene = outcome.scene
    taken, is_own = time_taken(outcome.place.path, zone)
    animals = tuple(
        _sighting(item, str(scene["scale"]["from"]))
        for item in scene.get("objects", ())
        if item["kind"] in TAXA
    )
    tilt = scene["camera_pitch_deg"] - 90.0 if "camera_pitch_deg" in scene else None
    comment = "" if is_own else "timestamp is that of the file"
    return Medium(outcome.place.name, taken, animals, tilt, comment)


def _sighting(item: dict[str, Any], scale: str) -> Any:
    from lerf_wild.export.camtrap_dp import Sighting

    comment = f"most like {item['species'] or item['asset']}; scale: {scale}"
    return Sighting(
        item["kind"],
        item["distance_m"],
        item["angle_deg"],
        item["box"],
        item["confidence"],
        comment,
    )
