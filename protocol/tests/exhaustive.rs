//! Walks all states of the model.

use std::thread;

use grootfs_protocol::{
    CLAIMED_LAYERS_STAY, MARKS_DO_NOT_LINGER, MOUNTS_ARE_WHOLE, NOTHING_TORN_IS_SERVED, Store, UnflushedPolicy,
};
use stateright::{Checker, Model};

/// The least number of distinct states that a check has to have seen to count as one.
const STATES: usize = 1_000_000;

/// Stops at the first counterexample.
fn check(model: Store) -> impl Checker<Store> {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    model.checker().threads(threads).spawn_bfs().join()
}

/// Set by `hack/torture` to more than the default.
const COMMANDS: &str = "GROOTFS_PROTOCOL_COMMANDS";

#[test]
fn every_invariant_holds_in_every_state() {
    let mut model = Store::default();
    if let Ok(commands) = std::env::var(COMMANDS) {
        model.commands = commands.parse().expect(COMMANDS);
    }
    let checker = check(model);
    assert!(checker.unique_state_count() >= STATES, "{} states", checker.unique_state_count());
    checker.assert_properties();
}

/// Two creates that take layers over from each other, with a kill and a reboot anywhere. With a third command there would be
/// more states than most machines have memory for.
#[test]
fn every_invariant_holds_where_layers_are_taken_over() {
    check(Store { takes_layers_over: true, commands: 2, ..Store::default() }).assert_properties();
}

/// The model finds what it is there to find. Without the rule that spares a layer in use, a create takes a layer from the
/// mounted image of another.
#[test]
fn a_protocol_that_removes_unflushed_layers_in_use_is_wrong() {
    let checker = check(Store { unflushed_layers: UnflushedPolicy::Remove, kills: 1, commands: 2, ..Store::default() });
    assert!(checker.discovery(MOUNTS_ARE_WHOLE).is_some());
}

/// Without marks, a create mounts a layer that a power cut has torn.
#[test]
fn a_protocol_without_marks_is_wrong() {
    let checker = check(Store { marks: false, kills: 0, commands: 2, ..Store::default() });
    assert!(checker.discovery(NOTHING_TORN_IS_SERVED).is_some());
}

/// If only those who unpack layers flush, a killed flush leaves its marks to the next reboot.
#[test]
fn a_protocol_in_which_a_killed_flush_is_not_begun_again_is_wrong() {
    let checker = check(Store { flushes_begin_again: false, reboots: 0, commands: 2, ..Store::default() });
    assert!(checker.discovery(MARKS_DO_NOT_LINGER).is_some());
}

/// A clean that does not read records takes a layer from a create that has claimed it.
#[test]
fn a_clean_that_reads_no_records_is_wrong() {
    let checker = check(Store { clean_reads_records: false, kills: 0, reboots: 0, commands: 2, ..Store::default() });
    assert!(checker.discovery(CLAIMED_LAYERS_STAY).is_some());
}
