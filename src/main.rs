//! The `grootfs` program.

fn main() {}
