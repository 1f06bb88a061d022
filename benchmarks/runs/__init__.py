"""What is done with a run: its trials, its front, its report, its exports."""
