//! Making an image.
//!
//! Under the image's lock: write the dependency record, pull what is missing, make the image below `tmp/`, rename it
//! into `images/`. A process killed on the way leaves a record without an image, whose lock nobody holds: garbage.

use std::io;
use std::num::NonZeroUsize;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rustix::fs::{CWD, Mode, OFlags, fstat, openat};
use rustix::process::geteuid;
use tracing::Dispatch;

use crate::driver::{DiskLimit, ImageRequest, InodeLimit, Mount, VolumeSize};
use crate::fetcher::{Fetcher, Options};
use crate::idmap::IdMappings;
use crate::image::{ChainId, Image, ImageDetails, ProcessUser, Reference};
use crate::layout::Layout;
use crate::limits::Limits;
use crate::redact;
use crate::store::claims;
use crate::store::garbage::{self, CleanWhen};
use crate::store::image::dependencies;
use crate::store::image::error::{ImageBusy, NoInodeLimits, UserError, VolumeError};
use crate::store::image::image_volumes::{ImageVolumes, Place};
use crate::store::image::origin::{self, Origin};
use crate::store::image::removal;
use crate::store::image::users;
use crate::store::layer::durability;
use crate::store::layer::error::LayerError;
use crate::store::layer::flatten;
use crate::store::layer::manifest_cache;
use crate::store::layer::pull::{self, PullOptions, UsableLayers};
use crate::store::layer::volumes;
use crate::store::on_disk_format::OnDiskFormat;
use crate::store::shared::LayersIn;
use crate::store::totals;
use crate::store::{CreateError, ImageId, PullError, Store, StoreError};
use crate::sys::descriptors;
use crate::sys::files;
use crate::sys::interrupt;
use crate::sys::lock::{self, Lock};
use crate::sys::path_error::{OnPath, PathError};
use crate::sys::random::random_number;
use crate::unpacker::Budget;

/// Layers downloaded side by side, where the processors would do with fewer: a connection is often slower than they are.
const DOWNLOADS: NonZeroUsize = NonZeroUsize::new(6).unwrap();
/// The same of layers that are on this machine.
const READERS: NonZeroUsize = NonZeroUsize::new(2).unwrap();
/// A create of the same id is refused after this long; a delete of it takes no longer as a rule.
const LOCK_TIMEOUT: Duration = Duration::from_secs(5);

/// What to make.
pub struct CreateRequest<'a> {
    /// The image argument as it was given.
    pub image: &'a str,
    /// The id of the new image.
    pub id: &'a str,
    /// The disk limit, if there is to be one.
    pub limit: Option<DiskLimit>,
    /// How the image is to be fetched. Validation is skipped only where the source is an OCI layout.
    pub source: Options,
    /// The most layers to pull side by side; `None` leaves it to what the source is.
    pub concurrent_downloads: Option<NonZeroUsize>,
    /// Mount the root filesystem.
    pub mount: bool,
    /// What the image may have.
    pub limits: &'a Limits,
    /// Whether to record digests of the files of new layers.
    pub layer_digests: bool,
    /// Leave out the volumes that the image declares.
    pub ignore_volumes: bool,
    /// Look up the user of the image's process.
    pub with_user: bool,
    /// Clean first.
    pub clean: Option<CleanFirst>,
    /// Images whose layers clean keeps.
    pub ignore_images: &'a [String],
}

/// Which layers to get.
pub struct PullRequest<'a> {
    /// The image argument as it was given.
    pub image: &'a str,
    /// How the image is to be fetched.
    pub source: Options,
    /// The most layers to pull side by side; `None` leaves it to what the source is.
    pub concurrent_downloads: Option<NonZeroUsize>,
    /// What the image may have.
    pub limits: &'a Limits,
    /// Whether to record digests of the files of new layers.
    pub layer_digests: bool,
}

/// What was pulled.
#[derive(Debug)]
pub struct Pulled {
    /// The image, and what its name stands for.
    pub origin: Origin,
    /// Its layers, bottom first.
    pub layers: Vec<PulledLayer>,
    /// The store with layers that are not flushed: those of this pull, or of one whose flush was killed.
    pub unflushed_layers_in: Option<PathBuf>,
}

/// A layer that is in the store now.
#[derive(Debug)]
pub struct PulledLayer {
    /// Name of the volume.
    pub chain_id: ChainId,
    /// What the source calls the blob.
    pub blob: String,
    /// Bytes of file contents.
    pub bytes: u64,
    /// Whether it was there before.
    pub was_cached: bool,
}

/// Cleaning ahead of a create, which it neither delays nor fails.
#[derive(Debug)]
pub struct CleanFirst {
    /// When it is done. The limits of images count against the threshold as well as the layers.
    pub when: CleanWhen,
    /// Where the clean is logged, if not where the create is.
    pub log: Option<Dispatch>,
}

/// What was made.
#[derive(Debug, Default)]
pub struct Created {
    /// The root filesystem.
    pub rootfs: PathBuf,
    /// Environment of the image.
    pub env: Vec<String>,
    /// Mounts left to the caller; the first is that of the root filesystem, if it is not mounted.
    pub mounts: Vec<Mount>,
    /// What the image says of its process.
    pub details: ImageDetails,
    /// The ids of its process, if they were asked for.
    pub user: Option<ProcessUser>,
    /// The store with layers that are not flushed: those of this create, or of one whose flush was killed.
    pub unflushed_layers_in: Option<PathBuf>,
}

impl Store {
    /// Makes an image.
    pub fn create(&self, request: &CreateRequest<'_>) -> Result<Created, CreateError> {
        let reference = Reference::parse(request.image).map_err(crate::fetcher::Error::from)?;
        self.check_initialised()?;
        let shown = &*redact::address(request.image);
        let _session = tracing::info_span!("groot-creating", imageID = request.id, baseImage = shown).entered();
        let created = self.begin(&reference, request).and_then(|creation| {
            let mut created = creation.run(request.clean.as_ref());
            if let Err(error) = &created
                && error.is_full()
                && creation.source.fetcher.is_repeatable()
                && creation.make_room(error)
            {
                created = creation.run(None);
            }
            if let Err(error) = &created {
                creation.clean_up(error.is_full());
            }
            created
        });
        created.map_err(|error| error.of_store(self))
    }

    /// Gets the layers of an image into the store, and makes no image of them: the next create finds them. Clean takes them
    /// for unused, as they are.
    pub fn pull(&self, request: &PullRequest<'_>) -> Result<Pulled, PullError> {
        let reference =
            Reference::parse(request.image).map_err(crate::fetcher::Error::from).map_err(CreateError::from)?;
        self.check_initialised().map_err(CreateError::from)?;
        let shown = &*redact::address(request.image);
        let _session = tracing::info_span!("groot-pulling", baseImage = shown).entered();
        // Under the record of an image that never comes to be, clean spares the layers until all are there.
        let id = format!("pull-{:016x}", random_number().map_err(CreateError::from)?);
        let creation = CreateRequest {
            image: request.image,
            id: &id,
            limit: None,
            source: request.source.clone(),
            concurrent_downloads: request.concurrent_downloads,
            mount: true,
            limits: request.limits,
            layer_digests: request.layer_digests,
            ignore_volumes: true,
            with_user: false,
            clean: None,
            ignore_images: &[],
        };
        let begun = self.begin(&reference, &creation).map_err(PullError::from);
        begun.and_then(|creation| creation.pull_alone()).map_err(|error| error.of_store(self))
    }

    /// The store in which layers are to be flushed after a create or pull that failed: it may have completed some.
    pub fn store_to_flush(&self) -> Option<PathBuf> {
        let layer_store = self.layer_store().ok()?;
        let layout = layer_store.as_ref().map_or(&self.layout, |layer_store| &layer_store.store.layout);
        // Who cannot tell leaves it to the next create.
        let is_pending = durability::is_pending(layout).unwrap_or_default();
        is_pending.then(|| layout.root().to_owned())
    }

    /// Describes the image, and locks its id.
    fn begin<'a>(
        &'a self,
        reference: &Reference,
        request: &'a CreateRequest<'a>,
    ) -> Result<ImageCreation<'a>, CreateError> {
        let mappings = self.mappings()?;
        let layers_in = self.layers_in()?;
        let id = ImageId::new(request.id)?;
        if !request.mount {
            id.check_fits_mount_options()?;
        }
        if let Some(layer_store) = layers_in.layer_store() {
            layer_store.check_can_be_used(request.mount)?;
        }
        self.check_is_new(&id)?;

        let source = Source {
            fetcher: Fetcher::for_reference(reference, request.image, &request.source)?,
            cache: manifest_cache::ManifestCache::new(&layers_in.layout),
        };
        let mut image = tracing::debug_span!("fetching-image-info").in_scope(|| source.fetcher.image(&source.cache))?;
        volumes::name_by_source(&layers_in.layout, &mut image.layers)?;
        self.check_image(&image, request)?;
        let volumes = ImageVolumes::of(if request.ignore_volumes { &[] } else { &image.volumes })?;

        let Some(lock) = lock::own_within(&self.layout.lock_file(), &id.lock_name(), LOCK_TIMEOUT)? else {
            return Err(ImageBusy { id: request.id.to_owned() }.into());
        };
        self.check_is_new(&id)?;
        let is_exclusive = request.limit.is_some_and(|limit| limit.is_exclusive);
        let origin = Origin::now(request.image, &image, is_exclusive);
        let format = OnDiskFormat::new(self, &mappings);
        let format_of_layers = layers_in.format(&mappings);
        Ok(ImageCreation {
            store: self,
            request,
            id,
            source,
            image,
            origin,
            volumes,
            mappings,
            layers_in,
            format,
            format_of_layers,
            _lock: lock,
        })
    }

    fn check_is_new(&self, id: &ImageId) -> Result<(), CreateError> {
        if files::exists(&self.layout.image(id.as_str()))? {
            return Err(CreateError::AlreadyExists { id: id.to_string() });
        }
        Ok(())
    }

    /// Refuses what would only fail after all of it has been pulled.
    fn check_image(&self, image: &Image, request: &CreateRequest<'_>) -> Result<(), CreateError> {
        request.limits.check_layers(image.layers.len())?;
        if request.mount {
            self.driver.check_mountable(image.layers.len()).map_err(CreateError::Make)?;
        }
        self.check_inode_limit(request.limit)?;
        check_blobs_fit(image, request.limit)
    }

    /// A limit that would not be kept is refused.
    pub(in crate::store) fn check_inode_limit(&self, limit: Option<DiskLimit>) -> Result<(), NoInodeLimits> {
        let is_wanted = limit.is_some_and(|limit| matches!(limit.inodes, InodeLimit::AtMost(_)));
        if is_wanted && !self.driver.counts_inodes() {
            return Err(NoInodeLimits { driver: self.driver.name() });
        }
        Ok(())
    }
}

/// One image being made, under its lock.
struct ImageCreation<'a> {
    store: &'a Store,
    request: &'a CreateRequest<'a>,
    id: ImageId,
    source: Source,
    image: Image,
    origin: Origin,
    volumes: ImageVolumes,
    mappings: IdMappings,
    /// How the image is written.
    format: OnDiskFormat,
    layers_in: LayersIn<'a>,
    /// How its layers are written.
    format_of_layers: OnDiskFormat,
    _lock: Lock,
}

impl ImageCreation<'_> {
    fn run(&self, clean: Option<&CleanFirst>) -> Result<Created, CreateError> {
        removal::finish_removal(self.store, &self.id)?;
        let claimed = self.claim_and_clean(clean)?;
        let has_new_layers = !claimed.present.iter().all(|present| *present);
        if has_new_layers {
            self.pull(claimed.present).map_err(|error| error.of_store(&self.layers_in))?;
        }
        self.keep_manifests();
        let user = self.request.with_user.then(|| self.user()).transpose()?;
        let _session = tracing::info_span!("making-image").entered();
        let (layout, owner) = (&self.store.layout, self.format.owner);
        // Where it will be found: not a path to be worked on.
        let (making, published) = (layout.creating(self.id.as_str()), layout.image_path(self.id.as_str()));
        let directory = PrivateDirectory::make(&making)?;
        let mut mounts = self.fill(directory.path(), &published)?;
        let is_shared = self.layers_in.layer_store().is_some();
        let place = Place { store: self.store, directory: directory.path(), published: &published, owner, is_shared };
        mounts.extend(self.volumes.make(
            &self.layers_in,
            &self.image.layers,
            self.format_of_layers.whiteouts,
            &place,
        )?);
        // Not before it is finished: whom it is given to might change what it is made of.
        owner.chown_fd(&directory.open).on("chown", &making)?;
        interrupt::check().on("publish", &making)?;
        totals::with_added(layout, self.id.as_str(), directory.path(), || publish(layout, &self.id))?;
        // Nobody is to be told that no image was made.
        interrupt::disarm();
        Ok(Created {
            rootfs: published.join("rootfs"),
            env: self.image.env.clone(),
            mounts,
            details: self.image.details.clone(),
            user,
            unflushed_layers_in: (has_new_layers || claimed.has_unflushed)
                .then(|| self.layers_in.layout.root().to_owned()),
        })
    }

    /// The same without an image.
    fn pull_alone(&self) -> Result<Pulled, PullError> {
        if !self.source.fetcher.is_repeatable() {
            return Err(PullError::ReadOnce { reference: redact::address(self.request.image).into_owned() });
        }
        let pulled = self.pull_claimed();
        self.clean_up(pulled.as_ref().is_err_and(CreateError::is_full));
        Ok(pulled?)
    }

    fn pull_claimed(&self) -> Result<Pulled, CreateError> {
        let claimed = self.claim()?;
        let present = claimed.present.clone();
        let has_new_layers = !present.iter().all(|present| *present);
        if has_new_layers {
            self.pull(claimed.present).map_err(|error| error.of_store(&self.layers_in))?;
        }
        self.keep_manifests();
        let volumes = volumes::with_sizes(&self.layers_in, &self.image.layers)?;
        let layers = self.image.layers.iter().zip(volumes).zip(present);
        let layers = layers.map(|((layer, volume), was_cached)| PulledLayer {
            chain_id: volume.chain_id,
            blob: layer.blob_id.clone(),
            bytes: volume.size,
            was_cached,
        });
        Ok(Pulled {
            origin: self.origin.clone(),
            layers: layers.collect(),
            unflushed_layers_in: (has_new_layers || claimed.has_unflushed)
                .then(|| self.layers_in.layout.root().to_owned()),
        })
    }

    /// Keeps manifest and configuration. The layers are there.
    fn keep_manifests(&self) {
        if let Err(error) = self.source.cache.keep(self.format_of_layers.owner) {
            // They can be fetched again.
            tracing::info!(%error, "keeping-documents-failed");
        }
    }

    /// Cleans after the claim, so that the image's own layers stay; before it only where the store has no room for that.
    fn claim_and_clean(&self, clean: Option<&CleanFirst>) -> Result<UsableLayers, CreateError> {
        let claimed = self.claim();
        let Some(clean) = clean else { return claimed };
        self.clean(clean, clean.when, self.request.limit.map_or(0, |limit| limit.bytes));
        match claimed {
            Err(error) if error.is_full() => {
                self.wait_for_room();
                self.claim()
            }
            claimed => claimed,
        }
    }

    /// Puts the image's layers in use, and tells which are there.
    fn claim(&self) -> Result<UsableLayers, CreateError> {
        let (layout, image, id) = (&self.store.layout, self.request.image, self.id.as_str());
        let _claims = tracing::debug_span!("acquiring-shared-lock").in_scope(|| claims::share(layout))?;
        // The store may be on its way out.
        if !files::exists(&layout.namespace_file())? {
            return Err(StoreError::NotInitialised.into());
        }
        let chain_ids: Vec<&ChainId> = self.image.layers.iter().map(|layer| &layer.chain_id).collect();
        let temporary = layout.recording(id);
        origin::write(layout, &temporary, &self.id, &chain_ids, &self.origin)?;
        // Kept only for images that clean is told to spare: one for every image would grow without end.
        if self.request.ignore_images.iter().any(|ignored| ignored == image) {
            let key = dependencies::base_image_key(image);
            let written = match self.layers_in.layer_store() {
                Some(layer_store) => layer_store.spare(&self.id, &key, &chain_ids),
                None => dependencies::write(layout, &temporary, &key, &chain_ids),
            };
            // The name of the image may be longer than a file's; then its layers are not spared, and that is all.
            if let Err(error) = written {
                tracing::error!(%error, image, "recording-ignored-image-failed");
            }
        }
        match self.layers_in.layer_store() {
            Some(layer_store) => Ok(layer_store.claim(layout, &self.id, &self.image, &chain_ids)?),
            None => Ok(pull::usable_layers(layout, &self.image)?),
        }
    }

    fn pull(&self, present: Vec<bool>) -> Result<(), CreateError> {
        let _session = tracing::info_span!("image-pulling").entered();
        let processors = thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        let is_remote = self.source.fetcher.is_remote(&self.image);
        let usual = processors.max(if is_remote { DOWNLOADS } else { READERS });
        let request = self.request;
        let options = PullOptions {
            verify: !request.source.skip_validation || self.source.fetcher.registry_image().is_some(),
            budget: request.limit.and_then(DiskLimit::bytes_with_layers).map(Budget::new),
            inode_budget: request.limit.and_then(DiskLimit::inodes_with_layers).map(Budget::new),
            readers: match self.source.fetcher.opens_one_at_a_time() {
                true => NonZeroUsize::MIN,
                false => request.concurrent_downloads.unwrap_or(usual),
            },
            limits: request.limits,
            digests: request.layer_digests,
            format: &self.format_of_layers,
        };
        let pulled = pull::pull(&self.layers_in, &self.source.fetcher, &self.image, &options, present);
        pulled.map_err(|error| self.source.with_image_name(error))
    }

    fn user(&self) -> Result<ProcessUser, UserError> {
        let files = users::read(&self.layers_in, &self.image.layers, self.format_of_layers.whiteouts)?;
        Ok(files.resolve(&self.image.details.user)?)
    }

    fn volume_size(&self) -> Result<VolumeSize, VolumeError> {
        self.volumes.size(&self.layers_in, &self.image.layers, self.format_of_layers.whiteouts)
    }

    fn fill(&self, directory: &Path, published: &Path) -> Result<Vec<Mount>, CreateError> {
        let (store, layers) = (self.store, &self.image.layers);
        let mut volumes = volumes::with_sizes(&self.layers_in, layers)?;
        if !self.request.mount {
            let count = store.driver.layers_to_flatten(&store.layout, volumes.len())?;
            volumes = flatten::flatten(
                store,
                &self.id,
                (layers, &self.origin),
                volumes,
                count,
                self.format_of_layers.whiteouts,
            )?;
        }
        let shared = self.layers_in.shared(&self.mappings);
        let request = ImageRequest {
            directory,
            published,
            volumes: &volumes,
            shared: shared.as_ref(),
            layer_inodes: match self.request.limit.and_then(DiskLimit::inodes_with_layers) {
                Some(_) => volumes::total_inodes(&self.layers_in, layers)?,
                None => 0,
            },
            limit: self.request.limit,
            declared_volumes: self.volumes.len(),
            volume_size: if self.request.limit.is_some() { self.volume_size()? } else { VolumeSize::default() },
            owner: self.format.owner,
            mount: self.request.mount,
            is_for_root: self.format.is_for_root,
        };
        store.driver.create_image(&store.layout, &request).map_err(CreateError::Make)
    }

    /// In a log of its own the clean is a session of that name, as in the original, which ran it as a command.
    fn clean(&self, clean: &CleanFirst, when: CleanWhen, limit: u64) {
        let work = || garbage::clean_before_create(self.store, when, limit, self.request.ignore_images);
        match &clean.log {
            Some(log) => tracing::dispatcher::with_default(log, || tracing::debug_span!("clean").in_scope(work)),
            None => work(),
        }
    }

    /// Cleans whatever the threshold, if the caller allows a clean and there are unused layers.
    fn make_room(&self, error: &CreateError) -> bool {
        let Some(clean) = &self.request.clean else { return false };
        if self.store.has_unused_layers().is_ok_and(|has| !has) {
            return false;
        }
        tracing::info!(%error, "store-is-full-cleaning");
        self.clean(clean, CleanWhen::ALWAYS, 0);
        self.wait_for_room();
        true
    }

    /// What was removed may take a moment to become room.
    fn wait_for_room(&self) {
        let _session = tracing::info_span!("waiting-for-deleted-layers-to-be-freed").entered();
        if let Err(error) = self.layers_in.driver.wait_for_free_space(&self.layers_in.layout) {
            tracing::error!(%error, "waiting-for-room-failed");
        }
    }

    fn clean_up(&self, is_full: bool) {
        let _session = tracing::info_span!("create-failed-cleaning-up").entered();
        let mut cleaned = removal::discard_staging(self.store, &self.id);
        if is_full {
            // So that the next one, of a smaller image, finds the room that this one had taken.
            cleaned = cleaned.and(self.store.driver.wait_for_free_space(&self.store.layout).map_err(StoreError::from));
        }
        if let Err(error) = cleaned {
            tracing::error!(%error, "failed");
        }
    }
}

/// A panic leaves no more behind than an error. Errors are cleaned up after where a second attempt is decided on.
impl Drop for ImageCreation<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.clean_up(false);
        }
    }
}

/// Where an image comes from, and what is known of it from before.
struct Source {
    fetcher: Fetcher,
    cache: manifest_cache::ManifestCache,
}

impl Source {
    /// Names the image in what went wrong with one of its layers.
    fn with_image_name(&self, error: LayerError) -> CreateError {
        match self.fetcher.registry_image() {
            Some(image) if !error.to_string().contains(image) => {
                CreateError::LayerOf { image: image.to_owned(), source: Box::new(error) }
            }
            _ => error.into(),
        }
    }
}

/// Blobs are compressed, so what exceeds the limit now will do so all the more when it is unpacked.
fn check_blobs_fit(image: &Image, limit: Option<DiskLimit>) -> Result<(), CreateError> {
    let blobs = image.blob_bytes();
    match limit.and_then(DiskLimit::bytes_with_layers) {
        Some(limit) if blobs > limit => Err(CreateError::BlobsExceedLimit { blobs, limit }),
        _ => Ok(()),
    }
}

/// A directory that nobody else can look into, known by a descriptor: whatever is made of its name meanwhile, by whom the
/// store belongs to, it is the one that was made.
struct PrivateDirectory {
    open: OwnedFd,
    path: PathBuf,
}

impl PrivateDirectory {
    fn make(path: &Path) -> Result<Self, PathError> {
        files::create_private_directory(path)?;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let open = openat(CWD, path, flags, Mode::empty()).on("open", path)?;
        let stat = fstat(&open).on("stat", path)?;
        if stat.st_uid != geteuid().as_raw() {
            return Err(PathError::new("open", path, io::Error::other("it was exchanged for another directory")));
        }
        Ok(PrivateDirectory { path: descriptors::name_of(&open), open })
    }

    /// A name for what is open.
    fn path(&self) -> &Path {
        &self.path
    }
}

fn publish(layout: &Layout, id: &ImageId) -> Result<(), CreateError> {
    match files::rename_to_new(&layout.creating(id.as_str()), &layout.image(id.as_str())) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            Err(CreateError::AlreadyExists { id: id.to_string() })
        }
        renamed => Ok(renamed?),
    }
}
