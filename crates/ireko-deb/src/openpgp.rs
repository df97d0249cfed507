//! OpenPGP signatures, as far as archives use them: is this text by one of these keys (RFC 9580).
//!
//! Believed are RSA keys from 2048 bits on and Ed25519, with SHA-256, SHA-384 or SHA-512, in versions 4 and 6. A key
//! counts while it is not revoked and not expired at the time that is given, a subkey only where it agreed to be one.
//! There is no web of trust: who is in the [`Keyring`] is trusted.
//!
//! Of a clear-signed file only the signed part is ever handed out, and a file with other text in it is refused. As in
//! apt one good signature is enough, keys that are not known do not matter then, and one wrong signature by a known
//! key spoils all of them. The choice of own code over a library is decision 0012.

mod armor;
mod cert;
mod clearsign;
mod key;
mod packet;
mod signature;

use cert::{Certificate, Unusable};
use key::{Flaw, Key, Strength};
use signature::{BINARY, Signature, TEXT, hex};

/// A signature may be so many seconds younger than the given time: clocks differ.
const AHEAD_MAX: u64 = 600;
/// More signatures than any archive has; each costs a look at the whole text.
const SIGNATURES_MAX: usize = 16;

/// Keys that are trusted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keyring {
    certificates: Vec<Certificate>,
}

/// Why a file is no key ring.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyringError {
    /// GnuPG's own format.
    #[error("it is a keybox of GnuPG, which apt does not read either; export its keys with `gpg --export`")]
    Keybox,
    /// The armour around the keys is wrong.
    #[error("line {line}: {problem}")]
    Armor {
        /// The line, counted from one.
        line: usize,
        /// What is wrong.
        problem: String,
    },
    /// It does not hold packets.
    #[error("{problem}")]
    Packets {
        /// What is wrong.
        problem: String,
    },
    /// It holds no key.
    #[error("it holds no public key of a version that is known")]
    Empty,
}

impl Keyring {
    /// Adds the keys of a file, binary or armoured, and says how many.
    pub fn add(&mut self, bytes: &[u8]) -> Result<usize, KeyringError> {
        if bytes.get(8..12) == Some(b"KBXf") {
            return Err(KeyringError::Keybox);
        }
        let broken = |error: packet::Broken| KeyringError::Packets { problem: error.to_string() };
        let mut found = Vec::new();
        // A binary packet begins with a byte that no text has.
        if bytes.first().is_some_and(|first| first & 0x80 != 0) {
            found = cert::certificates(bytes).map_err(broken)?;
        } else {
            let lines = armor::lines(bytes);
            let mut rest = &lines[..];
            while let Some(begin) =
                rest.iter().position(|(_, line)| armor::is_mark(line, "BEGIN", "PGP PUBLIC KEY BLOCK"))
            {
                let (block, length) = armor::block(&rest[begin..], "PGP PUBLIC KEY BLOCK")
                    .map_err(|bad| KeyringError::Armor { line: bad.line, problem: bad.problem.to_owned() })?;
                found.extend(cert::certificates(&block).map_err(broken)?);
                rest = &rest[begin + length..];
            }
        }
        let count = found.len();
        self.certificates.extend(found);
        if count == 0 { Err(KeyringError::Empty) } else { Ok(count) }
    }

    /// Adds all keys of another one.
    pub fn join(&mut self, other: &Self) {
        self.certificates.extend(other.certificates.iter().cloned());
    }

    /// Whether nobody is trusted.
    pub fn is_empty(&self) -> bool {
        self.certificates.is_empty()
    }

    /// The fingerprints of the primary keys.
    pub fn fingerprints(&self) -> Vec<String> {
        self.certificates.iter().map(|one| hex(&one.primary.fingerprint)).collect()
    }
}

/// A key that signed, by its fingerprint and that of its primary key, which is the same where no subkey signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signer {
    /// Of the key itself.
    pub key: String,
    /// Of its primary key.
    pub primary: String,
    /// When it signed, in seconds since 1970.
    pub signed: u64,
}

/// A text that is believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// The text; each line without the spaces at its end.
    pub text: Vec<u8>,
    /// Who signed it.
    pub signers: Vec<Signer>,
}

/// What a signature is worth nothing for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Doubt {
    /// Nobody trusted made it.
    #[error("key {key} is not trusted here")]
    UnknownKey {
        /// Whose it says it is.
        key: String,
    },
    /// The key did not sign this content.
    #[error("it is not the signature of key {key} for this content")]
    Wrong {
        /// Which key.
        key: String,
    },
    /// Its hash can be forged.
    #[error("key {key} signed with {hash}, which is not believed any more")]
    Weak {
        /// Which key.
        key: String,
        /// The hash.
        hash: String,
    },
    /// It is of a kind that is not known.
    #[error("the signature of key {key} cannot be checked: {problem}")]
    Unsupported {
        /// Which key.
        key: String,
        /// What is not known.
        problem: String,
    },
    /// It held for some time only.
    #[error("the signature of key {key} has expired")]
    Expired {
        /// Which key.
        key: String,
        /// When, in seconds since 1970.
        at: u64,
    },
    /// It is from a time that has not come.
    #[error("the signature of key {key} is from the future; check the clock")]
    Future {
        /// Which key.
        key: String,
    },
    /// It is older than its key.
    #[error("the signature of key {key} is older than the key")]
    BeforeKey {
        /// Which key.
        key: String,
    },
    /// The key held for some time only.
    #[error("key {key} has expired")]
    KeyExpired {
        /// Which key.
        key: String,
        /// When, in seconds since 1970.
        at: u64,
    },
    /// The key was taken back.
    #[error("key {key} is revoked")]
    KeyRevoked {
        /// Which key.
        key: String,
    },
    /// The key may not sign, or is not bound to the one that is trusted.
    #[error("key {key} does not count: {problem}")]
    KeyInvalid {
        /// Which key.
        key: String,
        /// Why.
        problem: String,
    },
    /// The key is trusted, but not for this.
    #[error("key {key} is not one of those that are to sign this")]
    OtherKey {
        /// Which key.
        key: String,
    },
}

/// Why a text is not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It does not have the form of a clear-signed text.
    #[error("line {line}: {problem}")]
    Form {
        /// The line, counted from one.
        line: usize,
        /// What is wrong.
        problem: String,
    },
    /// The signature cannot be read.
    #[error("cannot read its signature: {problem}")]
    Signature {
        /// What is wrong.
        problem: String,
    },
    /// No signature of a known version is there.
    #[error("it has no signature of a version that is known")]
    Unsigned,
    /// None of its signatures counts, or one is wrong.
    #[error("{}", list(.0))]
    Doubts(Vec<Doubt>),
}

fn list(doubts: &[Doubt]) -> String {
    doubts.iter().map(Doubt::to_string).collect::<Vec<_>>().join("; ")
}

/// Whom a signature must be by: one of these keys, and where fingerprints are given, one of those.
#[derive(Clone, Copy, Debug)]
pub struct Trust<'a> {
    /// Who is trusted.
    pub keys: &'a Keyring,
    /// Fingerprints in hexadecimal, of primary keys or of subkeys; one that ends with `!` means this key alone and not
    /// its subkeys. Where there is none, all keys count.
    pub only: &'a [String],
    /// The time, in seconds since 1970.
    pub at: u64,
}

impl Trust<'_> {
    /// Believes a clear-signed text.
    ///
    /// # Errors
    /// Anything but a well-formed text with at least one signature that counts and none that is wrong.
    pub fn clear_signed(&self, file: &[u8]) -> Result<Signed, Refused> {
        let form = |bad: armor::BadArmor| Refused::Form { line: bad.line, problem: bad.problem.to_owned() };
        let parts = clearsign::split(file).map_err(form)?;
        let signers = self.signers(&parts.signatures, |kind| match kind {
            // Some programs write a signature of type 0, over the same bytes.
            TEXT | BINARY => Some(&parts.hashed),
            _ => None,
        })?;
        Ok(Signed { text: parts.text, signers })
    }

    /// Believes a file whose signatures are in another one, binary or armoured.
    ///
    /// # Errors
    /// As for a clear-signed text.
    pub fn detached(&self, content: &[u8], signatures: &[u8]) -> Result<Vec<Signer>, Refused> {
        let canonical = clearsign::canonical(content);
        let mut packets = Vec::new();
        if signatures.first().is_some_and(|first| first & 0x80 != 0) {
            packets = signatures.to_vec();
        } else {
            let lines = armor::lines(signatures);
            let mut rest = &lines[..];
            while let Some(begin) =
                rest.iter().position(|(_, line)| armor::is_mark(line, "BEGIN", "PGP SIGNATURE"))
            {
                let (block, length) = armor::block(&rest[begin..], "PGP SIGNATURE")
                    .map_err(|bad| Refused::Signature { problem: bad.problem.to_owned() })?;
                packets.extend(block);
                rest = &rest[begin + length..];
            }
        }
        self.signers(&packets, |kind| match kind {
            BINARY => Some(content),
            TEXT => Some(&canonical),
            _ => None,
        })
    }

    fn signers<'c>(
        &self,
        packets: &[u8],
        content: impl Fn(u8) -> Option<&'c [u8]>,
    ) -> Result<Vec<Signer>, Refused> {
        let all = signature::signatures(packets)
            .map_err(|broken| Refused::Signature { problem: broken.to_string() })?;
        if all.len() > SIGNATURES_MAX {
            return Err(Refused::Signature { problem: format!("it has more than {SIGNATURES_MAX}") });
        }
        let (mut signers, mut doubts) = (Vec::new(), Vec::new());
        for signature in &all {
            let judged = match content(signature.kind) {
                Some(content) => self.judge(signature, content),
                None => Err(Doubt::Unsupported {
                    key: signature.named(),
                    problem: format!("it is of type {:#04x} and signs no file", signature.kind),
                }),
            };
            match judged {
                Ok(signer) => signers.push(signer),
                Err(doubt) => doubts.push(doubt),
            }
        }
        let spoilt = doubts.iter().any(|doubt| matches!(doubt, Doubt::Wrong { .. }));
        match signers.is_empty() || spoilt {
            false => Ok(signers),
            true if doubts.is_empty() => Err(Refused::Unsigned),
            true => Err(Refused::Doubts(doubts)),
        }
    }

    /// Finds the key that made a signature, and asks everything about it. Ids of keys may be equal by intent, so the
    /// first key that is right counts, and the last doubt where none is.
    fn judge(&self, signature: &Signature, content: &[u8]) -> Result<Signer, Doubt> {
        let mut doubt = Doubt::UnknownKey { key: signature.named() };
        for certificate in &self.keys.certificates {
            let subkeys = certificate.subkeys.iter().map(|subkey| (&subkey.key, Some(subkey)));
            let all = std::iter::once((&certificate.primary, None)).chain(subkeys);
            for (key, subkey) in all.filter(|(key, _)| key.may_have_made(signature)) {
                let usable = || match subkey {
                    None => certificate.primary_signs(self.at),
                    Some(subkey) => certificate.subkey_signs(subkey, self.at),
                };
                match self.judge_by(signature, content, key, usable) {
                    Ok(()) if !self.is_meant(key, certificate) => {
                        doubt = Doubt::OtherKey { key: hex(&key.fingerprint) };
                    }
                    Ok(()) => {
                        let (primary, signed) = (hex(&certificate.primary.fingerprint), signature.created);
                        return Ok(Signer { key: hex(&key.fingerprint), primary, signed });
                    }
                    Err(other) => doubt = other,
                }
            }
        }
        Err(doubt)
    }

    fn judge_by(
        &self,
        signature: &Signature,
        content: &[u8],
        key: &Key,
        usable: impl Fn() -> Result<(), Unusable>,
    ) -> Result<(), Doubt> {
        let name = hex(&key.fingerprint);
        key.verify(signature, &[content], Strength::Strong).map_err(|flaw| match flaw {
            Flaw::Wrong => Doubt::Wrong { key: name.clone() },
            Flaw::Weak(hash) => Doubt::Weak { key: name.clone(), hash },
            Flaw::Unsupported(problem) => {
                Doubt::Unsupported { key: name.clone(), problem: problem.to_owned() }
            }
        })?;
        usable().map_err(|unusable| match unusable {
            Unusable::Revoked => Doubt::KeyRevoked { key: name.clone() },
            Unusable::Expired(at) => Doubt::KeyExpired { key: name.clone(), at },
            Unusable::Invalid(problem) => {
                Doubt::KeyInvalid { key: name.clone(), problem: problem.to_owned() }
            }
        })?;
        match signature.expires {
            _ if signature.created < key.created => Err(Doubt::BeforeKey { key: name }),
            _ if signature.created > self.at.saturating_add(AHEAD_MAX) => Err(Doubt::Future { key: name }),
            Some(at) if signature.is_over(self.at) => Err(Doubt::Expired { key: name, at }),
            _ => Ok(()),
        }
    }

    /// Whether a key is one of those named, if any are.
    fn is_meant(&self, key: &Key, certificate: &Certificate) -> bool {
        let (own, primary) = (hex(&key.fingerprint), hex(&certificate.primary.fingerprint));
        self.only.is_empty()
            || self.only.iter().any(|wanted| match wanted.strip_suffix('!') {
                Some(exact) => exact.eq_ignore_ascii_case(&own),
                None => wanted.eq_ignore_ascii_case(&own) || wanted.eq_ignore_ascii_case(&primary),
            })
    }
}

/// Whether a file looks like a clear-signed text, whatever may be wrong with it.
pub fn is_clear_signed(file: &[u8]) -> bool {
    clearsign::is_clear_signed(file)
}

/// The signed part of a clear-signed text, whoever signed it: for those who trust it all the same.
///
/// # Errors
/// It does not have the form of one.
pub fn signed_part(file: &[u8]) -> Result<Vec<u8>, Refused> {
    let form = |bad: armor::BadArmor| Refused::Form { line: bad.line, problem: bad.problem.to_owned() };
    clearsign::split(file).map(|parts| parts.text).map_err(form)
}

#[cfg(test)]
mod tests;
