"""The pages of results: what a run found, for a person to read, from disk and without a network.

``index.html`` in the folder of a preset's results says what was run on what and how each paper's
claims fared. Behind it, in ``pages``: a page for each paper, with each figure and table beside what
the paper says of it; every number that was measured, with the jobs behind it; what attacks did to
images; and the jobs, with settings, artifacts and logs. They are made from what lies in that folder
alone: what is not there yet is said to be missing.
"""
