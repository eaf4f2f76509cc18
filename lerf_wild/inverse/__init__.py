"""From pictures back to scenes: networks and their matching."""
