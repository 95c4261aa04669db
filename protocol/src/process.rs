//! What a process does, a step at a time. Each arm of [`step`] is what is atomic in `src/store`: a lock taken, a name made,
//! exchanged or removed.

use super::disk::{Image, Mark, Volume};
use super::{IMAGES, LAYERS, State, Store, UnflushedPolicy, layers_of};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Command {
    Create,
    Delete,
    Clean,
}

/// The lock file as a whole: shared by creates while they claim their layers, alone by clean while it takes layers away.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Claims {
    shared: Vec<usize>,
    alone: Option<usize>,
}

impl Claims {
    fn share(&mut self, process: usize) -> bool {
        if self.alone.is_some() {
            return false;
        }
        self.shared.push(process);
        self.shared.sort_unstable();
        true
    }

    fn own(&mut self, process: usize) -> bool {
        if self.alone.is_some() || !self.shared.is_empty() {
            return false;
        }
        self.alone = Some(process);
        true
    }

    pub(crate) fn release(&mut self, process: usize) {
        self.shared.retain(|holder| *holder != process);
        if self.alone == Some(process) {
            self.alone = None;
        }
    }
}

/// Where a process is. Processes 0 and 1 work on the image of that number, under its lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Process {
    Idle,
    Begun(Command),
    Create { pulled: bool, at: Create },
    Delete(Delete),
    Clean(Clean),
    Flush(Flush),
}

type Layers = [bool; LAYERS];

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Create {
    Claim,
    Record,
    Look,
    /// The layer that is next, and which were there.
    Layer(usize, Layers),
    Check(usize, Layers),
    /// The old volume of a layer that may be torn makes room for the new one.
    SetAside(usize, Layers),
    /// It is removed, if no image shows it: its generation.
    Remove(usize, Layers, u8),
    Mark(usize, Layers),
    Publish(usize, Layers),
    /// The same under the second lock: what another process is already at, from a source of its own.
    MarkSecond(usize, Layers),
    PublishSecond(usize, Layers),
    Stage,
    Mount,
    PublishImage,
    /// It failed: what it made goes, then its record.
    Discard,
    Forget,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Delete {
    Unmount,
    Remove,
    Forget,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Clean {
    /// The image that is next to be looked at.
    Image(usize),
    RemoveImage(usize),
    ForgetImage(usize),
    Claim,
    /// The layer that is next, and which are in use.
    Retire(usize, Layers),
    Incomplete(usize),
    Dead,
    Forget(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Flush {
    Look,
    /// The marks that there were before syncfs(2).
    Sync([Option<Mark>; LAYERS]),
    Unmark(usize, [Option<Mark>; LAYERS]),
}

/// Does the next step of a process; `false` if it waits for a lock.
pub(crate) fn step(store: &Store, state: &mut State, me: usize) -> bool {
    let next = match state.processes[me] {
        Process::Idle => return false,
        Process::Begun(Command::Create) => begin_create(state, me),
        Process::Begun(Command::Delete) => begin_delete(state, me),
        Process::Begun(Command::Clean) => Some(Process::Clean(Clean::Image(0))),
        Process::Create { pulled, at } => create(store, state, me, pulled, at),
        Process::Delete(at) => Some(delete(state, me, at)),
        Process::Clean(at) => clean(store, state, me, at),
        Process::Flush(at) => Some(flush(state, me, at)),
    };
    let Some(next) = next else { return false };
    state.processes[me] = next;
    true
}

/// What is left when nothing runs and then a clean does.
pub(crate) fn clean_alone(store: &Store, state: &State) -> State {
    let mut state = state.clone();
    let me = state.processes.len() - 1;
    state.processes[me] = Process::Begun(Command::Clean);
    while state.processes[me] != Process::Idle && step(store, &mut state, me) {}
    state
}

/// What is left when nothing runs and then somebody creates an image.
pub(crate) fn create_alone(store: &Store, state: &State, image: usize) -> State {
    let mut state = state.clone();
    state.processes[image] = Process::Begun(Command::Create);
    while state.processes[image] != Process::Idle && step(store, &mut state, image) {}
    state
}

fn lock_image(state: &mut State, image: usize, me: usize) -> bool {
    take(&mut state.image_locks[image], me)
}

fn take(lock: &mut Option<usize>, me: usize) -> bool {
    let is_free = lock.is_none();
    if is_free {
        *lock = Some(me);
    }
    is_free
}

fn end_with_flush(state: &mut State, image: usize, pulled: bool) -> Process {
    state.image_locks[image] = None;
    if pulled { Process::Flush(Flush::Look) } else { Process::Idle }
}

fn begin_create(state: &mut State, image: usize) -> Option<Process> {
    if !lock_image(state, image, image) {
        return None;
    }
    if state.disk.is_published(image) {
        return Some(end_with_flush(state, image, false));
    }
    state.mounts[image] = None;
    state.disk.images[image] = Image::Absent;
    Some(Process::Create { pulled: false, at: Create::Claim })
}

fn create(store: &Store, state: &mut State, image: usize, mut pulled: bool, at: Create) -> Option<Process> {
    let boot = state.boot;
    let at = match at {
        Create::Claim if state.claims.share(image) => Create::Record,
        Create::Claim => return None,
        Create::Record => {
            state.disk.records[image] = true;
            Create::Look
        }
        Create::Look => {
            let disk = &state.disk;
            let present = std::array::from_fn(|layer| disk.volumes[layer].is_some() && !disk.is_suspect(layer, boot));
            // A flush that was killed is begun again by whoever finds its marks.
            pulled |= store.flushes_begin_again && disk.marks.iter().flatten().any(|mark| mark.boot == boot);
            state.claims.release(image);
            Create::Layer(0, present)
        }
        Create::Layer(layer, _) if !layers_of(image).contains(&layer) => Create::Stage,
        Create::Layer(layer, present) if present[layer] => Create::Layer(layer + 1, present),
        Create::Layer(layer, present) if take(&mut state.layer_locks[layer], image) => Create::Check(layer, present),
        // It waits, and where it waits too long it takes over. Whoever is second finds the layer published.
        Create::Layer(layer, _) if state.disk.is_suspect(layer, boot) => return None,
        Create::Layer(layer, present) if state.disk.volumes[layer].is_some() => Create::Layer(layer + 1, present),
        Create::Layer(layer, present) if store.takes_layers_over && take(&mut state.second_locks[layer], image) => {
            state.disk.second[layer] = Some(unpack(state));
            Create::MarkSecond(layer, present)
        }
        Create::Layer(..) => return None,
        Create::MarkSecond(layer, present) => {
            let unpacked = state.disk.second[layer].map(|volume| Mark { boot, generation: volume.generation });
            state.disk.marks[layer] = unpacked.filter(|_| store.marks);
            Create::PublishSecond(layer, present)
        }
        Create::PublishSecond(layer, present) => {
            let unpacked = state.disk.second[layer].take();
            state.disk.volumes[layer] = state.disk.volumes[layer].or(unpacked);
            state.second_locks[layer] = None;
            pulled = true;
            Create::Layer(layer + 1, present)
        }
        Create::Check(layer, present) => check_layer(state, layer, present),
        Create::Remove(layer, present, generation) => {
            state.disk.dead.retain(|(of, volume)| *of != layer || volume.generation != generation);
            Create::Mark(layer, present)
        }
        Create::SetAside(layer, present) => set_aside(store, state, layer, present),
        Create::Mark(layer, present) => {
            let unpacked = state.disk.incomplete[layer].map(|volume| Mark { boot, generation: volume.generation });
            state.disk.marks[layer] = unpacked.filter(|_| store.marks);
            Create::Publish(layer, present)
        }
        Create::Publish(layer, present) => {
            let unpacked = state.disk.incomplete[layer].take();
            // The name may be taken: then the layer of the one who took over stays.
            state.disk.volumes[layer] = state.disk.volumes[layer].or(unpacked);
            state.layer_locks[layer] = None;
            pulled = true;
            Create::Layer(layer + 1, present)
        }
        Create::Stage => {
            state.disk.images[image] = Image::Staging;
            Create::Mount
        }
        Create::Mount => mount(state, image),
        Create::PublishImage => {
            state.disk.images[image] = Image::Published;
            return Some(end_with_flush(state, image, pulled));
        }
        Create::Discard => {
            state.disk.images[image] = Image::Absent;
            Create::Forget
        }
        Create::Forget => {
            state.disk.records[image] = false;
            return Some(end_with_flush(state, image, pulled));
        }
    };
    Some(Process::Create { pulled, at })
}

/// Under the layer's lock.
fn check_layer(state: &mut State, layer: usize, present: Layers) -> Create {
    let is_suspect = state.disk.is_suspect(layer, state.boot);
    let is_there = state.disk.volumes[layer].is_some();
    if is_there && !is_suspect {
        state.layer_locks[layer] = None;
        return Create::Layer(layer + 1, present);
    }
    // All of its files are written before it gets its mark, so that the flush that removes the mark has flushed them.
    state.disk.incomplete[layer] = Some(unpack(state));
    if is_there { Create::SetAside(layer, present) } else { Create::Mark(layer, present) }
}

fn unpack(state: &mut State) -> Volume {
    let generation = state.next_generation;
    state.next_generation += 1;
    Volume { generation, is_durable: false, is_torn: false }
}

/// Before the mark of the old volume goes: a kill in between leaves no layer without its mark.
fn set_aside(store: &Store, state: &mut State, layer: usize, present: Layers) -> Create {
    let Some(volume) = state.disk.volumes[layer].take() else { return Create::Mark(layer, present) };
    if store.unflushed_layers == UnflushedPolicy::Keep && state.disk.is_shown(layer) {
        state.disk.kept.push((layer, volume));
        return Create::Mark(layer, present);
    }
    state.disk.dead.push((layer, volume));
    Create::Remove(layer, present, volume.generation)
}

fn mount(state: &mut State, image: usize) -> Create {
    let volumes = state.disk.volumes;
    if layers_of(image).any(|layer| volumes[layer].is_none()) {
        state.lost_claimed_layer = true;
        return Create::Discard;
    }
    state.served_torn |= layers_of(image).any(|layer| volumes[layer].is_some_and(|volume| volume.is_torn));
    state.mounts[image] = Some(state.disk.layers_of(image));
    Create::PublishImage
}

fn begin_delete(state: &mut State, image: usize) -> Option<Process> {
    if !lock_image(state, image, image) {
        return None;
    }
    if state.disk.is_published(image) {
        state.disk.images[image] = Image::Deleting;
    }
    Some(Process::Delete(Delete::Unmount))
}

fn delete(state: &mut State, image: usize, at: Delete) -> Process {
    match at {
        Delete::Unmount => {
            state.mounts[image] = None;
            Process::Delete(Delete::Remove)
        }
        Delete::Remove => {
            state.disk.images[image] = Image::Absent;
            Process::Delete(Delete::Forget)
        }
        Delete::Forget => {
            state.disk.records[image] = false;
            end_with_flush(state, image, false)
        }
    }
}

fn clean(store: &Store, state: &mut State, me: usize, at: Clean) -> Option<Process> {
    let next = match at {
        Clean::Image(image) if image == IMAGES => Clean::Claim,
        Clean::Image(image) => {
            let has_leftovers = state.disk.records[image] || state.disk.images[image] != Image::Absent;
            let is_dead = !state.disk.is_published(image) && has_leftovers;
            if is_dead && lock_image(state, image, me) { Clean::RemoveImage(image) } else { Clean::Image(image + 1) }
        }
        Clean::RemoveImage(image) => {
            state.mounts[image] = None;
            state.disk.images[image] = Image::Absent;
            Clean::ForgetImage(image)
        }
        Clean::ForgetImage(image) => {
            state.disk.records[image] = false;
            state.image_locks[image] = None;
            Clean::Image(image + 1)
        }
        Clean::Claim if state.claims.own(me) => {
            let disk = &state.disk;
            let in_use = std::array::from_fn(|layer| store.clean_reads_records && disk.is_recorded(layer));
            Clean::Retire(0, in_use)
        }
        Clean::Claim => return None,
        Clean::Retire(layer, in_use) if layer == LAYERS => {
            let (kept, needless) = state.disk.kept.iter().partition(|(layer, _)| in_use[*layer]);
            state.disk.kept = kept;
            state.disk.dead.extend::<Vec<_>>(needless);
            state.claims.release(me);
            Clean::Incomplete(0)
        }
        Clean::Retire(layer, in_use) => {
            if !in_use[layer]
                && let Some(volume) = state.disk.volumes[layer].take()
            {
                state.disk.dead.push((layer, volume));
            }
            Clean::Retire(layer + 1, in_use)
        }
        Clean::Incomplete(layer) if layer == LAYERS => Clean::Dead,
        Clean::Incomplete(layer) => {
            if state.layer_locks[layer].is_none() {
                state.disk.incomplete[layer] = None;
            }
            if state.second_locks[layer].is_none() {
                state.disk.second[layer] = None;
            }
            Clean::Incomplete(layer + 1)
        }
        Clean::Dead if state.disk.dead.pop().is_some() => Clean::Dead,
        Clean::Dead => Clean::Forget(0),
        Clean::Forget(layer) if layer == LAYERS => return Some(Process::Flush(Flush::Look)),
        Clean::Forget(layer) => {
            let is_locked = state.layer_locks[layer].is_some() || state.second_locks[layer].is_some();
            if !is_locked && state.disk.volumes[layer].is_none() {
                state.disk.marks[layer] = None;
            }
            Clean::Forget(layer + 1)
        }
    };
    Some(Process::Clean(next))
}

fn flush(state: &mut State, me: usize, at: Flush) -> Process {
    match at {
        Flush::Look => {
            let of_this_boot = state.disk.marks.map(|mark| mark.filter(|mark| mark.boot == state.boot));
            if of_this_boot == [None; LAYERS] || !take(&mut state.flush_lock, me) {
                return Process::Idle;
            }
            Process::Flush(Flush::Sync(of_this_boot))
        }
        Flush::Sync(marks) => {
            state.flush();
            Process::Flush(Flush::Unmark(0, marks))
        }
        Flush::Unmark(layer, _) if layer == LAYERS => {
            state.flush_lock = None;
            Process::Flush(Flush::Look)
        }
        Flush::Unmark(layer, marks) => {
            if marks[layer].is_some() && state.disk.marks[layer] == marks[layer] {
                state.disk.marks[layer] = None;
            }
            Process::Flush(Flush::Unmark(layer + 1, marks))
        }
    }
}
