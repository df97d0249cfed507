//! Public keys (RFC 9580, section 5.5), and whether one made a signature.

use ring::digest::{self, digest};
use ring::signature as crypto;

use super::packet::{Broken, Reader};
use super::signature::{Hash, Signature};

/// `1.3.6.1.4.1.11591.15.1`, by which keys of algorithm 22 name Ed25519.
const ED25519: &[u8] = &[0x2b, 0x06, 0x01, 0x04, 0x01, 0xda, 0x47, 0x0f, 0x01];
/// Shorter RSA keys are broken, longer ones only cost time.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// A primary key or a subkey, of version 4 or 6.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    version: u8,
    body: Vec<u8>,
    /// When it was made, in seconds since 1970.
    pub(crate) created: u64,
    material: Material,
    pub(crate) fingerprint: Vec<u8>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Material {
    Rsa { modulus: Vec<u8>, exponent: Vec<u8> },
    Ed25519(Vec<u8>),
    Other,
}

/// Why a signature is not this key's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// It is not, or the content is another.
    Wrong,
    /// Its hash is not believed any more.
    Weak(String),
    /// It cannot be looked into.
    Unsupported(&'static str),
}

/// Which hashes count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Strength {
    /// Those that nobody can forge.
    Strong,
    /// SHA-1 too: what takes trust away is believed sooner than what gives it.
    Any,
}

impl Key {
    /// Reads the body of a packet; nothing where its version is one that is passed over.
    pub(crate) fn parse(body: &[u8]) -> Result<Option<Self>, Broken> {
        let mut reader = Reader(body);
        let version = reader.byte()?;
        if !matches!(version, 4 | 6) {
            return Ok(None);
        }
        let created = u64::from(reader.number(4)?);
        let algorithm = reader.byte()?;
        if version == 6 {
            reader = Reader(reader.counted(4)?);
        }
        let material = match algorithm {
            1 | 3 => {
                let (modulus, exponent) = (reader.mpi()?.to_vec(), reader.mpi()?.to_vec());
                Material::Rsa { modulus, exponent }
            }
            22 if version == 4 => {
                let curve = reader.counted(1)?;
                match reader.mpi()? {
                    [0x40, point @ ..] if curve == ED25519 => Material::Ed25519(point.to_vec()),
                    _ => Material::Other,
                }
            }
            27 => Material::Ed25519(reader.take(32)?.to_vec()),
            _ => Material::Other,
        };
        let mut key = Self { version, body: body.to_vec(), created, material, fingerprint: Vec::new() };
        let how = if version == 4 { &digest::SHA1_FOR_LEGACY_USE_ONLY } else { &digest::SHA256 };
        key.fingerprint = digest(how, &key.hashed()).as_ref().to_vec();
        Ok(Some(key))
    }

    /// The part of the fingerprint that signatures may name it by (section 5.5.4).
    pub(crate) fn id(&self) -> [u8; 8] {
        let id =
            if self.version == 4 { self.fingerprint.last_chunk() } else { self.fingerprint.first_chunk() };
        id.copied().unwrap_or_default()
    }

    /// The bytes by which signatures are about it.
    pub(crate) fn hashed(&self) -> Vec<u8> {
        let length = self.body.len();
        let mut bytes = match (self.version, u16::try_from(length), u32::try_from(length)) {
            (4, Ok(length), _) => [&[0x99][..], &length.to_be_bytes()].concat(),
            (_, _, Ok(length)) => [&[0x9b][..], &length.to_be_bytes()].concat(),
            // No slice is that long here: a packet's length has four bytes.
            _ => vec![0x9b, 0xff, 0xff, 0xff, 0xff],
        };
        bytes.extend_from_slice(&self.body);
        bytes
    }

    /// Whether a signature says that this key made it.
    pub(crate) fn may_have_made(&self, signature: &Signature) -> bool {
        signature.may_be_of(&self.fingerprint, self.id())
    }

    /// Whether this key made the signature, and for this content. Nothing is said about times.
    pub(crate) fn verify(
        &self,
        signature: &Signature,
        content: &[&[u8]],
        strength: Strength,
    ) -> Result<(), Flaw> {
        if signature.is_strange {
            return Err(Flaw::Unsupported("it holds something that must be understood and is not"));
        }
        if signature.version != self.version {
            return Err(Flaw::Wrong);
        }
        let is_known = match signature.hash {
            Hash::Sha256 | Hash::Sha384 | Hash::Sha512 => true,
            Hash::Sha1 => strength == Strength::Any,
            Hash::Other(_) => false,
        };
        if !is_known {
            return Err(Flaw::Weak(signature.hash.name()));
        }
        let message = signature.message(content);
        match &self.material {
            Material::Rsa { modulus, exponent } if matches!(signature.algorithm, 1 | 3) => {
                rsa(modulus, exponent, signature, &message)
            }
            Material::Ed25519(point) if matches!(signature.algorithm, 22 | 27) => {
                ed25519(point, signature, &message)
            }
            Material::Other => Err(Flaw::Unsupported("its key is neither RSA nor Ed25519")),
            _ => Err(Flaw::Wrong),
        }
    }
}

fn rsa(modulus: &[u8], exponent: &[u8], signature: &Signature, message: &[u8]) -> Result<(), Flaw> {
    let bits = modulus.len() * 8 - modulus.first().map_or(0, |byte| byte.leading_zeros() as usize);
    if !RSA_BITS.contains(&bits) {
        return Err(Flaw::Unsupported("its RSA key has not between 2048 and 8192 bits"));
    }
    let how = match signature.hash {
        Hash::Sha256 => &crypto::RSA_PKCS1_2048_8192_SHA256,
        Hash::Sha384 => &crypto::RSA_PKCS1_2048_8192_SHA384,
        Hash::Sha512 => &crypto::RSA_PKCS1_2048_8192_SHA512,
        Hash::Sha1 => &crypto::RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY,
        Hash::Other(_) => return Err(Flaw::Weak(signature.hash.name())),
    };
    let number = Reader(&signature.material).mpi().map_err(|_| Flaw::Wrong)?;
    let number = padded(number, modulus.len()).ok_or(Flaw::Wrong)?;
    let key = crypto::RsaPublicKeyComponents { n: modulus, e: exponent };
    key.verify(how, message, &number).map_err(|_| Flaw::Wrong)
}

fn ed25519(point: &[u8], signature: &Signature, message: &[u8]) -> Result<(), Flaw> {
    let how = match signature.hash {
        Hash::Sha256 => &digest::SHA256,
        Hash::Sha384 => &digest::SHA384,
        Hash::Sha512 => &digest::SHA512,
        Hash::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
        Hash::Other(_) => return Err(Flaw::Weak(signature.hash.name())),
    };
    let bytes = if signature.algorithm == 27 {
        signature.material.clone()
    } else {
        let mut reader = Reader(&signature.material);
        let mut half = || padded(reader.mpi().ok()?, 32);
        [half().ok_or(Flaw::Wrong)?, half().ok_or(Flaw::Wrong)?].concat()
    };
    let key = crypto::UnparsedPublicKey::new(&crypto::ED25519, point);
    // What is signed is the hash: OpenPGP hashes first, Ed25519 then once more.
    key.verify(digest(how, message).as_ref(), &bytes).map_err(|_| Flaw::Wrong)
}

/// A number with zeros before it, so that it has this length; nothing where it is longer.
fn padded(number: &[u8], length: usize) -> Option<Vec<u8>> {
    let zeros = length.checked_sub(number.len())?;
    Some([&vec![0; zeros][..], number].concat())
}
