//! Access lists: the kernel takes none that names an id it does not know, and no layer has any. What lasts of one is the
//! mode that it gives the file.

/// A list as the attribute `system.posix_acl_access` has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Acl {
    /// The permission bits that a file with it has.
    pub(super) mode: u32,
    /// Whether it names others than root.
    pub(super) foreign: bool,
}

const VERSION: u32 = 2;
const USER_OBJ: u16 = 1;
const USER: u16 = 2;
const GROUP_OBJ: u16 = 4;
const GROUP: u16 = 8;
const MASK: u16 = 16;
const OTHER: u16 = 32;

impl Acl {
    /// Nothing where it is not of that form.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let (version, entries) = bytes.split_first_chunk::<4>()?;
        if u32::from_le_bytes(*version) != VERSION || entries.len() % 8 != 0 {
            return None;
        }
        let (mut user, mut group, mut mask, mut other, mut foreign) = (0, 0, None, 0, false);
        for entry in entries.chunks_exact(8) {
            let short = |at: usize| Some(u16::from_le_bytes(entry.get(at..at + 2)?.try_into().ok()?));
            let (tag, bits) = (short(0)?, u32::from(short(2)?) & 7);
            match tag {
                USER_OBJ => user = bits,
                GROUP_OBJ => group = bits,
                MASK => mask = Some(bits),
                OTHER => other = bits,
                USER | GROUP => foreign |= entry.get(4..)? != [0; 4],
                _ => return None,
            }
        }
        Some(Self { mode: user << 6 | mask.unwrap_or(group) << 3 | other, foreign })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mode_of_a_list_is_that_of_its_mask() {
        let entry = |tag: u16, bits: u16, id: u32| {
            [&tag.to_le_bytes()[..], &bits.to_le_bytes(), &id.to_le_bytes()].concat()
        };
        let list = |entries: &[Vec<u8>]| [&VERSION.to_le_bytes()[..], &entries.concat()].concat();
        let none = u32::MAX;
        let plain = [entry(USER_OBJ, 6, none), entry(GROUP_OBJ, 4, none), entry(OTHER, 0, none)];
        assert_eq!(Acl::parse(&list(&plain)), Some(Acl { mode: 0o640, foreign: false }));
        let mut named = plain.to_vec();
        named.extend([entry(USER, 6, 33), entry(MASK, 6, none)]);
        assert_eq!(Acl::parse(&list(&named)), Some(Acl { mode: 0o660, foreign: true }));
        assert_eq!(Acl::parse(&list(&[entry(GROUP, 1, 0)])), Some(Acl { mode: 0, foreign: false }));
        assert_eq!(Acl::parse(b"\x02\0\0\0\x01"), None);
        assert_eq!(Acl::parse(b""), None);
    }
}
