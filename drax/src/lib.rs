//! Quota system calls.
