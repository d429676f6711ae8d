"""What a person or CI runs beside the pipeline, and the runner that all of it shares."""
