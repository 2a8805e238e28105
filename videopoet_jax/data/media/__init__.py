"""From media files to a data set of clips."""
