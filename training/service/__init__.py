"""Training as a service: jobs are asked for over HTTP, and run one command each, as a process or in a cluster."""
