"""Tables: CSV and Parquet files as records of numbers and categories."""
