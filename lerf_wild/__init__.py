"""Language fields for wild places: the core that every method of the suite shares."""

__version__ = "0.1.0"
