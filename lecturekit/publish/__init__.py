"""What is made out of the course for others: pages, slides, the teacher's kit, a class's results."""
