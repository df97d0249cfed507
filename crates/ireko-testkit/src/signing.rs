//! OpenPGP keys and signatures as archives have them, made in tests: wrong ones too, which gpg would not make.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use ring::signature::{Ed25519KeyPair, KeyPair};

/// A time that tests take for now: 1 January 2025.
pub const NOW: u64 = 1_735_689_600;
/// When keys of tests are made.
pub const BORN: u32 = 1_600_000_000;

/// An Ed25519 key of version 4.
pub struct TestKey {
    pair: Ed25519KeyPair,
    created: u32,
}

/// What a signature says, its content aside.
#[derive(Clone)]
pub struct Says {
    /// The type of the signature.
    pub kind: u8,
    /// When it was made; nothing is said for 0.
    pub created: u32,
    /// Subpackets behind the date and the issuer.
    pub hashed: Vec<u8>,
    /// Subpackets that are not signed.
    pub unhashed: Vec<u8>,
}

impl Says {
    /// A signature of this type.
    pub fn new(kind: u8) -> Self {
        Self { kind, created: BORN + 1000, hashed: Vec::new(), unhashed: Vec::new() }
    }

    /// The same, made at a time.
    pub fn at(mut self, created: u64) -> Self {
        self.created = u32::try_from(created).unwrap();
        self
    }

    /// The same with a subpacket.
    pub fn with(mut self, kind: u8, body: &[u8]) -> Self {
        self.hashed.extend(subpacket(kind, body));
        self
    }
}

/// A subpacket of a signature.
pub fn subpacket(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 1).unwrap().to_be_bytes();
    [&[0xff][..], &length, &[kind], body].concat()
}

/// A packet.
pub fn packet(tag: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap().to_be_bytes();
    [&[0xc0 | tag, 0xff][..], &length, body].concat()
}

/// Bytes in armour.
pub fn armored(kind: &str, bytes: &[u8]) -> String {
    format!("-----BEGIN {kind}-----\n\n{}\n-----END {kind}-----\n", STANDARD.encode(bytes))
}

impl TestKey {
    /// The key of a number.
    pub fn new(seed: u8) -> Self {
        Self { pair: Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap(), created: BORN }
    }

    /// The body of its packet.
    pub fn body(&self) -> Vec<u8> {
        let curve = [9, 0x2b, 0x06, 0x01, 0x04, 0x01, 0xda, 0x47, 0x0f, 0x01];
        let point = self.pair.public_key().as_ref();
        [&[4][..], &self.created.to_be_bytes(), &[22], &curve, &[0x01, 0x07, 0x40], point].concat()
    }

    /// As signatures are about it.
    pub fn hashed(&self) -> Vec<u8> {
        let body = self.body();
        [&[0x99][..], &u16::try_from(body.len()).unwrap().to_be_bytes(), &body].concat()
    }

    /// Its fingerprint.
    pub fn fingerprint(&self) -> Vec<u8> {
        digest(&SHA1_FOR_LEGACY_USE_ONLY, &self.hashed()).as_ref().to_vec()
    }

    /// The body of a signature packet.
    pub fn sign(&self, says: &Says, content: &[u8]) -> Vec<u8> {
        let issuer = [&[4][..], &self.fingerprint()].concat();
        let date = if says.created == 0 { Vec::new() } else { subpacket(2, &says.created.to_be_bytes()) };
        let hashed = [date, subpacket(33, &issuer), says.hashed.clone()].concat();
        let length = u16::try_from(hashed.len()).unwrap().to_be_bytes();
        let head = [&[4, says.kind, 22, 8][..], &length, &hashed].concat();
        let tail = [&[4, 0xff][..], &u32::try_from(head.len()).unwrap().to_be_bytes()].concat();
        let hash = digest(&SHA256, &[content, &head, &tail].concat());
        let signature = self.pair.sign(hash.as_ref());
        let unhashed = u16::try_from(says.unhashed.len()).unwrap().to_be_bytes();
        let (r, s) = signature.as_ref().split_at(32);
        let mpis = [mpi(r), mpi(s)].concat();
        [&head[..], &unhashed, &says.unhashed, &hash.as_ref()[..2], &mpis].concat()
    }

    /// The key with a name, and what it says about it.
    pub fn certificate(&self, says: &Says) -> Vec<u8> {
        let name = b"test";
        let about = [&self.hashed()[..], &[0xb4, 0, 0, 0, 4], name].concat();
        [packet(6, &self.body()), packet(13, name), packet(2, &self.sign(says, &about))].concat()
    }

    /// The key as it usually is.
    pub fn usual(&self) -> Vec<u8> {
        self.certificate(&Says::new(0x13).with(27, &[0x03]))
    }

    /// A text with this key's signature.
    pub fn clear_sign(&self, text: &str, says: &Says) -> String {
        clear_signed(text, &packet(2, &self.sign(says, hashed_text(text).as_bytes())))
    }
}

/// A text as a signature of it sees it.
pub fn hashed_text(text: &str) -> String {
    let lines: Vec<&str> = text.strip_suffix('\n').unwrap_or(text).split('\n').map(str::trim_end).collect();
    lines.join("\r\n")
}

/// A text with these packets as its signature.
pub fn clear_signed(text: &str, signatures: &[u8]) -> String {
    let escaped: Vec<String> = text
        .strip_suffix('\n')
        .unwrap_or(text)
        .split('\n')
        .map(|line| if line.starts_with('-') { format!("- {line}") } else { line.to_owned() })
        .collect();
    let armor = armored("PGP SIGNATURE", signatures);
    format!("-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\n{}\n{armor}", escaped.join("\n"))
}

fn mpi(number: &[u8]) -> Vec<u8> {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    let number = &number[zeros..];
    let bits = number.len() * 8 - number.first().map_or(0, |first| first.leading_zeros() as usize);
    [&u16::try_from(bits).unwrap().to_be_bytes()[..], number].concat()
}
