"""What every folder needs and nobody teaches: checks, images, files, caches, records, devices."""
