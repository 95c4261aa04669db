//! What holds on every driver. Each program `on_<driver>` runs all of it, on stores of its driver.

mod bad_input;
mod clean;
mod concurrency;
mod content_oracle;
mod create_general;
mod create_oci;
mod create_tar;
mod delete;
mod delete_store;
mod generate_metadata;
mod init_store;
mod list;
mod no_leaks;
mod promise_01_drop_in;
mod promise_02_each_system_call;
mod promise_02_kill_nine;
mod promise_03_never_formats;
mod promise_04_no_lock_across_the_source;
mod promise_06_confinement;
mod promise_08_warm_path;
mod promise_09_one_stream;
mod promise_10_one_line;
mod registry;
mod runtimes;
mod stats;
