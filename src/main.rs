//! The `grootfs` program.

#![cfg_attr(all(target_os = "linux", target_env = "gnu", not(test)), no_main)]

use grootfs::cli::{self, Failure, Request};
use grootfs::config::Config;
use grootfs::observe;
use grootfs::panics::{self, Panicked};
use grootfs::sys::{argv, interrupt, signals, umask};

grootfs::run_as_program!(exit_code);

fn exit_code() -> i32 {
    panics::note_instead_of_printing();
    let result = panics::caught(run).unwrap_or_else(|panicked: Panicked| Err(panicked.into()));
    interrupt::disarm();
    match result {
        Ok(()) => 0,
        Err(failure) => failure.report(),
    }
}

fn run() -> Result<(), Failure> {
    // What is made in a store does not depend on whose shell it was made from.
    umask::set_for_stores();
    signals::ignore_file_size_limit();
    signals::reset_sigchld();
    let arguments: Vec<_> = std::env::args_os().collect();
    argv::hide_values(&arguments, cli::PASSWORD);
    let cli = match cli::parse(arguments)? {
        Request::Print(text) => return cli::output::print(&text),
        Request::Run(cli) => cli,
    };
    let config = if cli.checks_configuration() { Config::default() } else { Config::load(cli.flags()?)? };
    // Before anything starts a thread.
    let entered = cli::enter_namespace(&cli, &config);
    let metrics = observe::init(&config, cli.measured_command())?;
    cli::run(&cli, &config, &metrics, entered)
}
