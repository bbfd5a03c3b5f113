"""Many recipes over many questions: what each megabyte buys."""
