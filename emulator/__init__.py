"""An Appwrite-compatible server on one SQLite file: what stands in for Appwrite on a laptop and in tests."""
