"""Many jobs as one run: the study of the slides as jobs, the engines that run them, configurations and progress.

Imports training and the rooms below it.
"""
