"""Feedback: what users do with answers, logged durably and shared by all workers of a machine."""
