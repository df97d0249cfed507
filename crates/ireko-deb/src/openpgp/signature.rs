//! Signatures (RFC 9580, section 5.2): what they say, and the bytes that they sign.

use super::packet::{Broken, PUBLIC_KEY, Packet, Partial, Reader, SIGNATURE, packets};

/// Types of signatures (section 5.2.1).
pub(crate) const BINARY: u8 = 0x00;
pub(crate) const TEXT: u8 = 0x01;
pub(crate) const CERTIFICATIONS: std::ops::RangeInclusive<u8> = 0x10..=0x13;
pub(crate) const SUBKEY_BINDING: u8 = 0x18;
pub(crate) const PRIMARY_BINDING: u8 = 0x19;
pub(crate) const DIRECT_KEY: u8 = 0x1f;
pub(crate) const KEY_REVOCATION: u8 = 0x20;
pub(crate) const SUBKEY_REVOCATION: u8 = 0x28;
pub(crate) const CERTIFICATION_REVOCATION: u8 = 0x30;

/// The flag of a key that may sign data (section 5.2.3.29).
const MAY_SIGN: u8 = 0x02;

/// How the content is hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hash {
    Sha256,
    Sha384,
    Sha512,
    /// Only believed where it revokes.
    Sha1,
    /// Another one, by its number (section 9.5).
    Other(u8),
}

impl Hash {
    fn of(number: u8) -> Self {
        match number {
            2 => Self::Sha1,
            8 => Self::Sha256,
            9 => Self::Sha384,
            10 => Self::Sha512,
            other => Self::Other(other),
        }
    }

    /// How many bytes of salt a signature of version 6 has.
    fn salt(self) -> Option<usize> {
        match self {
            Self::Sha256 => Some(16),
            Self::Sha384 => Some(24),
            Self::Sha512 => Some(32),
            Self::Sha1 | Self::Other(_) => None,
        }
    }

    /// Its usual name.
    pub(crate) fn name(self) -> String {
        match self {
            Self::Sha1 => "SHA-1".to_owned(),
            Self::Sha256 => "SHA-256".to_owned(),
            Self::Sha384 => "SHA-384".to_owned(),
            Self::Sha512 => "SHA-512".to_owned(),
            Self::Other(1) => "MD5".to_owned(),
            Self::Other(3) => "RIPEMD-160".to_owned(),
            Self::Other(11) => "SHA-224".to_owned(),
            Self::Other(number) => format!("hash {number}"),
        }
    }
}

/// A signature of version 4 or 6.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Signature {
    pub(crate) version: u8,
    pub(crate) kind: u8,
    pub(crate) algorithm: u8,
    pub(crate) hash: Hash,
    pub(crate) material: Vec<u8>,
    /// From its version to the end of what is hashed of it.
    head: Vec<u8>,
    salt: Vec<u8>,
    /// When it was made, in seconds since 1970.
    pub(crate) created: u64,
    /// When it ends to hold.
    pub(crate) expires: Option<u64>,
    /// How many seconds after it was made the key that it is about expires.
    pub(crate) key_lifetime: Option<u64>,
    flags: Option<u8>,
    /// Who may revoke the key beside itself: the last bytes of fingerprints.
    pub(crate) revokers: Vec<[u8; 8]>,
    /// Whose it says it is. Not all of it is hashed, so it is a hint.
    pub(crate) issuer: Option<[u8; 8]>,
    pub(crate) issuer_fingerprint: Option<Vec<u8>>,
    /// The signature by which a subkey agrees to be one.
    pub(crate) back: Option<Box<Signature>>,
    /// It holds something that must be understood and is not.
    pub(crate) is_strange: bool,
}

impl Signature {
    /// Reads the body of a packet; nothing where its version is one that is passed over.
    pub(crate) fn parse(body: &[u8]) -> Result<Option<Self>, Broken> {
        Self::parse_at(body, 0)
    }

    fn parse_at(body: &[u8], depth: usize) -> Result<Option<Self>, Broken> {
        let mut reader = Reader(body);
        let version = reader.byte()?;
        let width = match version {
            4 => 2,
            6 => 4,
            _ => return Ok(None),
        };
        let (kind, algorithm) = (reader.byte()?, reader.byte()?);
        let hash = Hash::of(reader.byte()?);
        let hashed = reader.counted(width)?;
        let head = body[..4 + width + hashed.len()].to_vec();
        let unhashed = reader.counted(width)?;
        reader.take(2)?;
        let salt = if version == 6 { reader.counted(1)?.to_vec() } else { Vec::new() };
        let (created, expires, is_strange) = (0, None, version == 6 && hash.salt() != Some(salt.len()));
        let mut signature = Self {
            version,
            kind,
            algorithm,
            hash,
            material: reader.0.to_vec(),
            head,
            salt,
            created,
            expires,
            key_lifetime: None,
            flags: None,
            revokers: Vec::new(),
            issuer: None,
            issuer_fingerprint: None,
            back: None,
            is_strange,
        };
        let mut dated = false;
        for subpacket in subpackets(hashed)? {
            dated |= subpacket.kind == 2;
            signature.hear(&subpacket, depth)?;
        }
        for subpacket in subpackets(unhashed)?.iter().filter(|one| matches!(one.kind, 16 | 32 | 33)) {
            // What nobody signed is heard only where it proves itself, or is a hint.
            signature.hear(subpacket, depth)?;
        }
        // Section 5.2.3.11: the date must be there, and hashed.
        signature.is_strange |= !dated;
        signature.expires = signature.expires.map(|after| signature.created + after);
        Ok(Some(signature))
    }

    /// Takes what a subpacket says (section 5.2.3.7).
    fn hear(&mut self, subpacket: &Subpacket<'_>, depth: usize) -> Result<(), Broken> {
        let mut body = Reader(subpacket.body);
        match subpacket.kind {
            2 => self.created = u64::from(body.number(4)?),
            // Zero is never.
            3 => self.expires = Some(u64::from(body.number(4)?)).filter(|after| *after > 0),
            9 => self.key_lifetime = Some(u64::from(body.number(4)?)).filter(|after| *after > 0),
            12 => self.revokers.extend(body.take(22)?.last_chunk::<8>()),
            16 => self.issuer = self.issuer.or(body.take(8)?.first_chunk().copied()),
            27 => self.flags = Some(body.byte().unwrap_or(0)),
            32 if depth == 0 && self.back.is_none() => {
                self.back = Self::parse_at(subpacket.body, depth + 1)?.map(Box::new);
            }
            33 => {
                body.byte()?;
                self.issuer_fingerprint = self.issuer_fingerprint.take().or(Some(body.0.to_vec()));
            }
            4..=7 | 11 | 21..=26 | 28..=32 | 34 | 39 => {}
            _ => self.is_strange |= subpacket.is_critical,
        }
        Ok(())
    }

    /// Whether it lets the key it is about sign data; where nothing is said, everything may.
    pub(crate) fn lets_sign(&self) -> bool {
        self.flags.is_none_or(|flags| flags & MAY_SIGN != 0)
    }

    /// Whether it has ended to hold.
    pub(crate) fn is_over(&self, at: u64) -> bool {
        self.expires.is_some_and(|end| end <= at)
    }

    /// Whether it says that this key made it; where it says nothing, it may be any.
    pub(crate) fn may_be_of(&self, fingerprint: &[u8], id: [u8; 8]) -> bool {
        match &self.issuer_fingerprint {
            Some(issuer) => issuer == fingerprint,
            None => self.issuer.is_none_or(|issuer| issuer == id),
        }
    }

    /// Whose it says it is, to be shown.
    pub(crate) fn named(&self) -> String {
        match (&self.issuer_fingerprint, &self.issuer) {
            (Some(fingerprint), _) => hex(fingerprint),
            (None, Some(id)) => hex(id),
            (None, None) => "unknown".to_owned(),
        }
    }

    /// The bytes that are hashed for it, where this is what it signs (section 5.2.4).
    pub(crate) fn message(&self, content: &[&[u8]]) -> Vec<u8> {
        let length: usize = content.iter().map(|part| part.len()).sum();
        let mut message = Vec::with_capacity(length + self.head.len() + 40);
        message.extend_from_slice(&self.salt);
        content.iter().for_each(|part| message.extend_from_slice(part));
        message.extend_from_slice(&self.head);
        message.extend_from_slice(&[self.version, 0xff]);
        message.extend_from_slice(&u32::try_from(self.head.len()).unwrap_or(u32::MAX).to_be_bytes());
        message
    }
}

/// The signatures of a block, those of unknown versions passed over; other packets do not belong there.
pub(crate) fn signatures(bytes: &[u8]) -> Result<Vec<Signature>, Broken> {
    let mut found = Vec::new();
    for packet in packets(bytes) {
        match packet? {
            Packet { tag: SIGNATURE, body } => found.extend(Signature::parse(body)?),
            Packet { tag: PUBLIC_KEY, .. } => return Err(Broken("it holds a key instead of a signature")),
            _ => {}
        }
    }
    Ok(found)
}

struct Subpacket<'a> {
    kind: u8,
    is_critical: bool,
    body: &'a [u8],
}

fn subpackets(area: &[u8]) -> Result<Vec<Subpacket<'_>>, Broken> {
    let (mut reader, mut found) = (Reader(area), Vec::new());
    while !reader.0.is_empty() {
        let length = reader.length(Partial::Unknown)?;
        let (kind, body) = reader.take(length)?.split_first().ok_or(Broken("a subpacket is empty"))?;
        found.push(Subpacket { kind: kind & 0x7f, is_critical: kind & 0x80 != 0, body });
    }
    Ok(found)
}

/// Bytes as they are written in fingerprints.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}
