"""Assets and animals in a captured place: what stands where, and how it got there."""
