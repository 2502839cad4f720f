"""Replays for people: predicted beside simulated."""
