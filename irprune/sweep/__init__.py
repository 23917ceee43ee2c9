"""Several targets of one model: a task for each, done in processes or on a cluster, and the trade-off between them."""
