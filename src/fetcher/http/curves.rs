//! Elliptic curves and digests that *ring* does not have: keys on P-521, and signatures with SHA-512 by keys on the other
//! two curves of NIST. The rest is *ring*'s, which is several times as fast.
//!
//! The alternative that has all of it in one, aws-lc-rs, collects entropy for a tenth of a second when a program starts
//! to use it, which is longer than the rest of a small create.

use std::sync::{Arc, LazyLock};

use p521::ecdsa::signature::Signer as _;
use p521::ecdsa::signature::hazmat::PrehashVerifier;
use p521::elliptic_curve::pkcs8::{DecodePrivateKey, EncodePublicKey};
use p521::elliptic_curve::sec1::ToSec1Point;
use rustls::crypto::{
    ActiveKeyExchange, CryptoProvider, KeyProvider, SharedSecret, SupportedKxGroup, WebPkiSupportedAlgorithms,
};
use rustls::pki_types::{
    AlgorithmIdentifier, InvalidSignature, PrivateKeyDer, SignatureVerificationAlgorithm, SubjectPublicKeyInfoDer,
    alg_id,
};
use rustls::sign::{Signer, SigningKey};
use rustls::{Error, NamedGroup, PeerMisbehaved, SignatureAlgorithm, SignatureScheme};
use sha2::{Digest, Sha256, Sha384, Sha512};

/// Length of a number on P-521.
const P521_BYTES: usize = 66;

/// *ring* with these.
pub(super) fn provider() -> CryptoProvider {
    static ALGORITHMS: LazyLock<WebPkiSupportedAlgorithms> = LazyLock::new(algorithms);
    let mut provider = rustls::crypto::ring::default_provider();
    provider.signature_verification_algorithms = *ALGORITHMS;
    provider.key_provider = &Keys;
    // Last, for it is the slowest. It must be offered: in TLS 1.2 a server may have no certificate on another curve than
    // those that its client can agree upon keys with.
    provider.kx_groups.push(&P521Exchange);
    provider
}

type Verification = &'static dyn SignatureVerificationAlgorithm;

/// Of each scheme, what is tried for it. TLS 1.3 uses the first; in TLS 1.2 a scheme names a digest and not a curve.
const ADDED: [(SignatureScheme, &[Verification]); 3] = [
    (SignatureScheme::ECDSA_NISTP256_SHA256, &[&P521_SHA256]),
    (SignatureScheme::ECDSA_NISTP384_SHA384, &[&P521_SHA384]),
    (SignatureScheme::ECDSA_NISTP521_SHA512, &[&P521_SHA512, &P384_SHA512, &P256_SHA512]),
];

/// Made once, and kept for as long as the program runs.
fn algorithms() -> WebPkiSupportedAlgorithms {
    let of_ring = rustls::crypto::ring::default_provider().signature_verification_algorithms;
    let added = ADDED.iter().flat_map(|(_, added)| added.iter().copied());
    let all: Vec<Verification> = of_ring.all.iter().copied().chain(added).collect();
    let mut mapping: Vec<(SignatureScheme, Vec<Verification>)> =
        of_ring.mapping.iter().map(|(scheme, tried)| (*scheme, tried.to_vec())).collect();
    for (scheme, added) in ADDED {
        match mapping.iter_mut().find(|(known, _)| *known == scheme) {
            Some((_, tried)) => tried.extend(added),
            None => mapping.push((scheme, added.to_vec())),
        }
    }
    let mapping: Vec<(SignatureScheme, &'static [Verification])> =
        mapping.into_iter().map(|(scheme, tried)| (scheme, &*tried.leak())).collect();
    WebPkiSupportedAlgorithms { all: all.leak(), mapping: mapping.leak() }
}

/// Verifies, in this order, with a public key, a digest and a signature; `None` is a wrong signature.
type Verify = fn(&[u8], &[u8], &[u8]) -> Option<()>;

/// Signatures by keys on one curve, with one digest.
#[derive(Debug)]
struct Ecdsa {
    curve: AlgorithmIdentifier,
    signature: AlgorithmIdentifier,
    digest: fn(&[u8]) -> Vec<u8>,
    /// Whether a key has made this signature of a digest.
    is_right: Verify,
}

static P521_SHA256: Ecdsa =
    Ecdsa { curve: alg_id::ECDSA_P521, signature: alg_id::ECDSA_SHA256, digest: hash::<Sha256>, is_right: by_p521 };
static P521_SHA384: Ecdsa =
    Ecdsa { curve: alg_id::ECDSA_P521, signature: alg_id::ECDSA_SHA384, digest: hash::<Sha384>, is_right: by_p521 };
static P521_SHA512: Ecdsa =
    Ecdsa { curve: alg_id::ECDSA_P521, signature: alg_id::ECDSA_SHA512, digest: hash::<Sha512>, is_right: by_p521 };
static P384_SHA512: Ecdsa =
    Ecdsa { curve: alg_id::ECDSA_P384, signature: alg_id::ECDSA_SHA512, digest: hash::<Sha512>, is_right: by_p384 };
static P256_SHA512: Ecdsa =
    Ecdsa { curve: alg_id::ECDSA_P256, signature: alg_id::ECDSA_SHA512, digest: hash::<Sha512>, is_right: by_p256 };

impl SignatureVerificationAlgorithm for Ecdsa {
    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        self.curve
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        self.signature
    }

    fn verify_signature(&self, key: &[u8], message: &[u8], signature: &[u8]) -> Result<(), InvalidSignature> {
        (self.is_right)(key, &(self.digest)(message), signature).ok_or(InvalidSignature)
    }
}

fn hash<D: Digest>(message: &[u8]) -> Vec<u8> {
    D::digest(message).to_vec()
}

/// The library takes no digest that is shorter than half of the curve's numbers; zeros before it change nothing.
fn by_p521(key: &[u8], digest: &[u8], signature: &[u8]) -> Option<()> {
    let mut padded = vec![0; P521_BYTES.saturating_sub(digest.len())];
    padded.extend_from_slice(digest);
    let key = p521::ecdsa::VerifyingKey::from_sec1_bytes(key).ok()?;
    key.verify_prehash(&padded, &p521::ecdsa::Signature::from_der(signature).ok()?).ok()
}

fn by_p384(key: &[u8], digest: &[u8], signature: &[u8]) -> Option<()> {
    let key = p384::ecdsa::VerifyingKey::from_sec1_bytes(key).ok()?;
    key.verify_prehash(digest, &p384::ecdsa::Signature::from_der(signature).ok()?).ok()
}

fn by_p256(key: &[u8], digest: &[u8], signature: &[u8]) -> Option<()> {
    let key = p256::ecdsa::VerifyingKey::from_sec1_bytes(key).ok()?;
    key.verify_prehash(digest, &p256::ecdsa::Signature::from_der(signature).ok()?).ok()
}

/// Agrees upon keys by P-521 (RFC 8446, 7.4.2).
#[derive(Debug)]
struct P521Exchange;

impl SupportedKxGroup for P521Exchange {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
        let secret = random_key()?;
        let public = secret.public_key().to_sec1_point(false).as_bytes().to_vec();
        Ok(Box::new(P521Agreement { secret, public }))
    }

    fn name(&self) -> NamedGroup {
        NamedGroup::secp521r1
    }
}

/// Random numbers of 521 bits, until one is a key: nearly every one is.
fn random_key() -> Result<p521::SecretKey, Error> {
    let random = rustls::crypto::ring::default_provider().secure_random;
    loop {
        let mut bytes = [0; P521_BYTES];
        random.fill(&mut bytes)?;
        bytes[0] &= 1;
        if let Ok(key) = p521::SecretKey::from_slice(&bytes) {
            return Ok(key);
        }
    }
}

/// One side of an agreement.
struct P521Agreement {
    secret: p521::SecretKey,
    public: Vec<u8>,
}

impl ActiveKeyExchange for P521Agreement {
    fn complete(self: Box<Self>, peer: &[u8]) -> Result<SharedSecret, Error> {
        let peer = p521::PublicKey::from_sec1_bytes(peer);
        let peer = peer.map_err(|_| Error::from(PeerMisbehaved::InvalidKeyShare))?;
        let shared = p521::ecdh::diffie_hellman(self.secret.to_nonzero_scalar(), peer.as_affine());
        Ok(SharedSecret::from(shared.raw_secret_bytes().as_slice()))
    }

    fn pub_key(&self) -> &[u8] {
        &self.public
    }

    fn group(&self) -> NamedGroup {
        NamedGroup::secp521r1
    }
}

/// Reads private keys: those that *ring* reads, and those on P-521.
#[derive(Debug)]
struct Keys;

impl KeyProvider for Keys {
    fn load_private_key(&self, der: PrivateKeyDer<'static>) -> Result<Arc<dyn SigningKey>, Error> {
        match p521_key(&der) {
            Some(key) => Ok(Arc::new(key)),
            None => rustls::crypto::ring::default_provider().key_provider.load_private_key(der),
        }
    }
}

fn p521_key(der: &PrivateKeyDer<'_>) -> Option<P521Key> {
    let key = match der {
        PrivateKeyDer::Pkcs8(der) => p521::SecretKey::from_pkcs8_der(der.secret_pkcs8_der()).ok()?,
        PrivateKeyDer::Sec1(der) => p521::SecretKey::from_sec1_der(der.secret_sec1_der()).ok()?,
        _ => return None,
    };
    let public = key.public_key().to_public_key_der().ok()?.into_vec();
    Some(P521Key { key: p521::ecdsa::SigningKey::from(&key), public })
}

/// A client's key on P-521. Does not print.
#[derive(Clone)]
struct P521Key {
    key: p521::ecdsa::SigningKey,
    public: Vec<u8>,
}

impl std::fmt::Debug for P521Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[redacted]")
    }
}

impl SigningKey for P521Key {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        offered.contains(&self.scheme()).then(|| Box::new(self.clone()) as Box<dyn Signer>)
    }

    fn public_key(&self) -> Option<SubjectPublicKeyInfoDer<'_>> {
        Some(self.public.as_slice().into())
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ECDSA
    }
}

impl Signer for P521Key {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        let signature: p521::ecdsa::DerSignature =
            self.key.try_sign(message).map_err(|error| Error::General(error.to_string()))?;
        Ok(signature.as_bytes().to_vec())
    }

    fn scheme(&self) -> SignatureScheme {
        SignatureScheme::ECDSA_NISTP521_SHA512
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keys and signatures that openssl made: public keys as points, and signatures of `message`.
    const CASES: &str = include_str!("curves-test-vectors.txt");

    fn unhex(text: &str) -> Vec<u8> {
        (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
    }

    #[test]
    fn signatures_of_openssl_are_right_and_others_are_not() {
        let mut count = 0;
        for line in CASES.lines().filter(|line| !line.starts_with('#')) {
            let [name, key, signature] = line.split(' ').collect::<Vec<_>>().try_into().unwrap();
            let algorithm = match name {
                "P521_SHA256" => &P521_SHA256,
                "P521_SHA384" => &P521_SHA384,
                "P521_SHA512" => &P521_SHA512,
                "P384_SHA512" => &P384_SHA512,
                "P256_SHA512" => &P256_SHA512,
                other => panic!("{other}"),
            };
            let (key, signature) = (unhex(key), unhex(signature));
            assert!(algorithm.verify_signature(&key, b"message", &signature).is_ok(), "{name}");
            assert!(algorithm.verify_signature(&key, b"massage", &signature).is_err(), "{name}");
            for at in (0..signature.len()).step_by(16) {
                let mut wrong = signature.clone();
                wrong[at] ^= 1;
                assert!(algorithm.verify_signature(&key, b"message", &wrong).is_err(), "{name} {at}");
            }
            assert!(algorithm.verify_signature(&key, b"message", &[]).is_err());
            assert!(algorithm.verify_signature(&[4; 3], b"message", &signature).is_err());
            count += 1;
        }
        assert_eq!(count, 5);
    }

    #[test]
    fn both_sides_agree() {
        let (one, other) = (P521Exchange.start().unwrap(), P521Exchange.start().unwrap());
        let (of_one, of_other) = (one.pub_key().to_vec(), other.pub_key().to_vec());
        let shared = one.complete(&of_other).unwrap();
        assert_eq!(shared.secret_bytes(), other.complete(&of_one).unwrap().secret_bytes());
        assert_eq!(shared.secret_bytes().len(), P521_BYTES);
        let mut wrong = of_one;
        wrong[50] ^= 1;
        assert!(P521Exchange.start().unwrap().complete(&wrong).is_err());
    }

    #[test]
    fn every_scheme_of_ring_is_still_there() {
        let (ours, of_ring) = (provider(), rustls::crypto::ring::default_provider());
        let schemes = ours.signature_verification_algorithms.supported_schemes();
        for scheme in of_ring.signature_verification_algorithms.supported_schemes() {
            assert!(schemes.contains(&scheme), "{scheme:?}");
        }
        assert!(schemes.contains(&SignatureScheme::ECDSA_NISTP521_SHA512));
    }
}
