"""What runs the application: gunicorn's settings, our worker, and what it loads."""
