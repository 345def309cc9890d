"""What `python -m benchmark serving` compares with, each as its own users would write it."""
