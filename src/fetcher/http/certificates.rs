//! Certificates from a directory, as container engines keep them for a registry (`containers-certs.d(5)`): `*.crt` are
//! additional certificate authorities, `X.cert` and `X.key` are the client certificate and its key.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::sys::files;
use crate::sys::path_error::{OnPath, PathError};

/// What a directory of certificates holds.
#[derive(Debug, Default)]
pub(in crate::fetcher) struct Certificates {
    pub(super) authorities: Vec<CertificateDer<'static>>,
    /// In the order of their names.
    pub(super) identities: Vec<Identity>,
}

/// Who we are. The key does not print.
#[derive(Debug)]
pub(super) struct Identity {
    pub(super) certificates: Vec<CertificateDer<'static>>,
    pub(super) key: PrivateKeyDer<'static>,
}

/// Why certificates cannot be used.
#[derive(Debug, thiserror::Error)]
pub(in crate::fetcher) enum Error {
    #[error("missing key {key} for client certificate {certificate} in {}", .directory.display())]
    MissingKey { key: String, certificate: String, directory: PathBuf },
    #[error("missing client certificate {certificate} for key {key} in {}", .directory.display())]
    MissingCertificate { certificate: String, key: String, directory: PathBuf },
    #[error("{} holds no {} in PEM form", .0.display(), .1)]
    Unusable(PathBuf, &'static str),
    #[error(transparent)]
    Path(#[from] PathError),
}

impl Certificates {
    /// Reads the directory; one that does not exist holds nothing.
    pub(in crate::fetcher) fn read(directory: &Path) -> Result<Self, Error> {
        // The directory may be a link: it is the administrator's.
        let mut names = files::names(&directory.join("."))?;
        names.sort();
        let mut certificates = Certificates::default();
        for name in &names {
            let path = directory.join(name);
            let has = |other: &String| names.contains(other);
            match name.rsplit_once('.') {
                Some((_, "crt")) => certificates.authorities.extend(authorities(&path)?),
                Some((stem, "cert")) => {
                    let key = format!("{stem}.key");
                    if !has(&key) {
                        let (certificate, directory) = (name.clone(), directory.to_owned());
                        return Err(Error::MissingKey { key, certificate, directory });
                    }
                    certificates.identities.push(identity(&path, &directory.join(key))?);
                }
                Some((stem, "key")) if !has(&format!("{stem}.cert")) => {
                    let (key, directory) = (name.clone(), directory.to_owned());
                    return Err(Error::MissingCertificate { certificate: format!("{stem}.cert"), key, directory });
                }
                _ => {}
            }
        }
        Ok(certificates)
    }

    /// How many client certificates there are.
    pub(in crate::fetcher) fn identities(&self) -> usize {
        self.identities.len()
    }
}

fn authorities(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let read = CertificateDer::pem_slice_iter(&read(path)?).collect::<Result<Vec<_>, _>>();
    let authorities = read.unwrap_or_default();
    if authorities.is_empty() { Err(Error::Unusable(path.to_owned(), "certificate")) } else { Ok(authorities) }
}

/// The reason why a pair is unusable is not told: it could quote the key.
fn identity(certificate: &Path, key_file: &Path) -> Result<Identity, Error> {
    let key = PrivateKeyDer::from_pem_slice(&read(key_file)?);
    let key = key.map_err(|_| Error::Unusable(key_file.to_owned(), "private key"))?;
    Ok(Identity { certificates: authorities(certificate)?, key })
}

fn read(path: &Path) -> Result<Vec<u8>, PathError> {
    /// A bundle of all authorities there are takes 200 KiB.
    const LIMIT: u64 = 4 * 1024 * 1024;
    let metadata = fs::metadata(path).on("open", path)?;
    if !metadata.is_file() || metadata.len() > LIMIT {
        return Err(PathError::new("read", path, io::Error::other("not a certificate file")));
    }
    fs::read(path).on("read", path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lone_halves_are_named() {
        let directory = tempfile::tempdir().unwrap();
        let read = || Certificates::read(directory.path()).unwrap_err().to_string();
        fs::write(directory.path().join("a.key"), "").unwrap();
        assert!(read().starts_with("missing client certificate a.cert for key a.key in "), "{}", read());
        fs::rename(directory.path().join("a.key"), directory.path().join("a.cert")).unwrap();
        assert!(read().starts_with("missing key a.key for client certificate a.cert in "), "{}", read());
        fs::write(directory.path().join("a.key"), "").unwrap();
        assert!(read().ends_with("a.key holds no private key in PEM form"), "{}", read());
    }

    #[test]
    fn a_directory_that_is_missing_or_without_certificates_holds_nothing() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("README"), "").unwrap();
        for path in [directory.path(), Path::new("/no/such/directory")] {
            let certificates = Certificates::read(path).unwrap();
            assert!(certificates.authorities.is_empty() && certificates.identities.is_empty());
        }
        fs::write(directory.path().join("ca.crt"), "nothing").unwrap();
        assert!(
            Certificates::read(directory.path())
                .unwrap_err()
                .to_string()
                .ends_with("ca.crt holds no certificate in PEM form")
        );
    }
}
