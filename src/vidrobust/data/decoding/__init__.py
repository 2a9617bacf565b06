"""From video files and folders of frames to arrays, and back to files: the only place where video is decoded.

``stored`` says where the bytes of a video lie, ``streams`` gives its frames in order and counts those that are lost,
``frames`` and ``geometry`` make arrays of them. ``decode`` gives all frames of a video or the window around its middle,
``random_access`` any of them, ``stills`` the same of folders of images, ``torchcodec_decode`` by another library.
``encode`` writes files. May import ``data.videos``; everything else in ``data`` may import it.
"""
