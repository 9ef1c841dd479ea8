"""Recordings: from the raw tracks that a switch writes to one file that people review.

The core decides what is recorded and keeps a journal of each recording (`journal`). When it is over, a process of its
own reads journal and raw tracks and makes the file.
"""
