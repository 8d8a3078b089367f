"""Tests of gate files run pytest in a project that they write."""

from tests.worlds.projects import (  # noqa: F401
    applicants_project,
    applicants_world,
    document_project,
    liveness_project,
    measured_cache,
    pipeline_project,
    pipeline_world,
    project,
    rewrite_ratio,
    run,
    shared_cache,
)
