//! A model of a store: what is on disk, who works on it, and what may happen to it between two steps.
//!
//! The model has the locks, renames and durable writes of `src/store` in their order, and nothing else; `docs/protocol.md`
//! describes the protocol and names the step of the model for each of its rules. A model checker visits every state that
//! interleavings of the processes, kills, orderly reboots and power cuts can lead to.

mod disk;
mod process;

use stateright::{Model, Property};

use disk::Disk;
use process::{Command, Process};

/// Number of layers. Image 0 has layer 0 alone, image 1 has both.
pub const LAYERS: usize = 2;
/// Number of images.
pub const IMAGES: usize = 2;

/// No layer goes away below a mount.
pub const MOUNTS_ARE_WHOLE: &str = "a mounted image has all its layers";
/// A create mounts only layers whose files survived the last power cut.
pub const NOTHING_TORN_IS_SERVED: &str = "no create mounts a torn layer";
/// Clean spares what a create has on record.
pub const CLAIMED_LAYERS_STAY: &str = "no create misses a layer that it claimed or pulled";
/// An image and its record appear and disappear in this order.
pub const RECORDS_ARE_THERE: &str = "a published image has its record";
/// Whatever a process left when it died.
pub const GARBAGE_IS_COLLECTED: &str = "a clean without company leaves only what images use";
/// A layer is not suspect for ever because a flush was killed.
pub const MARKS_DO_NOT_LINGER: &str = "after a create without company all layers of this boot are flushed";
/// There is no deadlock.
pub const NOBODY_WAITS_FOR_EVER: &str = "somebody can always go on";

/// What a create does to a layer that a power cut of an earlier boot may have torn, when images use it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnflushedPolicy {
    /// It is removed.
    Remove,
    /// It is kept under another name as long as a record names the layer.
    Keep,
}

/// The protocol with its parameters.
#[derive(Clone, Debug)]
pub struct Store {
    /// What a create does to an unflushed layer of an earlier boot.
    pub unflushed_layers: UnflushedPolicy,
    /// Whether layers bear marks until they are flushed.
    pub marks: bool,
    /// Whether clean spares the layers that records name.
    pub clean_reads_records: bool,
    /// Whether a create that unpacks nothing flushes what others left.
    pub flushes_begin_again: bool,
    /// Whether a create that waits for a layer unpacks it itself.
    pub takes_layers_over: bool,
    /// How many commands are run in all.
    pub commands: u8,
    /// How many processes are killed.
    pub kills: u8,
    /// How often the machine starts again.
    pub reboots: u8,
}

impl Default for Store {
    fn default() -> Self {
        Store {
            unflushed_layers: UnflushedPolicy::Keep,
            marks: true,
            clean_reads_records: true,
            flushes_begin_again: true,
            takes_layers_over: false,
            commands: 3,
            kills: 1,
            reboots: 1,
        }
    }
}

/// The layers that an image is made of, lowest first.
pub(crate) fn layers_of(image: usize) -> std::ops::RangeInclusive<usize> {
    0..=image
}

/// What an image's mount shows: the generation of each of its layers.
pub(crate) type Mount = [Option<u8>; LAYERS];

/// The disk, the processes with their locks, and what is left of the bounds.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    pub(crate) boot: u8,
    pub(crate) disk: Disk,
    /// What a power cut may leave: the disk after each step since the last flush, oldest first. Journals keep the order of
    /// metadata, so what is left is a state that was.
    pub(crate) since_flush: Vec<Disk>,
    pub(crate) mounts: [Option<Mount>; IMAGES],
    /// One works on image 0, one on image 1, one cleans; see [`Process`].
    pub(crate) processes: [Process; 3],
    pub(crate) claims: process::Claims,
    pub(crate) image_locks: [Option<usize>; IMAGES],
    pub(crate) layer_locks: [Option<usize>; LAYERS],
    /// `<chain id>.second`
    pub(crate) second_locks: [Option<usize>; LAYERS],
    pub(crate) flush_lock: Option<usize>,
    pub(crate) next_generation: u8,
    pub(crate) served_torn: bool,
    pub(crate) lost_claimed_layer: bool,
    commands_left: u8,
    kills_left: u8,
    reboots_left: u8,
}

/// What may happen next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// A process begins a command.
    Start(usize, Command),
    /// A process does its next step.
    Step(usize),
    /// A process dies.
    Kill(usize),
    /// Everything is written to disk, then all processes and mounts are gone.
    Reboot,
    /// The same without the writing: what is left is the state at this place of `since_flush`.
    PowerCut(usize),
    /// Whoever runs the container mounts its image again after a reboot.
    MountAgain(usize),
}

impl State {
    fn new(store: &Store) -> Self {
        State {
            boot: 0,
            disk: Disk::default(),
            since_flush: vec![Disk::default()],
            mounts: [None; IMAGES],
            processes: [Process::Idle; 3],
            claims: process::Claims::default(),
            image_locks: [None; IMAGES],
            layer_locks: [None; LAYERS],
            second_locks: [None; LAYERS],
            flush_lock: None,
            next_generation: 0,
            served_torn: false,
            lost_claimed_layer: false,
            commands_left: store.commands,
            kills_left: store.kills,
            reboots_left: store.reboots,
        }
    }

    fn is_quiet(&self) -> bool {
        self.processes.iter().all(|process| *process == Process::Idle)
    }

    /// After a step that changed the disk.
    fn remember(&mut self) {
        if self.since_flush.last() != Some(&self.disk) {
            self.since_flush.push(self.disk.clone());
        }
    }

    /// What syncfs(2) does.
    pub(crate) fn flush(&mut self) {
        self.disk.make_durable();
        self.since_flush = vec![self.disk.clone()];
    }

    /// The locks of a dead process are let go by the kernel.
    fn end(&mut self, process: usize) {
        self.processes[process] = Process::Idle;
        self.claims.release(process);
        for lock in self
            .image_locks
            .iter_mut()
            .chain(&mut self.layer_locks)
            .chain(&mut self.second_locks)
            .chain([&mut self.flush_lock])
        {
            if *lock == Some(process) {
                *lock = None;
            }
        }
    }

    fn start_again(&mut self) {
        (0..self.processes.len()).for_each(|process| self.end(process));
        self.mounts = [None; IMAGES];
        self.boot += 1;
        self.since_flush = vec![self.disk.clone()];
    }
}

impl Model for Store {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State::new(self)]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for (slot, process) in state.processes.iter().enumerate() {
            if *process != Process::Idle {
                actions.push(Action::Step(slot));
                if state.kills_left > 0 {
                    actions.push(Action::Kill(slot));
                }
            } else if state.commands_left > 0 {
                let commands = if slot < IMAGES { &[Command::Create, Command::Delete][..] } else { &[Command::Clean] };
                actions.extend(commands.iter().map(|command| Action::Start(slot, *command)));
            }
        }
        if state.reboots_left > 0 {
            actions.push(Action::Reboot);
            actions.extend((0..state.since_flush.len()).map(Action::PowerCut));
        }
        if state.boot > 0 {
            let can_be_mounted = |image: &usize| state.disk.can_be_mounted(*image) && state.mounts[*image].is_none();
            actions.extend((0..IMAGES).filter(can_be_mounted).map(Action::MountAgain));
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        match action {
            Action::Start(slot, command) => {
                state.commands_left -= 1;
                state.processes[slot] = Process::Begun(command);
            }
            Action::Step(slot) => {
                if !process::step(self, &mut state, slot) {
                    return None;
                }
                state.remember();
            }
            Action::Kill(slot) => {
                state.kills_left -= 1;
                state.end(slot);
            }
            Action::Reboot => {
                state.reboots_left -= 1;
                state.flush();
                state.start_again();
            }
            Action::PowerCut(moment) => {
                state.reboots_left -= 1;
                state.disk = state.since_flush.swap_remove(moment);
                state.disk.tear();
                state.start_again();
            }
            Action::MountAgain(image) => state.mounts[image] = Some(state.disk.layers_of(image)),
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(MOUNTS_ARE_WHOLE, |_, state: &State| {
                let is_whole = |(image, mount): (usize, &Option<Mount>)| {
                    mount.is_none_or(|mount| layers_of(image).all(|layer| state.disk.has(layer, mount[layer])))
                };
                state.mounts.iter().enumerate().all(is_whole)
            }),
            Property::always(NOTHING_TORN_IS_SERVED, |_, state: &State| !state.served_torn),
            Property::always(CLAIMED_LAYERS_STAY, |_, state: &State| !state.lost_claimed_layer),
            Property::always(RECORDS_ARE_THERE, |_, state: &State| {
                (0..IMAGES).all(|image| !state.disk.is_published(image) || state.disk.records[image])
            }),
            Property::always(GARBAGE_IS_COLLECTED, |store, state: &State| {
                !state.is_quiet() || process::clean_alone(store, state).disk.has_only_what_images_use()
            }),
            Property::always(MARKS_DO_NOT_LINGER, |store, state: &State| {
                let is_flushed = |after: State| after.disk.marks.iter().flatten().all(|mark| mark.boot != after.boot);
                !state.is_quiet()
                    || (0..IMAGES)
                        .filter(|image| !state.disk.is_published(*image))
                        .all(|image| is_flushed(process::create_alone(store, state, image)))
            }),
            Property::always(NOBODY_WAITS_FOR_EVER, |store, state: &State| {
                state.is_quiet()
                    || (0..state.processes.len())
                        .filter(|slot| state.processes[*slot] != Process::Idle)
                        .any(|slot| process::step(store, &mut state.clone(), slot))
            }),
        ]
    }
}
