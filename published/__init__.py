"""The study of the published tutorials: their results beside ours. Delete the folder to drop it."""
