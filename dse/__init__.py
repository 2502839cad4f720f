"""Design-space exploration for AI-agent inference systems."""
