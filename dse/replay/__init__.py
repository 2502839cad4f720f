"""Replay: a design serves recorded requests, event by event, with the times of the evaluation."""
