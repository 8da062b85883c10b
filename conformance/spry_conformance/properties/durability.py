"""What was reported as stored is stored: processes are really killed."""
