"""How often Snakemake looks for jobs that it can start."""

from __future__ import annotations

from typing import Any

_DEFAULT = (100, 1.0)
"""Snakemake's own limit: 100 jobs a second."""


def look_when_a_job_ends(workflow: Any) -> None:
    """Have the scheduler go over the jobs when one has ended, and not each second besides.

    Where jobs per second are limited, and by default they are, each round of Snakemake's scheduler
    asks for another one a second later, and each job that ends begins one more chain of these:
    after 600 jobs it makes 600 rounds a second, with which a core is busy. Here jobs are started
    one by one, and the limit is never met. One that the user has set stays. For ``onstart:``, when
    there is a scheduler.
    """
    limit = workflow.scheduling_settings.max_jobs_per_timespan
    if limit is not None and (limit.max_jobs, limit.timespan) == _DEFAULT:
        workflow.scheduler.job_rate_limiter = None
