"""What each way of replacing a worker loses: real servers, real restarts, a client that tells every kind of loss apart."""
