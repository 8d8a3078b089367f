"""Liveness detection."""
