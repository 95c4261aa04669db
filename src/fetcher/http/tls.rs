//! Whom to believe who they are: the system's authorities, those of a directory, and certificates that are themselves
//! among them.
//!
//! The last is what a registry with a certificate signed by itself comes to: its one certificate is put where
//! authorities belong. OpenSSL marks such a certificate as an authority's own, which the library takes for no reason to
//! let it speak for a server, other than the TLS libraries that the registry's other clients use.

use std::fmt;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_name;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, InconsistentKeys, InvalidMessage, OtherError,
    RootCertStore, SignatureScheme,
};
use x509_cert::der::Decode;

use super::certificates::{Certificates, Identity};
use super::failure::Reason;

/// How to speak TLS to servers that are verified. Reads the system's authorities, which takes milliseconds.
pub(super) fn config(certificates: Certificates, identity: usize) -> Result<ClientConfig, Reason> {
    let Certificates { authorities, mut identities } = certificates;
    let provider = Arc::new(super::curves::provider());
    let verifier = Arc::new(Verifier::new(authorities, &provider)?);
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| Reason::Setup(error.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let mut config = if identity < identities.len() {
        let certified = certified(identities.swap_remove(identity), &provider)
            .map_err(|error| Reason::Setup(format!("a client certificate and its key: {error}")))?;
        config.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(certified)))
    } else {
        config.with_no_client_auth()
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// A certificate with its key. Whether the rest of the certificate is as it should be is for the server to say: some are
/// of a version that the library does not read.
fn certified(identity: Identity, provider: &CryptoProvider) -> Result<CertifiedKey, Error> {
    let certified = CertifiedKey::new(identity.certificates, provider.key_provider.load_private_key(identity.key)?);
    match certified.keys_match() {
        Err(mismatch @ Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => Err(mismatch),
        _ => Ok(certified),
    }
}

/// The library's verifier, and the one exception to it.
#[derive(Debug)]
struct Verifier {
    inner: Arc<WebPkiServerVerifier>,
    trusted: Vec<CertificateDer<'static>>,
}

impl Verifier {
    fn new(authorities: Vec<CertificateDer<'static>>, provider: &Arc<CryptoProvider>) -> Result<Self, Reason> {
        let mut roots = RootCertStore::empty();
        for authority in &authorities {
            roots.add(authority.clone()).map_err(|error| Reason::Setup(format!("a certificate: {error}")))?;
        }
        // Some systems have authorities that cannot be read, which is nobody's concern here.
        let mut trusted = rustls_native_certs::load_native_certs().certs;
        roots.add_parsable_certificates(trusted.iter().cloned());
        if roots.is_empty() {
            return Err(Reason::Setup(
                "there are no root certificates: install ca-certificates, or see to what SSL_CERT_FILE names"
                    .to_owned(),
            ));
        }
        trusted.extend(authorities);
        let inner = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider)).build();
        let inner = inner.map_err(|error| Reason::Setup(error.to_string()))?;
        Ok(Verifier { inner, trusted })
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match self.inner.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            // Its time has been checked before, and that it is trusted needs no signature.
            Err(error) if is_only_marked_as_authority(&error) && self.trusted.contains(end_entity) => {
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
                Ok(ServerCertVerified::assertion())
            }
            Err(error) if is_only_marked_as_authority(&error) => Err(unknown_authority(end_entity)),
            Err(Error::InvalidCertificate(CertificateError::UnknownIssuer)) => Err(unknown_authority(end_entity)),
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// The library does not say whose signature it is that nobody vouches for.
#[derive(Debug)]
pub(super) struct UnknownAuthority {
    issuer: String,
    is_own: bool,
}

impl fmt::Display for UnknownAuthority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let UnknownAuthority { issuer, is_own } = self;
        match is_own {
            true => write!(f, "invalid peer certificate: `{issuer}` has signed it itself, and is not trusted"),
            false => write!(f, "invalid peer certificate: it is signed by an unknown authority, `{issuer}`"),
        }
    }
}

impl std::error::Error for UnknownAuthority {}

fn unknown_authority(certificate: &CertificateDer<'_>) -> Error {
    let Ok(certificate) = x509_cert::Certificate::from_der(certificate) else {
        return Error::InvalidCertificate(CertificateError::UnknownIssuer);
    };
    let certificate = certificate.tbs_certificate();
    let issuer = certificate.issuer().to_string();
    let unknown = UnknownAuthority { is_own: *certificate.issuer() == *certificate.subject(), issuer };
    Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(unknown))))
}

/// What there is to be told of an error.
pub(super) fn describe(error: &Error) -> Reason {
    let unknown = match error {
        Error::InvalidCertificate(CertificateError::Other(other)) => other.0.downcast_ref::<UnknownAuthority>(),
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
            return Reason::Tls("the server does not speak TLS".to_owned());
        }
        Error::InvalidCertificate(CertificateError::BadSignature) => {
            return Reason::Tls(format!("{error}: its key is another one, or an RSA key of fewer than 2048 bits"));
        }
        _ => None,
    };
    unknown.map_or_else(|| Reason::Tls(error.to_string()), |unknown| Reason::Untrusted(unknown.to_string()))
}

/// What a server has refused the connection for; it would again. Of accidents on the way there are other alerts.
pub(super) fn missing_in_common(error: &Error) -> Option<&'static str> {
    use rustls::AlertDescription::{CertificateRequired, HandshakeFailure, InsufficientSecurity, ProtocolVersion};
    match error {
        Error::AlertReceived(ProtocolVersion) => Some("the server does not speak TLS 1.2 or 1.3"),
        Error::AlertReceived(HandshakeFailure | InsufficientSecurity) => Some(
            "the server refused it. Supported are cipher suites with ECDHE and AES-GCM or ChaCha20-Poly1305, on X25519 and \
             the curves P-256, P-384 and P-521, and certificates with keys of RSA, Ed25519 or these curves. Not \
             supported are RSA and DHE key exchange, CBC and CCM suites, and keys of DSA, RSA-PSS, Ed448, secp256k1 and \
             Brainpool",
        ),
        Error::AlertReceived(CertificateRequired) => {
            Some("the server requires a client certificate: put NAME.cert and NAME.key into its directory of certs.d")
        }
        _ => None,
    }
}

fn is_only_marked_as_authority(error: &Error) -> bool {
    let Error::InvalidCertificate(CertificateError::Other(error)) = error else { return false };
    matches!(error.0.downcast_ref::<webpki::Error>(), Some(webpki::Error::CaUsedAsEndEntity))
}
