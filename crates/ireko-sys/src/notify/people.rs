//! Which process is who. The kernel carries a process's number along through fork and exec: it is kept as the limit on
//! resident memory, which Linux has had no use for since 2.4.30.

use std::collections::BTreeMap;

use super::creds::Creds;
use super::kernel;
use crate::raw::Result;

/// All identities that processes of a step have had.
#[derive(Debug)]
pub(super) struct People {
    known: Vec<Creds>,
    numbers: BTreeMap<Creds, usize>,
}

/// What the number of an identity begins with; any other number is that of who came first.
const MARK: u64 = 0x0069_7265_6b6f_0000 << 4;
const PLACES: u64 = 0xf_ffff;

impl People {
    pub(super) fn new(first: Creds) -> Self {
        Self { numbers: BTreeMap::from([(first.clone(), 0)]), known: vec![first] }
    }

    /// Who a process is.
    pub(super) fn who(&self, pid: u32) -> &Creds {
        let number = kernel::number(pid).unwrap_or(0);
        let at = if number & !PLACES == MARK { (number & PLACES) as usize } else { 0 };
        self.known.get(at).unwrap_or(&self.known[0])
    }

    /// A process becomes somebody else.
    pub(super) fn become_one(&mut self, pid: u32, creds: Creds) -> Result<()> {
        let at = match self.numbers.get(&creds) {
            Some(at) => *at,
            None => {
                let at = self.known.len();
                if at as u64 > PLACES {
                    return Err(crate::raw::Errno(libc::EAGAIN));
                }
                self.numbers.insert(creds.clone(), at);
                self.known.push(creds);
                at
            }
        };
        kernel::set_number(pid, MARK | at as u64)
    }
}
