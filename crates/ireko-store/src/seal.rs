//! Small files that know whether they are whole: one header line with a checksum, then the body.
//!
//! Most of them are written without `fsync`, because they can be derived again; after a crash such a file may be
//! empty, short or full of zeros, and must then read as absent.

/// What a sealed file holds, and the version of its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    pub(crate) version: u32,
}

pub(crate) const LAYER: Kind = Kind { name: "layer", version: 1 };
pub(crate) const INDEX: Kind = Kind { name: "index", version: 1 };
pub(crate) const FORM: Kind = Kind { name: "form", version: 1 };
pub(crate) const TREE: Kind = Kind { name: "tree", version: 1 };
pub(crate) const RECORD: Kind = Kind { name: "record", version: 1 };
pub(crate) const INPUTS: Kind = Kind { name: "inputs", version: 1 };
pub(crate) const SLOT: Kind = Kind { name: "slot", version: 1 };
pub(crate) const MEMO: Kind = Kind { name: "memo", version: 1 };
pub(crate) const STAT: Kind = Kind { name: "stat", version: 1 };
pub(crate) const IMAGE: Kind = Kind { name: "image", version: 1 };
pub(crate) const NAME: Kind = Kind { name: "name", version: 1 };
pub(crate) const MOUNT: Kind = Kind { name: "mount", version: 1 };

/// How many digits of BLAKE3 guard the body: this is against torn writes, not against people.
const DIGITS: usize = 32;

/// The bytes of a file of this kind.
pub(crate) fn seal(kind: Kind, body: &[u8]) -> Vec<u8> {
    let mut bytes = format!("ireko {} {} {}\n", kind.name, kind.version, checksum(kind, body)).into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

/// Where the body begins in a file of this kind that is whole.
pub(crate) fn body_offset(kind: Kind, bytes: &[u8]) -> Result<usize, &'static str> {
    if bytes.is_empty() {
        return Err("the file is empty");
    }
    let prefix = format!("ireko {} {} ", kind.name, kind.version);
    let rest =
        bytes.strip_prefix(prefix.as_bytes()).ok_or("its first line is not of this kind and version")?;
    let body = rest.get(DIGITS + 1..).ok_or("the file is cut short")?;
    if rest[DIGITS] != b'\n' {
        return Err("its first line is malformed");
    }
    if rest[..DIGITS] != *checksum(kind, body).as_bytes() {
        return Err("its checksum is wrong");
    }
    Ok(bytes.len() - body.len())
}

/// The body of a file of this kind that is whole.
pub(crate) fn unseal(kind: Kind, mut bytes: Vec<u8>) -> Result<Vec<u8>, &'static str> {
    let at = body_offset(kind, &bytes)?;
    bytes.drain(..at);
    Ok(bytes)
}

fn checksum(kind: Kind, body: &[u8]) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(kind.name.as_bytes());
    hasher.update(&kind.version.to_le_bytes());
    hasher.update(body);
    let mut text = hasher.finalize().to_hex().to_string();
    text.truncate(DIGITS);
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_bytes_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = unseal(RECORD, bytes);
        }

        #[test]
        fn what_is_sealed_reads_back_and_damage_is_seen(
            body in proptest::collection::vec(any::<u8>(), 0..300), at in any::<prop::sample::Index>(), flip in 1u8..
        ) {
            let sealed = seal(RECORD, &body);
            prop_assert_eq!(unseal(RECORD, sealed.clone()), Ok(body));
            prop_assert!(unseal(MEMO, sealed.clone()).is_err());
            let mut torn = sealed.clone();
            let at = at.index(torn.len());
            torn[at] ^= flip;
            prop_assert!(unseal(RECORD, torn).is_err());
            prop_assert!(unseal(RECORD, sealed[..at].to_vec()).is_err());
        }
    }
}
