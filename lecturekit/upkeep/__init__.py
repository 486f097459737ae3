"""What keeps the course in order: the command line, the doctor, fresh outputs, rules, versions."""
