"""The run on disk: folder, lock, record, manifest, and what continues or joins it."""
