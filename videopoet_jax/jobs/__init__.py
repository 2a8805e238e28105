"""Entry points, one file a job."""
