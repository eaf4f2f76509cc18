"""Poses of quadrupeds: joint limits, gaits, postures, and a library to draw from."""
