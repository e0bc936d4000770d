"""Results in files: the library's own format, inseq's JSON, and tables."""
