"""Models of other libraries and files, one library a file, behind the same face as our own."""
