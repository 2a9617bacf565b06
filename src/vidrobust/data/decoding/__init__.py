"""From video files and folders of frames to arrays, and back to files: the only place where video is decoded."""
