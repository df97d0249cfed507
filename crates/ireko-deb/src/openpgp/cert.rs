//! Certificates: a primary key with what it says about itself, its names and its subkeys, and what of it holds.

use super::key::{Flaw, Key, Strength};
use super::packet::{Broken, PUBLIC_KEY, PUBLIC_SUBKEY, Packet, SIGNATURE, USER_ATTRIBUTE, USER_ID, packets};
use super::signature::{
    CERTIFICATION_REVOCATION, CERTIFICATIONS, DIRECT_KEY, KEY_REVOCATION, PRIMARY_BINDING, SUBKEY_BINDING,
    SUBKEY_REVOCATION, Signature,
};

/// A primary key and what belongs to it, as it came: nothing of it is checked before a key is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Certificate {
    pub(crate) primary: Key,
    /// About the primary key itself.
    direct: Vec<Signature>,
    names: Vec<Name>,
    pub(crate) subkeys: Vec<Subkey>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Name {
    /// As it is hashed.
    bytes: Vec<u8>,
    signatures: Vec<Signature>,
}

/// A subkey with the signatures that bind or revoke it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Subkey {
    pub(crate) key: Key,
    signatures: Vec<Signature>,
}

/// Why a key does not count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unusable {
    Revoked,
    /// At this time.
    Expired(u64),
    /// It is not its owner's, or not made for this.
    Invalid(&'static str),
}

/// Reads all certificates of a block; keys of unknown versions are passed over with all that follows them.
pub(crate) fn certificates(bytes: &[u8]) -> Result<Vec<Certificate>, Broken> {
    let mut found: Vec<Certificate> = Vec::new();
    let mut place = Place::Nowhere;
    for packet in packets(bytes) {
        let Packet { tag, body } = packet?;
        if tag == PUBLIC_KEY {
            // A key that cannot be read is no reason to believe none of the others.
            let key = Key::parse(body).unwrap_or_default();
            place = if key.is_some() { Place::Primary } else { Place::Nowhere };
            found.extend(key.map(Certificate::new));
            continue;
        }
        if let Some(certificate) = found.last_mut().filter(|_| place != Place::Nowhere) {
            place = certificate.add(tag, body, place);
        }
    }
    Ok(found)
}

/// What a signature would be about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Nothing that is known, nor is what follows until the next primary key.
    Nowhere,
    Primary,
    Name,
    Subkey,
    /// A part of the certificate that is not looked into.
    Other,
}

impl Certificate {
    fn new(primary: Key) -> Self {
        Self { primary, direct: Vec::new(), names: Vec::new(), subkeys: Vec::new() }
    }

    fn add(&mut self, tag: u8, body: &[u8], place: Place) -> Place {
        match tag {
            USER_ID | USER_ATTRIBUTE => {
                let length = u32::try_from(body.len()).unwrap_or(u32::MAX).to_be_bytes();
                let mark = if tag == USER_ID { 0xb4 } else { 0xd1 };
                self.names
                    .push(Name { bytes: [&[mark][..], &length, body].concat(), signatures: Vec::new() });
                Place::Name
            }
            PUBLIC_SUBKEY => match Key::parse(body) {
                Ok(Some(key)) => {
                    self.subkeys.push(Subkey { key, signatures: Vec::new() });
                    Place::Subkey
                }
                _ => Place::Other,
            },
            SIGNATURE => {
                let about = match place {
                    Place::Primary => Some(&mut self.direct),
                    Place::Name => self.names.last_mut().map(|name| &mut name.signatures),
                    Place::Subkey => self.subkeys.last_mut().map(|subkey| &mut subkey.signatures),
                    Place::Nowhere | Place::Other => None,
                };
                if let (Some(about), Ok(Some(signature))) = (about, Signature::parse(body)) {
                    about.push(signature);
                }
                place
            }
            _ => place,
        }
    }

    /// Whether the primary key may sign data.
    pub(crate) fn primary_signs(&self, at: u64) -> Result<(), Unusable> {
        let own = self.primary_holds(at)?;
        match own.lets_sign {
            true => Ok(()),
            false => Err(Unusable::Invalid("the key is not made for signing data")),
        }
    }

    /// Whether a subkey may sign data.
    pub(crate) fn subkey_signs(&self, subkey: &Subkey, at: u64) -> Result<(), Unusable> {
        self.primary_holds(at)?;
        let content = [&self.primary.hashed()[..], &subkey.key.hashed()];
        let of_kind = |kind: u8| subkey.signatures.iter().filter(move |one| one.kind == kind);
        if of_kind(SUBKEY_REVOCATION).any(|one| self.revokes(one, &content)) {
            return Err(Unusable::Revoked);
        }
        let binding = of_kind(SUBKEY_BINDING)
            .filter(|one| !one.is_over(at) && self.made(one, &content))
            .max_by_key(|one| one.created)
            .ok_or(Unusable::Invalid("nothing binds the subkey to its primary key"))?;
        if !binding.lets_sign() {
            return Err(Unusable::Invalid("the subkey is not made for signing data"));
        }
        // Without it, anybody's subkey could be made one's own, and with it its signatures.
        let agrees = |back: &Signature| {
            let verified = subkey.key.verify(back, &content, Strength::Strong).is_ok();
            back.kind == PRIMARY_BINDING && !back.is_over(at) && verified
        };
        if !binding.back.as_deref().is_some_and(agrees) {
            return Err(Unusable::Invalid("the subkey does not agree to belong to its primary key"));
        }
        expired(&subkey.key, binding.key_lifetime, at)
    }

    /// Whether the primary key is its own, not revoked and not expired; and what it says of itself.
    fn primary_holds(&self, at: u64) -> Result<Own, Unusable> {
        let primary = self.primary.hashed();
        let is_revocation = |one: &&Signature| one.kind == KEY_REVOCATION;
        if self.direct.iter().filter(is_revocation).any(|one| self.revokes(one, &[&primary])) {
            return Err(Unusable::Revoked);
        }
        let direct = self
            .direct
            .iter()
            .filter(|one| one.kind == DIRECT_KEY && !one.is_over(at) && self.made(one, &[&primary]))
            .max_by_key(|one| one.created);
        let names: Vec<&Signature> = self.names.iter().filter_map(|name| self.name_holds(name, at)).collect();
        let latest = names.iter().copied().max_by_key(|one| one.created);
        let Some(own) = direct.or(latest) else {
            return Err(Unusable::Invalid("the key has no signature of its own that holds"));
        };
        // As gpg has it: the date of the key itself comes before those of its names, of which the latest counts.
        let dated =
            names.iter().copied().filter(|one| one.key_lifetime.is_some()).max_by_key(|one| one.created);
        let lifetime = direct.and_then(|one| one.key_lifetime).or(dated.and_then(|one| one.key_lifetime));
        expired(&self.primary, lifetime, at)?;
        Ok(Own { lets_sign: own.lets_sign() })
    }

    /// The latest certification of a name by the key itself, unless it is revoked.
    fn name_holds<'a>(&self, name: &'a Name, at: u64) -> Option<&'a Signature> {
        let primary = self.primary.hashed();
        let content = [&primary[..], &name.bytes];
        let certified = name
            .signatures
            .iter()
            .filter(|one| CERTIFICATIONS.contains(&one.kind) && !one.is_over(at) && self.made(one, &content))
            .max_by_key(|one| one.created)?;
        let is_revoked = name.signatures.iter().any(|one| {
            one.kind == CERTIFICATION_REVOCATION
                && one.created >= certified.created
                && self.revokes(one, &content)
        });
        (!is_revoked).then_some(certified)
    }

    /// Whether the primary key made a signature.
    fn made(&self, signature: &Signature, content: &[&[u8]]) -> bool {
        self.primary.may_have_made(signature)
            && self.primary.verify(signature, content, Strength::Strong).is_ok()
    }

    /// Whether a revocation counts. One that cannot be looked into does, and one by somebody who may revoke too.
    fn revokes(&self, revocation: &Signature, content: &[&[u8]]) -> bool {
        if !self.primary.may_have_made(revocation) {
            let appointed = self.direct.iter().chain(self.names.iter().flat_map(|name| &name.signatures));
            return appointed
                .flat_map(|one| &one.revokers)
                .any(|revoker| revocation.issuer.is_some_and(|issuer| issuer == *revoker));
        }
        !matches!(self.primary.verify(revocation, content, Strength::Any), Err(Flaw::Wrong))
    }
}

/// What a primary key says of itself.
struct Own {
    lets_sign: bool,
}

fn expired(key: &Key, lifetime: Option<u64>, at: u64) -> Result<(), Unusable> {
    match lifetime.map(|lifetime| key.created + lifetime) {
        Some(end) if end <= at => Err(Unusable::Expired(end)),
        _ => Ok(()),
    }
}
