"""The review of a change: what changed, is it real, do the results belong to the code."""
