"""The configuration: read, merged, validated, and turned into jobs."""
