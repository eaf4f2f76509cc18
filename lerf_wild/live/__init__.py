"""What a live panel knows and says, below any viewer: state, colours, verdicts, saved sets."""
