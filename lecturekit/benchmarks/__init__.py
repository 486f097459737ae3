"""Speed and quality of the course's own methods beside the usual libraries, measured in one run."""
