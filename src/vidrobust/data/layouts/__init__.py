"""How data sets lie on disk: one layout a file, and which layout a folder, list or set of shards has (``opening``).

Each layout gives a :class:`vidrobust.data.videos.VideoFolder`: named videos with labels and groups in three splits. No
video is opened here. What layouts share: ``files`` (videos and folders of frames on disk), ``text`` and ``tables``
(lists), ``splitting`` (by source), ``unused`` (what lies there and is not used). May import ``data.videos``,
``data.classes``, ``data.storage`` and ``data.freshness``, but no decoder.
"""
