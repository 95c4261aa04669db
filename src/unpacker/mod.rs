//! stub
#![allow(missing_docs)]
use std::io::Read;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::sync::atomic::AtomicBool;
pub struct Expected {
    pub blob_digest: Option<String>,
    pub blob_size: Option<u64>,
    pub diff_id: Option<String>,
}
pub struct Budget(u64);
impl Budget {
    pub fn new(b: u64) -> Self {
        Budget(b)
    }
}
#[derive(Clone, Copy)]
pub enum WhiteoutFormat {
    Overlay,
    OverlayUserXattr,
}
pub struct IdTranslation;
impl IdTranslation {
    pub fn identity() -> &'static Self {
        &IdTranslation
    }
}
pub struct Layer<'a> {
    pub expected: Expected,
    pub base_directory: Option<&'a Path>,
    pub whiteouts: WhiteoutFormat,
    pub ids: &'a IdTranslation,
    pub budget: Option<&'a Budget>,
    pub cancel: &'a AtomicBool,
}
#[derive(Debug, thiserror::Error)]
#[error("x")]
pub struct Error;
impl Error {
    pub fn is_about_stream(&self) -> bool {
        false
    }
    pub fn os_error(&self) -> Option<i32> {
        None
    }
}
pub struct Unpacked;
pub fn unpack(_s: impl Read + Send, _v: BorrowedFd<'_>, _l: &Layer<'_>) -> Result<Unpacked, Error> {
    Err(Error)
}
impl Unpacked {
    pub fn needs_parents(&self) -> bool {
        false
    }
    pub fn finish(self, _v: BorrowedFd<'_>, _p: &[BorrowedFd<'_>]) -> Result<u64, Error> {
        Ok(0)
    }
}
