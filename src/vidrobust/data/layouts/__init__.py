"""How data sets lie on disk, one layout a file, and which layout a folder, list or set of shards has."""
