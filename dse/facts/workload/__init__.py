"""From recorded or generated sessions to what one kind of agent asks of the system."""
