"""What is learned from: texts, pairs, tables and images, read, encoded once, and cut into batches."""
